"""A server that somebody started by hand: found by `orch status`, read into files, taken over by name, served on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.lab.conftest import SET_UP_SECONDS, Lab
from tests.lab.site import Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

TREE = "orch-lab/host-tree:latest"
TOKEN = "hf_AdoptedFromAContainer1234"
# As a page of shell has it: fixed name, host network, restart by docker, a token in the environment.
BY_HAND = f"""docker run -d --name old-llama --network host --restart always
 -v /usr:/usr:ro -v /etc:/etc:ro -v /opt/orch-lab:/opt/orch-lab:ro -v /models:/models:ro --tmpfs /tmp:exec
 -e HF_TOKEN={TOKEN} -e OMP_NUM_THREADS=1 {TREE}
 llama-server -m /models/tiny.gguf --alias tiny --host 0.0.0.0 --port 8000 -t 1 -np 1 -c 1024 -ngl 99
 --metrics --skip-chat-parsing""".split()


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    made = Site(lab, tmp_path, name="adopt", env={"HF_TOKEN": TOKEN})
    lab.run("spark-1", BY_HAND)
    try:
        yield made
    finally:
        made.orch("down", rc=None)
        names = lab.run("spark-1", ["docker", "ps", "-a", "--format", "{{.Names}}"]).stdout.split()
        for name in names:
            if name.startswith("old-llama"):
                lab.run("spark-1", ["docker", "rm", "-f", name])


def names(lab: Lab, *more: str) -> list[str]:
    argv = ["docker", "ps", *more, "--format", "{{.Names}}"]
    return lab.run("spark-1", argv).stdout.split()


def test_a_server_started_by_hand_is_found_taken_over_and_answers(lab: Lab, site: Site) -> None:
    told = site.orch("status", rc=1).stdout
    assert "old-llama (running) serves with llamacpp" in told
    assert "orch import --from-host spark-1 old-llama" in told

    (site.folder / "cluster.yaml").unlink()
    which = site.orch("import", "--from-host", "spark-1", rc=2)
    assert "spark-1:old-llama (llamacpp)" in which.stderr
    done = site.orch("import", "--from-host", "spark-1", "old-llama", "--name", "adopt")
    assert "restart" in done.stderr  # what has no place is named

    cluster = yaml.safe_load((site.folder / "cluster.yaml").read_text())
    assert cluster["takeover"] == ["old-llama"]
    assert cluster["deployments"] == {
        "old-llama": {"profile": "old-llama", "hosts": ["spark-1"], "port": 8000}
    }
    profile = yaml.safe_load((site.folder / "profiles/old-llama.yaml").read_text())
    assert profile["args"] == {
        "-t": 1, "-np": 1, "-c": 1024, "-ngl": 99, "metrics": True, "skip-chat-parsing": True,
    }  # fmt: skip
    assert profile["env"] == {"OMP_NUM_THREADS": "1"}
    assert profile["secrets"] == {"HF_TOKEN": {"env": "HF_TOKEN"}}
    written = [path for path in site.folder.rglob("*") if path.is_file()]
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]

    site.orch("check")
    site.orch("up")
    (taken,) = [one for one in names(lab, "-a") if one.startswith("old-llama")]
    assert taken.startswith("old-llama-orch-taken-")  # aside, with its policy off; never deleted
    assert names(lab) == ["orch-adopt-old-llama-0"]
    site.orch("status")
    tail = ["exec", "orch-adopt-old-llama-0", "sh", "-c", "echo $HF_TOKEN"]
    assert lab.run("spark-1", ["docker", *tail]).stdout.strip() == TOKEN

    site.orch("down")
    assert names(lab) == []
