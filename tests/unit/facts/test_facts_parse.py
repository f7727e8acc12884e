"""Answers as tools give them, read; cut and garbled ones never taken for something else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator import facts
from orchestrator.contracts import Query
from orchestrator.errors import Unknown
from orchestrator.facts.answers import Gpu, ListeningPort, Privilege
from orchestrator.facts.programs import ReadPrograms
from orchestrator.facts.rank_log import ReadRankLog
from orchestrator.facts.rank_mark import ReadRankMark
from orchestrator.script import Result, Script
from tests.unit.facts import samples


def result(out: str | bytes, rc: int = 0, err: bytes = b"") -> Result:
    return Result(rc, out.encode() if isinstance(out, str) else out, err, 0.1)


def gpus(smi: str, bus: str, topology: str = "") -> Mapping[str, Result]:
    return {"gpus": result(f"@smi\n{smi}@bus\n{bus}@topology\n{topology}end\n")}


def test_gb10_has_no_memory_of_its_own() -> None:
    found = facts.ReadGpus().parse(gpus(samples.SMI_GB10, samples.BUS_GB10))
    assert found.gpus == (
        Gpu(
            index=0,
            uuid="GPU-7b1f2c3d-0001-0002-0003-00000000000a",
            name="NVIDIA GB10",
            memory_bytes=None,
            memory_used_bytes=None,
            numa_node=None,
            driver="580.142",
            pci="000f:01:00.0",
        ),
    )
    assert found.toolkit and found.topology == {}


def test_two_cards_with_their_nodes_and_links() -> None:
    found = facts.ReadGpus().parse(gpus(samples.SMI_PAIR, samples.BUS_PAIR, samples.TOPOLOGY_PAIR))
    assert [(gpu.index, gpu.numa_node, gpu.pci) for gpu in found.gpus] == [
        (0, 0, "0000:01:00.0"),
        (1, 1, "0000:c1:00.0"),
    ]
    assert [gpu.memory_used_bytes for gpu in found.gpus] == [None, 311 * 2**20]
    assert found.gpus[0].memory_bytes == 24564 * 2**20
    assert found.topology == {(0, 1): "SYS", (1, 0): "SYS"}
    assert not found.toolkit


def test_no_nvidia_smi_and_no_device_are_facts_a_failing_one_is_unknown() -> None:
    for smi in ("none\n", samples.SMI_NONE):
        assert facts.ReadGpus().parse(gpus(smi, "toolkit no\n")).gpus == ()
    with pytest.raises(Unknown, match="couldn't communicate with the NVIDIA driver"):
        facts.ReadGpus().parse(gpus(samples.SMI_FAILED, samples.BUS_GB10))
    with pytest.raises(Unknown, match="no answer within"):
        facts.ReadGpus().parse({"gpus": result("", 124)})


def test_listening_ports_from_ss() -> None:
    query = facts.ReadListening()
    found = query.parse({"own": result("ss\nend\n"), "all": result(samples.SS)})
    assert found == (
        ListeningPort(22, "::", "sshd", 700),
        ListeningPort(53, "127.0.0.53", "systemd-resolve", 512),
        ListeningPort(2377, "::", "", None),
        ListeningPort(8000, "0.0.0.0", "vllm serve", 4711),
    )


def test_listening_ports_without_ss_and_without_sudo() -> None:
    answers = {
        "own": result(samples.PROC_NET),
        "all": result("", 1, b"sudo: a password is required"),
    }
    assert facts.ReadListening().parse(answers) == (
        ListeningPort(22, "::1", "", None),
        ListeningPort(8080, "127.0.0.1", "", None),
    )


def test_privilege() -> None:
    query = facts.ReadPrivilege()
    asked = {"uid": result("1000\n"), "root": result("0\n")}
    assert query.parse(asked) == Privilege(root=False, sudo=True)
    asked["root"] = result("", 1, b"sudo: a password is required\n")
    assert query.parse(asked) == Privilege(root=False, sudo=False)
    assert facts.ReadPrivilege(sudo=False).parse({"uid": result("0\n")}) == Privilege(True, True)


def test_an_engine_that_is_not_usable_says_why() -> None:
    query = facts.ReadContainerEngine("docker")
    down = result("rc 1\n\n{}\nspace \nend\n", 0, samples.DOCKER_DOWN)
    found = query.parse({"info": down})
    assert found.present and not found.usable
    assert "Is the docker daemon running?" in found.why
    denied = query.parse({"info": result("rc 1\n\nspace \nend\n", 0, samples.DOCKER_DENIED)})
    assert "permission denied" in denied.why
    hung = query.parse({"info": result("", 124)})
    assert hung.present and not hung.usable and "no answer" in hung.why
    absent = query.parse({"info": result("", 127, b"docker is not installed\n")})
    assert not absent.present


PODMAN_INFO = """\
rc 0
/home/tom/.local/share/containers/storage
{"host":{"arch":"arm64","cgroupVersion":"v2","security":{"rootless":true}},"store":{"graphRoot":"/home/tom/.local/share/containers/storage"},"version":{"Version":"4.9.3"}}
space 4096 100 50 60
end
"""


PODMAN = {"info": result(PODMAN_INFO), "here": result("cdi no\nlingers no\nend\n")}


def test_podman_answers_in_its_own_form() -> None:
    found = facts.ReadContainerEngine("podman").parse(PODMAN)
    assert (found.version, found.cgroup, found.free_bytes, found.free_inodes) == (
        "4.9.3",
        "2",
        409_600,
        50,
    )


@pytest.mark.parametrize(
    ("rootless", "here", "nvidia", "lasting"),
    [
        ("true", "cdi no\nlingers no\nend\n", False, False),
        ("true", "cdi yes\nlingers yes\nend\n", True, True),
        ("false", "cdi no\nlingers no\nend\n", False, True),  # root's need no login
    ],
)
def test_a_users_podman_may_end_with_the_login(
    rootless: str, here: str, nvidia: bool, lasting: bool
) -> None:
    info = PODMAN_INFO.replace('"rootless":true', f'"rootless":{rootless}')
    query = facts.ReadContainerEngine("sudo -n podman")
    found = query.parse({"info": result(info), "here": result(here)})
    assert (found.runtime, found.nvidia, found.lasting) == ("podman", nvidia, lasting)
    for cut in ("cdi no\nend\n", "cdi \nlingers no\nend\n", "cdi no\nlingers no\n"):
        with pytest.raises(Unknown):
            query.parse({"info": result(info), "here": result(cut)})


def test_podman_is_asked_as_it_is_called() -> None:
    """Root's containers are not the user's."""
    queries: tuple[Query[Any], ...] = (
        facts.ReadContainers("sudo -n podman", "duo"),
        facts.ReadContainerEngine("sudo -n podman"),
        facts.ReadImage("sudo -n podman", "x"),
        ReadRankLog("orch-duo-vl-0", runtime="sudo -n podman"),
        ReadRankMark("orch-duo-vl-0", "/orch/ready", "sudo -n podman"),
        ReadPrograms("sudo -n podman", "x", "mark"),
    )
    for query in queries:
        asked = query.ask()
        assert isinstance(asked, Script)
        text = "\n".join(command.sh for command in asked.commands.values())
        assert "sudo -n podman " in text
        bare = text.replace("sudo -n podman ", "")
        assert not re.search(r"podman (ps|info|inspect|image|logs|exec|version)", bare)


# Constructed: what our templates print; the first as docker 28.2.2 printed it for a running container.
DOCKER_PS = (
    '{"name":"/orch-duo-vl-0","id":"de3b1e94","image":"vllm:1","image_id":"sha256:99","status":"running",'
    '"code":0,"oom":false,"started":"2026-11-21T11:05:50.620528595Z","health":"starting","restarts":2,'
    '"policy":{"Name":"on-failure","MaximumRetryCount":10},'
    '"labels":{"orch.cluster":"duo","orch.spec":"{\\"a\\":\\"b\\\\n\\"}"}}\n'
    '{"name":"/orch-duo-vl-1","id":"fa07","image":"vllm:1","image_id":"sha256:99","status":"exited",'
    '"code":137,"oom":true,"started":"2026-11-21T11:05:50Z","health":"","restarts":0,'
    '"policy":{"Name":"no","MaximumRetryCount":0},"labels":{"orch.cluster":"duo"}}\n'
    "end 0\n"
)
PODMAN_PS = (
    '{"name":"orch-duo-vl-0","id":"de3b","image":"docker.io/library/vllm:1","image_id":"99","state":'
    '{"Status":"running","ExitCode":0,"OOMKilled":false,"StartedAt":"2026-11-21T11:05:50Z",'
    '"Health":{"Status":"","FailingStreak":0,"Log":null}},"restarts":0,"policy":{"Name":"","MaximumRetryCount":0},'
    '"labels":{"orch.cluster":"duo"}}\nend 0\n'
)


def test_containers_of_docker() -> None:
    first, second = facts.ReadContainers("docker", "duo").parse({"containers": result(DOCKER_PS)})
    assert (first.name, first.state, first.exit_code, first.health) == (
        "orch-duo-vl-0",
        "running",
        None,
        "starting",
    )
    assert (first.restart_policy, first.restart_count) == ("on-failure:10", 2)
    assert first.labels["orch.spec"] == '{"a":"b\\n"}'
    assert (second.state, second.exit_code, second.oom_killed) == ("exited", 137, True)
    with pytest.raises(Unknown, match="another cluster"):
        facts.ReadContainers("docker", "trio").parse({"containers": result(DOCKER_PS)})


def test_containers_of_podman() -> None:
    (only,) = facts.ReadContainers("podman", "duo").parse({"containers": result(PODMAN_PS)})
    assert (only.name, only.state, only.health, only.restart_policy) == (
        "orch-duo-vl-0",
        "running",
        "",
        "",
    )
    assert (
        only.image_id == "sha256:99"
    )  # as an image of docker's is called, and as ReadImage calls it


def test_a_container_that_vanished_meanwhile_is_no_trouble_anything_else_is() -> None:
    query = facts.ReadContainers("docker", "duo")
    out = DOCKER_PS.replace("end 0", "end 1")
    gone = result(out, 0, b"Error response from daemon: No such container: abc\n")
    assert len(query.parse({"containers": gone})) == 2
    # as podman 4.3.1 said it
    gone = result(
        PODMAN_PS.replace("end 0", "end 125"),
        0,
        b"Error: inspecting object: no such container 63dc\n",
    )
    assert len(facts.ReadContainers("podman", "duo").parse({"containers": gone})) == 1
    for err in (b"", b"Error: something else\n"):
        with pytest.raises(Unknown):
            query.parse({"containers": result(out, 0, err)})
    with pytest.raises(Unknown, match="Is the docker daemon running"):
        query.parse({"containers": result("", 1, samples.DOCKER_DOWN)})


IMAGE = (
    '{"id":"sha256:' + "9" * 64 + '","digests":["vllm/vllm-openai@sha256:' + "a" * 64 + '"],'
    '"arch":"arm64","size":21000000000}\n'
)


# As podman 4.3.1 printed it for an image that was built there, and tagged as one of a registry.
OF_PODMAN = (
    '{"id":"' + "9" * 64 + '","digests":["docker.io/vllm/x@sha256:' + "f" * 64 + '",'
    '"localhost/orch-build/x@sha256:' + "f" * 64 + '"],"arch":"amd64","size":11592}\n'
)

# As podman 5.4.2 printed it for what `docker save` of docker 26.1.5 gave it, and `podman tag` named afterwards.
SAVED = "orch-lab/host-tree@sha256:02841913125660d329e02306ece6353e84e114bd43454fcee955f95db2f517b2"
LOADED_BY_PODMAN_5 = (
    '{"id":"0cc9ee4f693fd582e44eefcbea61604eec1afcd7cb90b082c65f56018de8e29b",'
    f'"digests":["docker.io/{SAVED}","localhost/{SAVED}"],"arch":"amd64","size":11592}}\n'
)


def test_images_of_podman() -> None:
    query = facts.ReadImage("podman", "vllm/x:1")
    found = query.parse({"image": result(OF_PODMAN)})
    assert found.id == "sha256:" + "9" * 64
    assert found.digests == ()  # nobody can pull from localhost, whatever else the image was named
    pulled = OF_PODMAN.replace(
        "localhost/orch-build/x@sha256:" + "f" * 64, "docker.io/vllm/x@sha256:" + "e" * 64
    )
    found = query.parse({"image": result(pulled)})
    assert found.digests == tuple("docker.io/vllm/x@sha256:" + one * 64 for one in "fe")
    loaded = query.parse({"image": result(LOADED_BY_PODMAN_5)})
    assert loaded.digests == ()
    missing = result("\n", 125, b"Error: inspecting object: nosuch: image not known\n")
    assert not query.parse({"image": missing}).present


def test_images() -> None:
    query = facts.ReadImage("docker", "vllm/vllm-openai:v1")
    found = query.parse({"image": result(IMAGE)})
    assert (found.present, found.architecture, found.size_bytes) == (True, "arm64", 21_000_000_000)
    missing = result("\n", 1, b"Error response from daemon: No such image: vllm/vllm-openai:v1\n")
    assert not query.parse({"image": missing}).present
    with pytest.raises(Unknown):
        query.parse({"image": result("\n", 1, samples.DOCKER_DOWN)})


def test_netplan_files_of_any_content() -> None:
    text = b"network: {version: 2}\nfile 600 3 /x\nend\n"
    out = b"file 600 %d /etc/netplan/40 cx7.yaml\n%b\nfile 644 0 /etc/netplan/a.yaml\n\nend\n" % (
        len(text),
        text,
    )
    first, second = facts.ReadNetplan().parse({"netplan": result(out)})
    assert (first.path, first.mode, first.text) == (
        "/etc/netplan/40 cx7.yaml",
        0o600,
        text.decode(),
    )
    assert (second.path, second.mode, second.text) == ("/etc/netplan/a.yaml", 0o644, "")
    with pytest.raises(Unknown):
        facts.ReadNetplan().parse({"netplan": result("", 1, b"sudo: a password is required")})


def test_packages_that_nothing_is_said_of_are_unknown() -> None:
    query = facts.ReadPackages(("rsync", "perftest"))
    absent = b"dpkg-query: no packages found matching perftest\n"
    out = "manager apt-get\ninstalled rsync 3.2.7-1\nrc 1\nend\n"
    assert query.parse({"packages": result(out, 0, absent)}).versions == {
        "rsync": "3.2.7-1",
        "perftest": "",
    }
    with pytest.raises(Unknown, match="nothing is said of perftest"):
        query.parse({"packages": result(out)})
    rpm = "manager dnf\ninstalled rsync 3.2\npackage perftest is not installed\nrc 1\nend\n"
    assert query.parse({"packages": result(rpm)}).manager == "dnf"


MEMINFO = """\
MemTotal:       24684100 kB
MemFree:        20099691 kB
MemAvailable:   23733000 kB
Buffers:          100000 kB
Cached:          4000000 kB
Mapped:           400000 kB
Shmem:            700000 kB
SwapTotal:       2097148 kB
SwapFree:        2000000 kB
"""
IDENTITY = """\
os ubuntu
version "24.04"
boot 878266bc-ac23-45d5-9e7f-405867e85d6e
machine 3d1219c7c4c5404aaa1f6d2a48adfda4
host spark-2
uname 6.11.0-1016-nvidia aarch64
cpus 20
user tom
uid 1000
DGX_OTA_VERSION "7.2.3"
dgx yes
lab no
clock 1795259559.755045400
end
"""
DISK = """\
hidden no
writable yes
path /home/tom/models
near /home/tom
space 4096 18530565 66052044 16151039 16777216
type ext2/ext3
mount 29 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
device nvme0n1
ahead 128
end
"""
ADDRESSES = """\
[{},{"ifindex":4,"ifname":"enp1s0f1np1","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":9000,\
"address":"3c:6d:66:cc:b3:b7","addr_info":[{"family":"inet","local":"192.168.100.10","prefixlen":24}]},\
{"ifindex":2,"ifname":"enP7s7","flags":["BROADCAST","UP"],"mtu":1500,"address":"3c:6d:66:cc:b3:b0",\
"addr_info":[{"family":"inet","local":"192.168.102.10","prefixlen":24},{}]}]
"""
ROUTES = (
    '[{"dst":"default","gateway":"10.0.0.1","dev":"wlP9s9","metric":600,"flags":[]},'
    '{"dst":"default","gateway":"192.168.102.1","dev":"enP7s7","metric":100,"flags":[]},'
    '{"dst":"192.168.100.0/24","dev":"enp1s0f1np1","flags":[]},{"type":"unreachable","dst":"10.9.0.0/16"}]\n'
)
DEVICES = """\
enp1s0f1np1 4 200000 1 mlx5_core 0000:01:00.1 configured -
enP7s7 2 10000 1 r8127 0007:01:00.0 unmanaged 1
"""
RENDERER = """\
ssh 192.168.102.1 50000 192.168.102.10 22
systemd-networkd active
NetworkManager active
"""


def network_of(renderer: str = RENDERER, addresses: str = ADDRESSES) -> Mapping[str, Result]:
    out = f"@addresses\n{addresses}@routes\n{ROUTES}@sysfs\n{DEVICES}@renderer\n{renderer}end\n"
    return {"network": result(out, 0, b'Object "addr" is unknown\n')}


NETWORK = network_of()


def test_a_spark_in_the_form_of_its_tools() -> None:
    identity = facts.Identify().parse({"identity": result(IDENTITY)})
    assert (identity.os_id, identity.os_version, identity.user) == ("dgx-os", "7.2.3", "tom")
    assert identity.clock_epoch_s == pytest.approx(1795259559.755, abs=1e-3)
    memory = facts.ReadMemory().parse({"meminfo": result(MEMINFO)})
    assert memory.swap_used_bytes == 97_148 * 1024
    assert memory.droppable_bytes == 3_000_000 * 1024
    disk = facts.ReadDisk("~/models").parse({"disk": result(DISK)})
    assert (disk.fstype, disk.device, disk.read_ahead_kb, disk.near) == (
        "ext4",
        "nvme0n1",
        128,
        "/home/tom",
    )


def test_network_of_a_spark() -> None:
    network = facts.ReadNetwork().parse(NETWORK)
    port = network.netdevs["enp1s0f1np1"]
    assert (port.speed_mbps, port.mtu, port.driver, port.manager) == (
        200_000,
        9000,
        "mlx5_core",
        "networkd",
    )
    assert network.netdevs["enP7s7"].manager == "NetworkManager"
    assert (network.ssh_netdev, network.default_netdev) == ("enP7s7", "enP7s7")
    assert network.renderer == "both"
    assert "192.168.100.0/24 dev enp1s0f1np1" in network.routes


def test_an_ip_that_knows_no_json_is_told_as_such() -> None:
    with pytest.raises(Unknown, match='Object "addr" is unknown'):
        facts.ReadNetwork().parse(network_of(addresses="failed\n"))


@pytest.mark.parametrize(
    ("networkd", "manager", "wanted"),
    [
        ("active", "inactive", "networkd"),
        ("inactive", "active", "NetworkManager"),
        ("nosystemd", "nosystemd", "none"),
        ("failed", "activating", "none"),
        ("active", "active", "both"),
    ],
)
def test_who_renders(networkd: str, manager: str, wanted: str) -> None:
    said = f"ssh \nsystemd-networkd {networkd}\nNetworkManager {manager}\n"
    assert facts.ReadNetwork().parse(network_of(said)).renderer == wanted


def test_who_renders_is_unknown_where_systemd_does_not_say() -> None:
    for said in ("Failed to connect to bus", ""):
        with pytest.raises(Unknown):
            facts.ReadNetwork().parse(
                network_of(f"ssh \nsystemd-networkd active\nNetworkManager {said}\n")
            )


KEYFILES = """\
profile /etc/NetworkManager/system-connections/rail 1.nmconnection
 [connection]
 id=rail 1
 type=ethernet
 interface-name=enp1s0f1np1
 [ethernet]
 mtu=9000
 [ipv4]
 # address9=10.9.9.9/8
 address1=192.168.100.10/24,192.168.100.1
 addresses2=10.0.0.1;8;10.0.0.254;
 method=manual
profile /etc/NetworkManager/system-connections/any
 [connection]
 type=802-3-ethernet
 autoconnect=false
 autoconnect-priority=-5
 master=bond0
 [802-3-ethernet]
 mac-address=4C:BB:47:00:00:01
 [match]
 interface-name=en*;!enp9;
profile /etc/NetworkManager/system-connections/wifi.nmconnection
 [connection]
 type=wifi
profile /run/NetworkManager/system-connections/netplan-eth0.nmconnection
 [connection]
 type=ethernet
profile /run/NetworkManager/system-connections/Wired connection 1.nmconnection
 [connection]
 type=ethernet
 [.nmmeta]
 nm-generated=true
end
"""


def test_profiles_are_those_of_wires_that_somebody_wrote() -> None:
    first, second = facts.ReadProfiles().parse({"profiles": result(KEYFILES)})
    assert (first.path, first.id) == (
        "/etc/NetworkManager/system-connections/rail 1.nmconnection",
        "rail 1",
    )
    assert (first.interface, first.mtu, first.method) == ("enp1s0f1np1", 9000, "manual")
    assert first.addresses == ("192.168.100.10/24", "10.0.0.1/8")
    assert (first.autoconnect, first.priority, first.port_of) == (True, 0, "")
    assert (second.autoconnect, second.priority, second.port_of) == (False, -5, "bond0")
    assert (second.mac, second.patterns) == ("4c:bb:47:00:00:01", ("en*", "!enp9"))
    assert (second.interface, second.mtu, second.method) == ("", 1500, "auto")


def test_profiles_whose_answer_is_cut_or_refused_are_unknown() -> None:
    for answer in (
        result(KEYFILES.removesuffix("end\n")),
        result("", 1, b"sudo: a password is required"),
        result("profile /a\nno blank before it\nend\n"),
    ):
        with pytest.raises(Unknown):
            facts.ReadProfiles().parse({"profiles": answer})


RDMA_SYSFS = """\
port rocep1s0f1 1
state 4: ACTIVE
rate 2.5 Gb/sec (1X SDR)
layer Ethernet
firmware
parent enp1s0f1np1
net
gid /sys/class/infiniband/rocep1s0f1/ports/1/gids/0 fe80:0000:0000:0000:5054:00ff:fe00:0a02 enp1s0f1np1 RoCE v2
devices yes
daemon unlimited
caps 000001fffeffffff
"""
RDMA = {
    "rdma": result(
        f"@sysfs\n{RDMA_SYSFS}@links\n{samples.RDMA_LINK.replace('roceP2p1s0f1', 'other')}"
        f"@devinfo\n{samples.IBV_DEVINFO}end\n"
    )
}

SAMPLES: list[tuple[Query[Any], Mapping[str, Result]]] = [
    (facts.ReadGpus(), gpus(samples.SMI_PAIR, samples.BUS_PAIR, samples.TOPOLOGY_PAIR)),
    (facts.ReadMemory(), {"meminfo": result(MEMINFO)}),
    (facts.ReadDisk("~/models"), {"disk": result(DISK)}),
    (facts.ReadNetwork(), NETWORK),
    (facts.ReadRdma(), RDMA),
    (facts.ReadListening(sudo=False), {"own": result(samples.SS)}),
    (facts.ReadContainerEngine("podman"), PODMAN),
    (facts.ReadContainers("docker", "duo"), {"containers": result(DOCKER_PS)}),
    (facts.ReadContainers("podman", "duo"), {"containers": result(PODMAN_PS)}),
    (facts.ReadImage("docker", "x"), {"image": result(IMAGE)}),
    (facts.ReadNetplan(), {"netplan": result("file 600 3 /etc/netplan/a.yaml\nabc\nend\n")}),
    (facts.ReadProfiles(), {"profiles": result(KEYFILES)}),
    (facts.ReadTools(("a", "b")), {"tools": result("a /bin/a\nb \nend\n")}),
    (
        facts.ReadPath("/m"),
        {
            "path": result(
                f"path /m\nis folder\ntree {'a' * 64}  -\nsums 2 10 0\n"
                "lacks 1\nfirst a-00001-of-00002.gguf\nunfinished 0\nend\n"
            )
        },
    ),
    (
        facts.ReadPath("/m.gguf"),
        {"path": result("path /m.gguf\nis file\nsizes 2 10\nlacks 1\nfirst b.gguf\nend\n")},
    ),
    (facts.ReadDriver(), {"driver": result("driver 580.142\nend\n")}),
    (facts.ReadSources(("/a", "~/b")), {"sources": result("0 there\n1 hidden\nend\n")}),
    (
        facts.ReadLimits(),
        {"limits": result("files 1024\nlocked 8192\ncaps 000001ffffffffff\nend\n")},
    ),
    (
        facts.ReadOomKillers(),
        {
            "oom": result(
                "earlyoom active\nsystemd-oomd inactive\nnohang inactive\nnohang-desktop inactive\nend\n"
            )
        },
    ),
    (
        facts.ReadPackages(("rsync",)),
        {"packages": result("manager apt-get\ninstalled rsync 3.2\nrc 0\nend\n")},
    ),
]


@pytest.mark.parametrize(("query", "good"), SAMPLES, ids=lambda one: type(one).__name__)
def test_samples_are_read_and_a_missing_or_long_answer_is_not(
    query: Query[Any], good: Mapping[str, Result]
) -> None:
    assert query.parse(good) is not None
    for name, whole in good.items():
        without = {other: one for other, one in good.items() if other != name}
        longer = Result(whole.rc, whole.out, whole.err, whole.seconds, truncated=True)
        for broken in (without, {**good, name: longer}, {**good, name: result("")}):
            with pytest.raises(Unknown):
                query.parse(broken)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_cut_answer_is_unknown_or_the_same(data: st.DataObject) -> None:
    query, good = data.draw(st.sampled_from(SAMPLES))
    name = data.draw(st.sampled_from(sorted(good)))
    whole = good[name].out
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    try:
        answer = query.parse({**good, name: result(cut)})
    except Unknown:
        return
    assert answer == query.parse(good)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_garbled_answer_is_never_a_traceback(data: st.DataObject) -> None:
    query, good = data.draw(st.sampled_from(SAMPLES))
    name = data.draw(st.sampled_from(sorted(good)))
    whole = good[name].out
    at = data.draw(st.integers(0, len(whole)))
    to = data.draw(st.integers(at, len(whole)))
    noise = data.draw(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [b"null", b"[]", b"{}", b"1e999", b"-1", b"\xff", b"end\n", b"true", b'"']
            ),
        )
    )
    garbled = whole[:at] + noise + whole[to:]
    rc = data.draw(st.sampled_from([0, 0, 0, 1, 124, 127, 255]))
    try:
        query.parse({**good, name: result(garbled, rc, b"noise")})
    except Unknown as unknown:
        assert str(unknown)


@given(st.binary(max_size=200))
def test_noise_alone_is_unknown(noise: bytes) -> None:
    assume(noise != b"end\n")  # which is an answer: no netplan files
    for query, good in SAMPLES:
        with pytest.raises(Unknown):
            query.parse(dict.fromkeys(good, result(noise)))
