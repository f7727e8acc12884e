"""The RDMA probe itself, run over a tree of files in the form of a captured one."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import Unknown
from orchestrator.facts import ReadRdma
from orchestrator.script import Command, Result, Script, Sh
from tests.local_shell import SHELLS, run_script
from tests.unit.facts import samples

ROOT = "/sys/class/infiniband"
ZERO = "0000:0000:0000:0000:0000:0000:0000:0000"


def device(
    tree: Path, name: str, netdev: str, gids: dict[int, tuple[str, str]], **more: str
) -> None:
    """One device as captured from Soft-RoCE (kernel 6.1): 1024 GIDs, nearly all zero; types of unused fail."""
    port = tree / name / "ports" / "1"
    for folder in ("gids", "gid_attrs/types", "gid_attrs/ndevs"):
        (port / folder).mkdir(parents=True)
    (tree / name / "fw_ver").write_text(more.get("firmware", "") + "\n")
    if "parent" in more:
        (tree / name / "parent").write_text(more["parent"] + "\n")
    (port / "state").write_text(more.get("state", "4: ACTIVE") + "\n")
    (port / "rate").write_text(more.get("rate", "2.5 Gb/sec (1X SDR)") + "\n")
    (port / "link_layer").write_text("Ethernet\n")
    for index in range(1024):
        (port / "gids" / str(index)).write_text(gids.get(index, (ZERO, ""))[0] + "\n")
    for index, (_, kind) in gids.items():
        (port / "gid_attrs/types" / str(index)).write_text(kind + "\n")
        (port / "gid_attrs/ndevs" / str(index)).write_text(netdev + "\n")


def read(tree: Path, shell: str, links: str = "", devinfo: str = "") -> dict[str, Result]:
    """What the probe says of that tree, with the tools' answers as given."""
    text = ReadRdma().ask().commands["rdma"].sh.replace(ROOT, str(tree))
    done = run_script(Script({"rdma": Command(Sh(text))}), shell)["rdma"]
    sysfs = done.out.replace(str(tree).encode(), ROOT.encode()).partition(b"@links")[0]
    out = sysfs + f"@links\n{links}@devinfo\n{devinfo}end\n".encode()
    return {"rdma": Result(done.rc, out, done.err, 0.1)}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_spark_like_pair_without_ibdev2netdev(tmp_path: Path, shell: str) -> None:
    gids = {
        0: ("fe80:0000:0000:0000:5054:00ff:fe00:0a02", "IB/RoCE v1"),
        1: ("fe80:0000:0000:0000:5054:00ff:fe00:0a02", "RoCE v2"),
        3: ("0000:0000:0000:0000:0000:ffff:c0a8:640a", "RoCE v2"),
    }
    firmware = "28.45.4028"
    device(
        tmp_path, "rocep1s0f1", "enp1s0f1np1", gids, firmware=firmware, rate="200 Gb/sec (4X HDR)"
    )
    device(tmp_path, "roceP2p1s0f1", "enP2p1s0f1np1", {}, state="1: DOWN")
    found = ReadRdma().parse(read(tmp_path, shell, samples.RDMA_LINK, samples.IBV_DEVINFO))
    down, up = found.devices
    assert (up.name, up.port, up.netdev, up.state) == ("rocep1s0f1", 1, "enp1s0f1np1", "ACTIVE")
    assert (up.rate_gbps, up.active_mtu, up.link_layer) == (200.0, 4096, "Ethernet")
    assert up.firmware == firmware
    assert up.gids == (
        (0, "fe80::5054:ff:fe00:a02", "IB/RoCE v1"),
        (1, "fe80::5054:ff:fe00:a02", "RoCE v2"),
        (3, "::ffff:192.168.100.10" if "." in up.gids[2][1] else "::ffff:c0a8:640a", "RoCE v2"),
    )
    assert (down.name, down.netdev, down.state, down.active_mtu) == (
        "roceP2p1s0f1",
        "enP2p1s0f1np1",
        "DOWN",
        1024,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_without_the_rdma_tool_the_netdev_comes_from_sysfs(tmp_path: Path, shell: str) -> None:
    gid = {0: ("fe80:0000:0000:0000:5054:00ff:fe00:0a02", "RoCE v2")}
    device(tmp_path, "a", "enp1s0f1np1", gid)
    device(tmp_path, "b", "", {}, parent="enp9s0", state="1: DOWN")
    device(tmp_path, "c", "", {}, state="1: DOWN")
    (tmp_path / "c" / "device" / "net" / "enp8s0").mkdir(parents=True)
    found = ReadRdma().parse(read(tmp_path, shell))
    assert [one.netdev for one in found.devices] == ["enp1s0f1np1", "enp9s0", "enp8s0"]
    assert [one.active_mtu for one in found.devices] == [None, None, None]


@pytest.mark.parametrize("shell", SHELLS)
def test_no_device_is_a_fact(tmp_path: Path, shell: str) -> None:
    assert ReadRdma().parse(read(tmp_path / "none", shell)).devices == ()


def test_capabilities_that_can_not_be_read_are_unknown() -> None:
    out = b"@sysfs\ndevices no\ncaps \n@links\n@devinfo\nend\n"
    with pytest.raises(Unknown, match="capabilities"):
        ReadRdma().parse({"rdma": Result(0, out, b"", 0.1)})
