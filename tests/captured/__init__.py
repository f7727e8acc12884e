"""Output of real tools, kept as it came, and how tests read it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from orchestrator.rdma.answers import Effort, End, Lane, Load, Metric, Said, Test, Way

HERE = Path(__file__).parent
RDMA = HERE / "rdma"
IPERF3 = HERE / "iperf3"
LLDP = HERE / "lldp"
GPU = HERE / "gpu"
ONE_END = r"# {role} \([\w-]+\): (?P<argv>.*)\n(?P<out>[\s\S]*?)\[{role} rc=(?P<rc>\d+)\]\n"
NOT_OURS = r"(?P<err>(?:(?!# client|# wall).*\n)*)"


def rdma(name: str) -> tuple[Said, Said]:
    """Client and server of a recording."""
    text = (RDMA / name).read_text(encoding="utf-8")
    return _end(text, "client"), _end(text, "server")


def iperf3(name: str) -> tuple[Said, Said]:
    """Client and server of a recording of iperf3."""
    text = (IPERF3 / name).read_text(encoding="utf-8")
    return _end(text, "client"), _end(text, "server")


def lldp(name: str) -> str:
    """A recording of lldpcli or networkctl."""
    return (LLDP / name).read_text(encoding="utf-8")


def gpu(name: str) -> str:
    """A recording of a machine with a GPU."""
    return (GPU / name).read_text(encoding="utf-8")


def nccl(name: str, rc: int = 0) -> Said:
    """Both ranks of a recording, as `orch` puts them together: a process has one log for both outputs."""
    head, other = (
        "".join(one.read_text(encoding="utf-8") for one in sorted(GPU.glob(f"{name}_{rank}.*")))
        for rank in (0, 1)
    )
    return Said(rc, head, other)


def a_test(
    way: Way = "rdma",
    metric: Metric = "bandwidth",
    load: Load = "alone",
    effort: Effort | None = None,
    half: int = 0,
    device: str | None = "rocep1s0f1",
) -> Test:
    """A test between spark-1 and spark-2."""
    client = End("spark-1", "enp1s0f1np1", "192.168.100.1", device)
    server = End("spark-2", "enp1s0f1np1", "192.168.100.2", device)
    lane = Lane("spark-1.p1~spark-2.p1", half, client, server)
    return Test(lane, way, metric, load, effort or Effort(), 18515 + half)


def like(said: Said, metric: Metric = "bandwidth") -> Test:
    """The test that this client ran."""
    size = said.argv[said.argv.index("-s") + 1] if "-s" in said.argv else "65536"
    return a_test(metric=metric, effort=Effort(bytes=int(size)))


def _end(text: str, role: str) -> Said:
    found = re.search(ONE_END.format(role=role) + NOT_OURS, text)
    if found is None:
        raise ValueError(f"no {role} in this recording")
    return Said(int(found["rc"]), found["out"], found["err"], tuple(shlex.split(found["argv"])))
