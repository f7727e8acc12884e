"""Why here: whether an image is on a host, and which one: the same name is not the same image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from orchestrator.errors import Unknown
from orchestrator.facts.answers import Image
from orchestrator.facts.engine_words import program, spoken
from orchestrator.facts.probe import (
    NOT_FOUND,
    answered,
    json_of,
    mapping,
    probe,
    reading,
    said,
    script,
    text_of,
    whole,
)
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, argv, sh

FORM = (
    '{"id":{{json .Id}},"digests":{{json .RepoDigests}},"arch":{{json .Architecture}},'
    '"size":{{json .Size}}}'
)
NOWHERE = "localhost/"  # podman's registry of images that are from none
PODMAN_FORM = FORM.replace(".Id", ".ID")
ABSENT = re.compile(r"no such image|image not known", re.IGNORECASE)


def pulled(digests: Sequence[str]) -> tuple[str, ...]:
    """Those of a registry: podman has digests of images that it built or loaded too.

    What docker saved podman 5.4 loads as docker.io/…, with a digest that no registry has (4.3: localhost/…); it has
    the same under the name that a copy is given here.
    """
    made = {digest.partition("@")[2] for digest in digests if digest.startswith(NOWHERE)}
    return tuple(digest for digest in digests if digest.partition("@")[2] not in made)


@question
class ReadImage:
    """One image by reference."""

    runtime: str
    reference: str

    def ask(self) -> Script:
        engine = program(self.runtime)
        form = PODMAN_FORM if engine == "podman" else FORM
        look = argv("image", "inspect", "--format", form, "--", self.reference)
        body = sh(
            "if command -v {} >/dev/null; then {} {}; else (exit 127); fi",
            engine,
            spoken(self.runtime),
            Raw(look),
        )
        return script(image=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Image:
        what = f"image {self.reference}"
        with reading(what):
            result = answered(results, "image", what)
            absent = Image(self.reference, False, "", ())
            if result.rc == NOT_FOUND:
                return absent  # no engine, no images
            if result.rc != 0:
                if ABSENT.search(result.err.decode(errors="replace")):
                    return absent
                raise Unknown(f"{what}: {said(result)}")
            found = mapping(json_of(result.text))
            name = text_of(found["id"])
            if not re.fullmatch(r"(sha256:)?[0-9a-f]{64}", name):
                raise ValueError(f"not an image's id: {name[:80]!r}")
            return Image(
                reference=self.reference,
                present=True,
                id=name if name.startswith("sha256:") else f"sha256:{name}",
                digests=pulled([text_of(digest) for digest in found["digests"] or ()]),
                architecture=text_of(found["arch"]),
                size_bytes=whole(found["size"]),
            )
