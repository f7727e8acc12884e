"""Hosts of a gang that are not alike: what breaks it is refused, what may is a warning, unknown is never alike."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import NotRead, Refused, Unknown
from orchestrator.facts import (
    Identify,
    ReadDriver,
    ReadImage,
    ReadNetwork,
    ReadOomKillers,
    ReadRdma,
)
from orchestrator.facts.answers import Identity, Image
from orchestrator.facts.assumed import assumed_world
from orchestrator.spec.models import Cluster
from orchestrator.steps.parity import Parity, image_parity_steps, parity_steps
from orchestrator.steps.programs import LOOK, NCCL, RPC
from tests.gangs import SPARKS, cluster_of
from tests.local_shell import SHELLS
from tests.unit.steps.clusters import Told

TWO = "vl: {profile: own, hosts: [spark-2, spark-3], parallel: {tensor: 2}, port: 8000"
PROFILE = {"own": "engine: vllm\nexecutor: native\nmodel: a/b\nimage: x:1\n"}
SPARK = Identity(
    "dgx-os", "7", "6.11.0-1016-nvidia", "aarch64", "b", "m", "h", 0.0, 20, "u", 1, False
)
IMAGE = Image("x:1", True, "sha256:" + "a" * 64, ())
LOOKED = {"vllm": True, "nccl libnccl.so.2.28.3": True}


class Site:
    """Two Sparks that are alike, until a test says otherwise."""

    def __init__(self, folder: Path, gate: str = "", deployment: str = TWO) -> None:
        said = f", gate: {{{gate}}}}}" if gate else "}"
        self.cluster: Cluster = cluster_of(folder, deployment + said, SPARKS, PROFILE)
        self.hosts, self.image = self._one(parity_steps), self._one(image_parity_steps)
        assumed = assumed_world(self.cluster)
        self.told: dict[str, dict[Any, Any]] = {}
        for host in ("spark-2", "spark-3"):
            rdma = assumed[host].get(ReadRdma())
            devices = tuple(
                replace(one, firmware="28.45.4028", active_mtu=4096) for one in rdma.devices
            )
            self.told[host] = {
                Identify(): SPARK,
                ReadDriver(): "580.142",
                ReadOomKillers(): (),
                ReadRdma(): replace(rdma, devices=devices),
                ReadNetwork(): assumed[host].get(ReadNetwork()),
            }
            if self.image is not None:
                for _, query in self.image.reads:
                    self.told[host][query] = IMAGE if isinstance(query, ReadImage) else LOOKED

    def _one(self, builder: Any) -> Parity:
        found = list(builder(self.cluster, {}))
        return found[0] if found else None  # type: ignore[return-value]

    @property
    def world(self) -> Mapping[str, Any]:
        return {host: Told(answers) for host, answers in self.told.items()}

    def firmware(self, host: str, **otherwise: Any) -> None:
        rdma = self.told[host][ReadRdma()]
        devices = tuple(replace(one, **otherwise) for one in rdma.devices)
        self.told[host][ReadRdma()] = replace(rdma, devices=devices)


def refused(step: Parity, site: Site) -> str:
    with pytest.raises(Refused) as found:
        step.check(site.world)
    assert "gate: {parity: off}" in found.value.hint
    return found.value.message


def test_alike_hosts_hear_nothing(tmp_path: Path) -> None:
    for number, gate in enumerate(("", "parity: required")):
        site = Site(tmp_path / str(number), gate)
        for step in (site.hosts, site.image):
            assert step.check(site.world) is None
            assert list(step.remarks(site.world)) == []


@pytest.mark.parametrize(
    ("query", "answer", "told"),
    [
        (
            Identify(),
            replace(SPARK, arch="x86_64"),
            "architecture aarch64 on spark-2; x86_64 on spark-3",
        ),
        (ReadDriver(), "590.10", "GPU driver 580.142 on spark-2; 590.10 on spark-3"),
        (ReadDriver(), "", "GPU driver 580.142 on spark-2; none on spark-3"),
        (ReadDriver(), Unknown("cut"), "GPU driver of spark-3 is not known (cut)"),
    ],
)
def test_what_breaks_gangs_is_refused(tmp_path: Path, query: Any, answer: Any, told: str) -> None:
    site = Site(tmp_path)
    site.told["spark-3"][query] = answer
    assert refused(site.hosts, site) == f"the hosts of vl are not alike: {told}"


@pytest.mark.parametrize(
    ("query", "answer", "told"),
    [
        (
            Identify(),
            replace(SPARK, kernel="6.14"),
            "kernel 6.11.0-1016-nvidia on spark-2; 6.14 on spark-3",
        ),
        (ReadDriver(), "580.95.05", "GPU driver 580.142 on spark-2; 580.95.05 on spark-3"),
        (ReadOomKillers(), ("earlyoom",), "OOM killers none on spark-2; earlyoom on spark-3"),
        (ReadOomKillers(), Unknown("cut"), "OOM killers of spark-3 is not known (cut)"),
    ],
)
def test_the_rest_is_a_warning_until_it_is_required(
    tmp_path: Path, query: Any, answer: Any, told: str
) -> None:
    for gate in ("", "parity: required"):
        site = Site(tmp_path / (gate or "x").replace(": ", ""), gate)
        site.told["spark-3"][query] = answer
        if gate:
            assert refused(site.hosts, site) == f"the hosts of vl are not alike: {told}"
        else:
            assert site.hosts.check(site.world) is None
            (remark,) = site.hosts.remarks(site.world)
            assert f"vl: unlike hosts, {told} (" in remark


def test_rdma_devices_of_the_gang(tmp_path: Path) -> None:
    site = Site(tmp_path, "parity: required")
    site.firmware("spark-3", firmware="28.47.1000", active_mtu=1024)
    said = refused(site.hosts, site)
    assert "RDMA firmware 28.45.4028 on spark-2; 28.47.1000 on spark-3" in said
    assert "active RDMA MTU 4096 on spark-2; 1024 on spark-3" in said
    for host in ("spark-2", "spark-3"):
        site.firmware(host, firmware="", active_mtu=None)
    said = refused(site.hosts, site)
    assert "firmware" not in said  # told by neither: alike
    assert "active RDMA MTU of spark-2 is not known" in said


def test_images_and_nccl(tmp_path: Path) -> None:
    site = Site(tmp_path)
    image = next(one for one in site.told["spark-3"] if isinstance(one, ReadImage))
    looked = next(one for one in site.told["spark-3"] if site.told["spark-3"][one] is LOOKED)
    site.told["spark-3"][looked] = {"vllm": True, "nccl libnccl.so.2.27.5": True}
    assert "NCCL libnccl.so.2.28.3 on spark-2; libnccl.so.2.27.5 on spark-3" in refused(
        site.image, site
    )
    site.told["spark-3"] |= {looked: LOOKED, image: replace(IMAGE, id="sha256:" + "b" * 64)}
    assert "image sha256:aaa" in refused(site.image, site)


def test_llama_cpp_speaks_one_rpc(tmp_path: Path) -> None:
    """The major version must be one; what was not found is told and stops nothing."""
    line = "vl: {profile: own, hosts: [spark-2, spark-3], port: 8000"
    profile = {"own": "engine: llamacpp\nmodel: /m.gguf\nimage: x:1\n"}
    cluster = cluster_of(tmp_path, f"{line}}}", SPARKS, profile)
    (step,) = image_parity_steps(cluster, {})
    told: dict[str, dict[Any, Any]] = {
        host: {q: IMAGE for h, q in step.reads if h == host} for host in ("spark-2", "spark-3")
    }

    def world(head: str, worker: str) -> Mapping[str, Any]:
        for host, version in (("spark-2", head), ("spark-3", worker)):
            found = {f"{RPC}{version}": True} if version else {}
            told[host] |= {one: found for one in told[host] if not isinstance(one, ReadImage)}
        return {host: Told(answers) for host, answers in told.items()}

    assert step.check(world("5.0.0", "5.0.0")) is None
    assert step.check(world("", "5.0.0")) is None
    assert any("RPC none on spark-2" in one for one in step.remarks(world("", "5.0.0")))
    with pytest.raises(Refused, match=r"RPC 3\.6\.0 on spark-2; 5\.0\.0 on spark-3"):
        step.check(world("3.6.0", "5.0.0"))


@pytest.mark.parametrize("shell", SHELLS)
def test_rpc_is_what_its_server_says_when_it_starts(tmp_path: Path, shell: str) -> None:
    server = tmp_path / "ggml-rpc-server"
    server.write_text("#!/bin/sh\necho warning\necho 'Starting RPC server v5.0.0'\nexec sleep 60\n")
    server.chmod(0o755)
    words = [*shlex.split(shell), "-c", LOOK, "sh", str(server)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20)
    assert f"yes {RPC}5.0.0" in done.stdout.splitlines()
    server.write_text("#!/bin/sh\nexit 1\n")
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20)
    assert "rpc 5" not in done.stdout


def test_no_driver_anywhere_is_alike_and_no_gpu_needs_none(tmp_path: Path) -> None:
    site = Site(tmp_path, "parity: required")
    for told in site.told.values():
        told[ReadDriver()] = ""
    assert site.hosts.check(site.world) is None
    one = Site(tmp_path / "cpu", deployment=f"{TWO}, gpus: 0")
    one.told["spark-3"][ReadDriver()] = ""
    assert one.hosts.check(one.world) is None


def test_off_one_host_and_what_was_not_read(tmp_path: Path) -> None:
    assert Site(tmp_path / "off", '"parity": "off"').hosts is None
    alone = "vl: {profile: own, hosts: [spark-2], port: 8000"
    assert Site(tmp_path / "one", deployment=alone).hosts is None
    site = Site(tmp_path)
    del site.told["spark-2"][Identify()]
    with pytest.raises(NotRead):
        site.hosts.check(site.world)


@pytest.mark.parametrize("shell", SHELLS)
def test_nccl_is_found_by_the_names_of_its_files(tmp_path: Path, shell: str) -> None:
    (tmp_path / "usr/lib/aarch64-linux-gnu").mkdir(parents=True)
    look = LOOK.replace("/usr/", f"{tmp_path}/usr/").replace("/opt/", f"{tmp_path}/opt/")
    words = [*shlex.split(shell), "-c", look, "sh", "sh", "no-such-program"]

    def looked() -> list[str]:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()

    assert looked() == ["yes sh", "no no-such-program"]
    for name in ("libnccl.so.2", "libnccl.so.2.28.3"):
        (tmp_path / "usr/lib/aarch64-linux-gnu" / name).touch()
    packages = tmp_path / "usr/local/lib/python3.12/dist-packages/nvidia_nccl_cu13-2.28.7.dist-info"
    packages.mkdir(parents=True)
    assert looked()[2:] == [f"yes {NCCL}libnccl.so.2.28.3 nvidia_nccl_cu13-2.28.7.dist-info"]
