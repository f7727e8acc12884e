"""pyinfra's form of the twenty resources: one operation each, the one its documentation names for it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

from pyinfra import host  # type: ignore[import-not-found,unused-ignore]
from pyinfra.operations import files  # type: ignore[import-not-found,unused-ignore]

ROOT = host.data.root_dir

for one in json.loads(Path(os.environ["BENCH_RESOURCES"]).read_text()):
    path = f"{ROOT}/{one['path']}"
    if one["kind"] == "directory":
        files.directory(name=one["name"], path=path, mode=one["mode"])
    elif one["kind"] == "file":
        source = io.StringIO(one["text"])
        files.put(
            name=one["name"], src=source, dest=path, mode=one["mode"], create_remote_dir=False
        )
    elif one["kind"] == "link":
        files.link(name=one["name"], path=path, target=one["text"], create_remote_dir=False)
    else:
        files.line(name=one["name"], path=path, line=one["text"])
