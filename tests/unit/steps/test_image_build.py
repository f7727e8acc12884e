"""`build:`: built once, on the head; the others get it from there; a failure shows the builder's own lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.rendered import rendered
from orchestrator.facts import Identify, ReadImage
from orchestrator.facts.answers import Image
from orchestrator.facts.job import JobState
from orchestrator.ranks.context import image_of
from orchestrator.script import Script
from orchestrator.steps.image_build import build_job
from tests.gang_world import IMAGE, Site
from tests.unit.steps.test_gang_steps import IDENTITY

OWN = """\
version: 1
extends: lab-llama
image: null
build: {dockerfile: Dockerfile}
"""
TWO = "tiny: {profile: own, hosts: [spark-1, spark-2], port: 8000}"
BUILD, OFFER = "tiny/image-build/spark-1", "tiny/image-offer/spark-1"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/own.yaml").write_text(OWN)
    (tmp_path / "profiles/Dockerfile").write_text("FROM orch-lab/host-tree:latest\n")
    made = Site(tmp_path, TWO)
    for told in made.world.values():
        told.answers[ReadImage] = Image(image(made), False, "", ())
        told.answers[Identify] = IDENTITY
    return made


def image(site: Site) -> str:
    return image_of(site.cluster.deployments["tiny"])


def sent(script: Script) -> bytes:
    return b"".join(one.sh.encode() + one.stdin for one in script.commands.values())


def built(site: Site, host: str) -> None:
    site.world[host].answers[ReadImage] = replace(IMAGE, reference=image(site))


def test_the_head_builds_and_nobody_pulls(site: Site) -> None:
    change = site.check(BUILD)
    assert change.summary.startswith(f"build {image(site)} from ")
    assert "tiny/image-build/spark-2" not in site.steps
    assert site.steps[OFFER].needs >= {BUILD}
    assert site.steps["tiny/image/spark-2"].needs >= {BUILD, OFFER}
    script = site.steps[BUILD].apply(change, site.world)
    assert list(script.commands) == ["context", "job"]
    assert script.mutates
    assert script.stop_on_error
    assert f"docker build --tag {image(site)} -f".encode() in sent(script)
    assert b"FROM orch-lab/host-tree:latest" in script.commands["context"].stdin


def test_what_is_built_goes_to_the_others(site: Site) -> None:
    built(site, "spark-1")
    assert site.check(BUILD) is None
    assert site.check(OFFER).summary == f"offer {image(site)} to spark-2"
    assert site.check("tiny/image/spark-2").summary == f"copy {image(site)} from spark-1"
    # a store that gives every image a digest does not make it one that can be pulled
    digest = f"{image(site)}@sha256:" + "d" * 64
    site.world["spark-1"].answers[ReadImage] = replace(IMAGE, digests=(digest,))
    assert site.check("tiny/image/spark-2").summary.startswith("copy ")


def test_once_everywhere_nothing_is_done(site: Site) -> None:
    built(site, "spark-1")
    built(site, "spark-2")
    assert not [
        one for one in site.steps.values() if one.stage == "image" and one.check(site.world)
    ]


def test_a_build_that_runs_is_watched(site: Site) -> None:
    job = build_job(site.cluster.deployments["tiny"])
    running = JobState(job.name, "running", log_bytes=9, tail="#5 RUN make\n")
    site.world["spark-1"].answers[job] = running
    change = site.check(BUILD)
    assert change.under_way
    assert "#5 RUN make" in change.progress


def test_a_build_that_failed_shows_what_the_builder_said(site: Site) -> None:
    job = build_job(site.cluster.deployments["tiny"])
    said = "Step 2/2 : RUN false\n\x1b[31mThe command returned a non-zero code: 1\x1b[0m\n"
    site.world["spark-1"].answers[job] = JobState(job.name, "done", rc=1, tail=said)
    change = site.check(BUILD)
    assert not change.under_way
    assert change.summary.endswith("(the last try failed, exit code 1)")
    assert change.log == "Step 2/2 : RUN false\nThe command returned a non-zero code: 1"
    assert change.hint


def test_render_shows_how_it_is_built(site: Site) -> None:
    found = rendered(site.cluster)
    (one,) = found["spark-1"]["builds"]
    folder = site.cluster.root / "profiles"
    assert one["run"] == f"docker build --tag {image(site)} -f {folder}/Dockerfile {folder}"
    assert found["spark-2"]["builds"] == []
    assert found["spark-2"]["ranks"][0]["run"].count(image(site)) == 1
