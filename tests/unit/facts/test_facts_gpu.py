"""What is read of a machine with a real GPU (tests/captured/gpu), idle and while a model lies on the card."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from orchestrator import facts
from orchestrator.errors import Unknown
from orchestrator.facts.answers import Gpu
from orchestrator.facts.gpus import smi_rows, topology_of
from orchestrator.script import Result
from tests import captured

MIB = 2**20


def said(name: str, text: str) -> Mapping[str, Result]:
    return {name: Result(0, text.encode(), b"", 0.1)}


def read(text: str) -> Gpu:
    found = facts.ReadGpus().parse(said("gpus", text))
    assert found.topology == {}
    assert not found.toolkit
    (gpu,) = found.gpus
    return gpu


def test_an_h100_with_nothing_on_it() -> None:
    """The kernel says -1 of its node: there is one only. Idle is not free: the driver keeps 480 MiB."""
    gpu = read(captured.gpu("h100_gpus_idle.txt"))
    assert gpu == Gpu(
        index=0,
        uuid="GPU-00000100-0000-4000-8000-000000000001",
        name="NVIDIA H100 80GB HBM3",
        memory_bytes=81559 * MIB,
        memory_used_bytes=0,
        numa_node=None,
        driver="580.159.04",
        pci="0000:00:06.0",
        memory_free_bytes=81079 * MIB,
    )


def test_an_h100_that_serves() -> None:
    gpu = read(captured.gpu("h100_gpus_serving.txt"))
    assert gpu.memory_used_bytes == 1857 * MIB
    assert gpu.memory_free_bytes == 79223 * MIB


def test_its_driver_without_nvidia_smi() -> None:
    text = captured.gpu("h100_driver.txt")
    assert facts.ReadDriver().parse(said("driver", text)) == "580.159.04"


def test_one_gpu_has_no_links() -> None:
    """Its row ends with the CPUs, the node and N/A, which are no links."""
    assert topology_of(captured.gpu("h100_topo_m.txt").splitlines(), 1) == {}


def test_an_index_that_is_not_there() -> None:
    """Exit code 6 and these words are how nvidia-smi says that there is none."""
    text = captured.gpu("h100_no_such_gpu.txt")
    assert smi_rows([*text.splitlines(), "rc 6"], "") == []
    with pytest.raises(Unknown, match="No devices were found"):
        smi_rows([*text.splitlines(), "rc 9"], "")


@pytest.mark.parametrize("name", ["h100_gpus_idle.txt", "h100_gpus_serving.txt"])
def test_no_part_of_it_is_taken_for_the_whole(name: str) -> None:
    text = captured.gpu(name)
    for cut in range(len(text) - 1):
        with pytest.raises(Unknown):
            read(text[:cut])
