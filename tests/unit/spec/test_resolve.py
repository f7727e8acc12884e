"""Files come to mean hosts, links and placed deployments."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from orchestrator.spec.models import PortRef
from orchestrator.spec.resolve import load, load_inventory
from tests.unit.spec.conftest import Site


def test_defaults_reach_every_host_and_hosts_win(site: Site) -> None:
    site.edit(
        "inventory.yaml",
        "hosts:",
        "defaults:\n  ssh: {user: tom, key: keys/id, port: 22}\n  kind: dgx-spark\n"
        "  env: {A: 1, B: 2}\n  become_password: {env: PW}\nhosts:",
    )
    site.edit(
        "inventory.yaml",
        "spark-2: {kind: dgx-spark,",
        "spark-2: {ssh: {port: 2222, key: null}, env: {B: null, C: 0.5}, become_password: {file: pw},",
    )
    hosts = site.load().hosts
    assert hosts["spark-1"].ssh.user == hosts["spark-2"].ssh.user == "tom"
    assert hosts["spark-1"].ssh.key == str(site.root / "keys/id")
    assert (hosts["spark-2"].ssh.key, hosts["spark-2"].ssh.port) == (None, 2222)
    assert hosts["spark-2"].kind.name == "dgx-spark"
    assert dict(hosts["spark-2"].env) == {"A": "1", "C": "0.5"}
    password = hosts["spark-2"].become_password
    assert password is not None
    assert (password.env, password.file) == (None, str(site.root / "pw"))


def test_a_spark_has_what_its_kind_says(site: Site) -> None:
    host = site.load().hosts["spark-1"]
    assert [half.netdev for half in host.ports["p1"].halves] == ["enp1s0f1np1", "enP2p1s0f1np1"]
    assert [half.rdma for half in host.ports["p0"].halves] == ["rocep1s0f0", "roceP2p1s0f0"]
    assert host.management == ("enP7s7", "wlP9s9")
    assert (host.gpu_count, host.kind.unified_memory, host.kind.gdr) == (1, True, False)
    assert (host.prepare.swap_off, host.prepare.read_ahead_kb) == (True, 8192)


def test_preparation_can_be_turned_off_for_a_host(site: Site) -> None:
    site.edit(
        "inventory.yaml",
        "spark-2: {",
        "spark-2: {prepare: {swap_off: false, read_ahead_kb: false}, install_packages: true, ",
    )
    host = site.load().hosts["spark-2"]
    assert (host.prepare.swap_off, host.prepare.read_ahead_kb) == (False, None)
    assert host.prepare.drop_caches is True
    assert host.install_packages is True


def test_ports_of_the_inventory_add_to_the_kinds(site: Site) -> None:
    site.edit(
        "inventory.yaml",
        "gpus: 8",
        "gpus: 8, ports: {fast: {halves: [{netdev: ens1, rdma: mlx5_0}], gbps: 100}}",
    )
    ports = site.load().hosts["rig"].ports
    assert list(ports) == ["fast"]
    assert ports["fast"].gbps == 100


def test_a_kind_of_the_users_own_builds_on_a_packed_one(site: Site) -> None:
    site.write(
        "kinds/my-spark.yaml",
        "version: 1\nname: my-spark\nextends: dgx-spark\nmtu: 4200\n"
        "env: {NCCL_IB_DISABLE: null, X: {value: 1, source: me}}\nprepare: {swap_off: false}\n",
    )
    site.edit("inventory.yaml", "spark-2: {kind: dgx-spark", "spark-2: {kind: my-spark")
    kind = site.load().hosts["spark-2"].kind
    assert (kind.name, kind.mtu, kind.prepare.swap_off) == ("my-spark", 4200, False)
    assert kind.prepare.read_ahead_kb == 8192
    assert "NCCL_IB_DISABLE" not in kind.env
    assert kind.env["X"].source == "me"
    assert kind.env["NCCL_NET_PLUGIN"].value == "none"


def test_a_users_kind_hides_the_packed_one_and_says_so(site: Site) -> None:
    site.write("kinds/gpu-host.yaml", "version: 1\nname: gpu-host\ngpu_count: 4\n")
    cluster = site.load()
    assert cluster.shadowed == ("packed:kinds/gpu-host.yaml",)
    assert cluster.hosts["rig"].kind.gpu_count == 4
    assert str(site.root / "kinds/gpu-host.yaml") in cluster.sources
    assert "packed:kinds/dgx-spark.yaml" in cluster.sources


def test_links(site: Site) -> None:
    site.edit(
        "inventory.yaml",
        "- [spark-2.p1, spark-3.p1]",
        "- {ends: [spark-2.p1, spark-3.p1], subnets: [192.168.100.0/24, 192.168.101.0/24]}\n"
        "  - {switch: s1, ports: [spark-1.p0, spark-2.p0, spark-3.p0]}",
    )
    pinned, switched = site.load().links
    assert pinned.ends == (PortRef(host="spark-2", port="p1"), PortRef(host="spark-3", port="p1"))
    assert pinned.subnets == (IPv4Network("192.168.100.0/24"), IPv4Network("192.168.101.0/24"))
    assert (switched.switch, len(switched.ends), switched.subnets) == ("s1", 3, None)


def test_the_head_comes_first(site: Site) -> None:
    assert site.load().deployments["vl"].hosts == ("spark-2", "spark-3")
    assert site.load("vl.head=spark-3").deployments["vl"].hosts == ("spark-3", "spark-2")


def test_hosts_is_a_name_a_group_or_a_list_of_both(site: Site) -> None:
    site.deploy(
        "a: {profile: big, hosts: spark-1}",
        "b: {profile: big, hosts: [spark-1, pair], parallel: {pipeline: 3}, share_gpu: true,"
        " port: 1, memory: 1GiB}",
    )
    found = site.load().deployments
    assert (found["a"].hosts, found["b"].hosts) == (("spark-1",), ("spark-1", "spark-2", "spark-3"))


def test_what_is_not_said_has_its_default(site: Site) -> None:
    one = site.load().deployments["vl"]
    assert (one.port, one.rails, one.gpus, one.share_gpu) == (8000, "dual", "all", False)
    assert (one.profile.executor, one.supervision, one.origin) == ("ray", "entrypoint", "vl")


@pytest.mark.parametrize(
    ("profile", "hosts", "executor", "supervision"),
    [
        ("engine: vllm\nexecutor: native", "pair", "native", "none"),
        ("engine: vllm\nexecutor: native", "spark-1", "native", "entrypoint"),
        ("engine: vllm", "spark-1", "mp", "entrypoint"),
        ("engine: llamacpp", "pair", None, "none"),
        ("engine: llama.cpp", "pair", None, "none"),
        ("engine: llamacpp", "spark-1", None, "entrypoint"),
        ("engine: llamacpp\nsupervision: entrypoint", "pair", None, "entrypoint"),
    ],
)
def test_who_supervises(
    site: Site, profile: str, hosts: str, executor: str | None, supervision: str
) -> None:
    site.write("profiles/p.yaml", f"version: 1\nmodel: m\nimage: i\n{profile}\n")
    size = "{tensor: 2}" if hosts == "pair" else "{}"
    site.deploy(f"a: {{profile: p, hosts: {hosts}, parallel: {size}}}")
    one = site.load().deployments["a"]
    assert (one.profile.executor, one.supervision) == (executor, supervision)


def test_profiles_build_on_each_other(site: Site) -> None:
    site.write(
        "profiles/child.yaml",
        "version: 1\nextends: big\nimage: image:2\n"
        "args: {nested: {b: null, c: 3}, gpu-memory-utilization: null, extra: [1, 2]}\n"
        "env: {B: null, C: three}\n",
    )
    site.write("profiles/grandchild.yaml", "version: 1\nextends: child\nargs: {extra: [9]}\n")
    site.deploy(
        "a: {profile: grandchild, hosts: spark-1, args: {own: true, extra: null}, env: {A: mine}}"
    )
    profile = site.load().deployments["a"].profile
    assert profile.name == "grandchild"
    assert (profile.model, profile.image, profile.extends) == ("some/model", "image:2", None)
    assert dict(profile.args) == {"nested": {"a": 1, "c": 3}, "own": True}
    assert dict(profile.env) == {"A": "mine", "C": "three"}


def test_a_child_takes_away_what_its_parent_says(site: Site) -> None:
    site.edit("profiles/big.yaml", "image: image:1", "image: i\nwarmup: {prompts: [5]}\n"
              "secrets: {T: {env: T}}\nlimits: {memory: 1GiB, cpus: 2}")  # fmt: skip
    site.write(
        "profiles/child.yaml",
        "version: 1\nextends: big\nwarmup: null\nsecrets: {T: {file: token}}\nlimits: {cpus: null}\n",
    )
    site.deploy("a: {profile: child, hosts: spark-1, limits: {memory_swap: 2GiB}}")
    one = site.load().deployments["a"]
    assert one.profile.warmup is None
    assert one.profile.secrets["T"].file == str(site.root / "profiles/token")
    assert one.profile.secrets["T"].env is None
    assert (one.limits.memory, one.limits.memory_swap, one.limits.cpus) == ("1GiB", "2GiB", None)


def test_paths_start_at_the_file_that_says_them(site: Site) -> None:
    site.write("profiles/patch.py", "")
    site.write("shared.py", "")
    site.edit(
        "profiles/big.yaml",
        "image: image:1",
        "build: {dockerfile: docker/Dockerfile}\nmounts:\n"
        "  - {from: ./patch.py, to: /a, sync: true}\n"
        "  - {from: shared.py, to: /b, sync: true}\n"
        "  - {from: ~/x, to: /c, sync: true}\n"
        "  - {from: /srv/x, to: /d}\n  - {from: volume, to: /e}\n",
    )
    profile = site.load().deployments["vl"].profile
    assert [mount.from_ for mount in profile.mounts] == [
        str(site.root / "profiles/patch.py"),
        str(site.root / "shared.py"),
        "~/x",
        "/srv/x",
        "volume",
    ]
    assert profile.build is not None
    assert profile.build.dockerfile == str(site.root / "profiles/docker/Dockerfile")
    assert profile.build.context == str(site.root / "profiles")


def test_a_profile_can_be_a_path(site: Site) -> None:
    site.write("mine.yaml", "version: 1\nextends: big\n")
    site.deploy("a: {profile: ./mine.yaml, hosts: spark-1}")
    profile = site.load("profiles.mine.image=other").deployments["a"].profile
    assert (profile.name, profile.model, profile.image) == ("mine", "some/model", "other")


def test_replicas_one_for_each_gpu_with_companions(site: Site) -> None:
    site.write("profiles/small.yaml", "version: 1\nengine: llamacpp\nmodel: m\nimage: i\n")
    site.deploy(
        "chat: {profile: small, hosts: [rig], replicas: {per: gpu, count: 3}, port: {from: 8080}}",
        "vec: {profile: small, with: chat, port: {from: 8090}}",
        "last: {profile: small, hosts: spark-1, after: [chat, vec]}",
    )
    found = site.load().deployments
    assert list(found) == ["chat-0", "chat-1", "chat-2", "vec-0", "vec-1", "vec-2", "last"]
    assert [(one.gpus, one.port) for one in found.values()][:3] == [
        ((0,), 8080),
        ((1,), 8081),
        ((2,), 8082),
    ]
    assert [(one.gpus, one.port, one.beside) for one in found.values()][3:6] == [
        ((0,), 8090, "chat-0"),
        ((1,), 8091, "chat-1"),
        ((2,), 8092, "chat-2"),
    ]
    assert found["last"].after == ("chat-0", "chat-1", "chat-2", "vec-0", "vec-1", "vec-2")
    assert found["chat-1"].origin == "chat"


def test_replicas_for_each_host_and_over_several_hosts(site: Site) -> None:
    site.write("profiles/small.yaml", "version: 1\nengine: llamacpp\nmodel: m\nimage: i\n")
    site.deploy(
        "a: {profile: small, hosts: [spark-1, pair], replicas: {per: host, count: 3}}",
        "b: {profile: small, hosts: [rig, spark-1], replicas: {per: gpu, count: 9}, share_gpu: true,"
        " port: {from: 9000}}",
    )
    found = site.load().deployments
    assert [found[f"a-{n}"].hosts[0] for n in range(3)] == ["spark-1", "spark-2", "spark-3"]
    assert {found[f"a-{n}"].port for n in range(3)} == {8000}
    assert (found["b-7"].hosts, found["b-8"].hosts, found["b-8"].gpus) == (
        ("rig",),
        ("spark-1",),
        (0,),
    )


def test_what_is_not_enabled_is_checked_and_left_out(site: Site) -> None:
    site.deploy(
        "a: {profile: big, hosts: spark-1, enabled: false}",
        "b: {profile: big, hosts: spark-1, after: [a]}",
    )
    found = site.load().deployments
    assert list(found) == ["b"]
    assert found["b"].after == ()
    site.edit("cluster.yaml", "enabled: false", "enabled: false, prot: 1")
    assert "deployments.a.prot: unknown key" in site.error()
    site.edit("cluster.yaml", "prot: 1", "port: 1")
    site.edit("cluster.yaml", "hosts: spark-1, enabled", "hosts: nowhere, enabled")
    assert "there is no host or group 'nowhere'" in site.error()


def test_an_inventory_alone(site: Site) -> None:
    cluster = load_inventory(site.root / "inventory.yaml", ["network.mtu=1500"])
    assert list(cluster.hosts) == ["spark-1", "spark-2", "spark-3", "rig"]
    assert (cluster.mtu, len(cluster.links), dict(cluster.deployments)) == (1500, 1, {})


def test_the_top_level_files_load() -> None:
    root = Path(__file__).parents[3]
    loaded = load(root / "cluster.yaml")
    assert loaded.errors == ()
    assert loaded.cluster.shadowed == ()


@pytest.mark.parametrize(
    ("deployments", "said"),
    [
        (["a: {profile: nope, hosts: spark-1}"], "there is no profile 'nope'"),
        (["a: {profile: ../../etc/passwd, hosts: spark-1}"], "there is no profile '../../etc/passwd'"),
        (["a: {profile: big}"], "deployments.a.hosts: is required (or `with:` another deployment)"),
        (["a: {profile: big, hosts: []}"], "deployments.a.hosts: names no host"),
        (["a: {profile: big, hosts: [spark-1, spark-1]}"], "'spark-1' is named twice"),
        (["a: {profile: big, hosts: pear}"], "there is no host or group 'pear' (did you mean 'pair'?)"),
        (["a: {profile: big, hosts: pair, head: spark-1, parallel: {tensor: 2}}"],
         "deployments.a.head: the head 'spark-1' is not among the hosts spark-2, spark-3"),
        (["a: {profile: big, hosts: spark-1, after: [b]}"], "deployments.a.after.0: there is no deployment 'b'"),
        (["a: {profile: big, hosts: spark-1, after: [a]}"], "comes after itself"),
        (["a: {profile: big, with: b}"], "deployments.a.with: there is no deployment 'b'"),
        (["a: {profile: big, with: b}", "b: {profile: big, with: a}"], "stands beside itself"),
        (["a: {profile: big, hosts: spark-1, with: b}", "b: {profile: big, hosts: spark-2}"],
         "deployments.a.hosts: can't be said together with `with`"),
        (["a: {profile: big, with: b}", "b: {profile: big, hosts: spark-2, enabled: false}"],
         "'b' is not enabled, so there is nothing to stand beside"),
        (["a: {profile: big, hosts: rig, replicas: {per: gpu, count: 9}, port: {from: 1}}"],
         "deployments.a.replicas.count: 9 replicas on the 8 GPUs of rig (one for each GPU)"),
        (["a: {profile: big, hosts: pair, replicas: {per: host, count: 3}}"], "3 replicas on 2 hosts"),
        (["a: {profile: big, hosts: rig, replicas: {per: gpu, count: 2}, port: {from: 65535}}"],
         "replica 1 would need a port above 65535"),
        (["a: {profile: big, hosts: rig, replicas: {per: gpu, count: 1}, port: {from: 1}}",
          "a-0: {profile: big, hosts: spark-1}"], "its replica 'a-0' has the name of another"),
    ],
)  # fmt: skip
def test_names_that_do_not_fit(site: Site, deployments: list[str], said: str) -> None:
    site.deploy(*deployments)
    found = site.errors()
    assert any(said in one for one in found), "\n".join(found)


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("[spark-2.p1, spark-9.p1]", "links.0.1: there is no host 'spark-9' (did you mean"),
        ("[spark-2.p1, spark-3.p2]", "spark-3 has no port 'p2' (there are: p0, p1)"),
        ("[spark-2.p1, rig.p1]", "rig has no port 'p1' (the kind gpu-host has no ports)"),
        ("[spark-2, spark-3.p1]", "'spark-2' names no port (write HOST.PORT, like spark-1.p0)"),
        ("[spark-2.p0, spark-2.p1]", "a cable from spark-2 to itself"),
        ("{switch: s, ports: [spark-2.p1, spark-3.p1, spark-2.p1]}", "spark-2.p1 is used twice"),
        ("{ends: [spark-2.p1, spark-3.p1], subnets: [10.0.0.0/24]}", "1 subnets for 2 halves (one for each half)"),
        ("{ends: [spark-2.p1, spark-3.p1], subnets: [10.0.0.0/24, 10.0.0.0/25]}",
         "both halves of a port in one subnet (10.0.0.0/24, 10.0.0.0/25)"),
        ("{ends: [spark-2.p1, spark-3.p1], subnets: [10.0.0.7/24, 10.0.1.0/24]}",
         "'10.0.0.7/24' is no network but an address (write 10.0.0.0/24)"),
        ("{ends: [spark-2.p1, spark-3.p1], subnets: [nope, 10.0.1.0/24]}", "'nope' is no IPv4 network"),
        ("{ends: [spark-2.p1, spark-3.p1], subnets: [10.0.0.0/31, 10.0.1.0/24]}", "10.0.0.0/31 has no room for 2 ends"),
        ("{ends: [spark-2.p1, spark-3.p1], subnets: [127.0.0.0/24, 10.0.1.0/24]}", "127.0.0.0/24 can't carry links"),
    ],
)  # fmt: skip
def test_links_that_can_not_be(site: Site, link: str, said: str) -> None:
    site.edit("inventory.yaml", "[spark-2.p1, spark-3.p1]", link)
    found = site.errors()
    assert any(said in one for one in found), "\n".join(found)


def test_two_links_of_a_switch_can_not_disagree_on_how_much_it_carries(site: Site) -> None:
    one = "- {switch: s, at_once: 1, ports: [spark-2.p0, spark-3.p0]}"
    two = f"{one}\n  - {{switch: s,%s ports: [spark-2.p1, spark-3.p1]}}"
    site.edit("inventory.yaml", "- [spark-2.p1, spark-3.p1]", two % " at_once: 2,")
    assert site.error() == (
        "inventory.yaml:10:26: error: links.1.at_once: 2 pairs at once, and links.0 says 1 for the same switch"
        " (say it once for s: it holds for all of its links)"
    )
    site.edit("inventory.yaml", " at_once: 2,", "")
    assert [one.at_once for one in site.load().links] == [1, None]


def test_a_cable_twice(site: Site) -> None:
    site.edit("inventory.yaml", "- [spark-2.p1, spark-3.p1]",
              "- [spark-2.p1, spark-3.p1]\n  - [spark-3.p1, spark-2.p1]")  # fmt: skip
    assert site.errors() == [
        "inventory.yaml:10:6: error: links.1.0: the port spark-3.p1 is used twice; first in links.0",
        "inventory.yaml:10:18: error: links.1.1: the port spark-2.p1 is used twice; first in links.0",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("groups: {pair:", "groups: {rig:", "groups.rig: 'rig' is a host as well"),
        ("[spark-2, spark-3]}", "[]}", "groups.pair: names no host"),
        ("[spark-2, spark-3]}", "[spark-2, spark-2]}", "groups.pair.1: 'spark-2' stands twice"),
        ("192.168.102.11", "192.168.102.10", "spark-1 has the same address '192.168.102.10'"),
        ("gpus: 8", "gpus: [{index: 0}, {index: 0}]", "hosts.rig.gpus: two GPUs have the same index"),
        ("gpus: 8", "ssh: {jump: rig}", "hosts.rig.ssh.jump: jumps in a circle: rig → rig"),
        ("spark-2: {kind", "spark-2: {management: [enp1s0f0np0], kind",
         "hosts.spark-2: the interface enp1s0f0np0 has two places among management and ports"),
        ("hosts:", "defaults: {address: x}\nhosts:", "defaults.address: an address belongs to one host"),
        ("links:", "network: {pool: 10.20.0.0/40}\nlinks:", "network.pool: '10.20.0.0/40' is no IPv4 network"),
        ("links:", "network: {pool: 'fd00::/8'}\nlinks:", "network.pool: 'fd00::/8' is no IPv4 network"),
    ],
)  # fmt: skip
def test_inventories_that_can_not_be(site: Site, old: str, new: str, said: str) -> None:
    site.edit("inventory.yaml", old, new)
    found = site.errors()
    assert any(said in one for one in found), "\n".join(found)


def test_a_jump_host_that_is_nearly_one_of_ours(site: Site) -> None:
    site.edit("inventory.yaml", "gpus: 8", "gpus: 8, ssh: {jump: sparkk-1}")
    warnings = [str(one) for one in load(site.root / "cluster.yaml").warnings]
    assert "is no host of this inventory" in warnings[0]
    assert "did you mean 'spark-1'?" in warnings[0]


def test_extends_in_a_circle(site: Site) -> None:
    site.edit("profiles/big.yaml", "engine: vllm", "extends: b")
    site.write("profiles/b.yaml", "version: 1\nextends: big\n")
    assert site.error() == ("profiles/b.yaml:2:10: error: extends: extends itself: big → b → big")
    site.edit("profiles/big.yaml", "extends: b", "extends: bb")
    assert "profiles/big.yaml:2:10: error: extends: there is no profile 'bb'" in site.error()


def test_a_profile_with_no_model(site: Site) -> None:
    site.edit("profiles/big.yaml", "model: some/model\n", "")
    assert (
        "profiles/big.yaml:1:1: error: model: is required (here, or in what it extends)"
        in site.error()
    )


def test_an_image_that_docker_would_take_for_an_option(site: Site) -> None:
    site.edit("profiles/big.yaml", "image: image:1", "image: --privileged")
    assert "image: can't begin with '-': a program would take it for an option" in site.error()


def test_env_for_a_host_that_is_not_there(site: Site) -> None:
    site.edit("profiles/big.yaml", "env:", "env_by_host: {spark-4: {A: 1}}\nenv:")
    assert (
        "profiles/big.yaml:6:15: error: env_by_host.spark-4: there is no host 'spark-4'"
        in site.error()
    )


def test_a_kind_in_a_file_of_another_name(site: Site) -> None:
    site.write("kinds/mine.yaml", "version: 1\nname: yours\n")
    site.edit("inventory.yaml", "rig: {kind: gpu-host", "rig: {kind: mine")
    assert (
        "kinds/mine.yaml:2:7: error: name: the file is called mine.yaml (write name: mine)"
        in site.error()
    )
