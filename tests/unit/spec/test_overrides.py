"""`--set` reaches any value of the files and is checked like them."""

from __future__ import annotations

import pytest

from tests.unit.spec.conftest import Site


def test_values_of_every_file(site: Site) -> None:
    cluster = site.load(
        "vl.parallel.pipeline=2",
        "vl.parallel.tensor=1",
        "vl.port=9000",
        "vl.args.max-model-len=4096",
        "vl.args.nested.a={deep: [1, 2]}",
        "deployments.vl.env.NEW=yes",
        "name=other",
        "inventory.network.mtu=1500",
        "network.pool=10.30.0.0/16",
        "hosts.spark-1.address=10.0.0.1",
        "hosts.spark-2.ssh.user=me",
        "hosts.rig.gpus=[{index: 0}, {index: 1}]",
        "links.0.0=spark-1.p1",
        "profiles.big.image=image:2",
        "profiles.big.args.gpu-memory-utilization=0.5",
        "profiles.big.env.A=",
    )
    one = cluster.deployments["vl"]
    assert (one.parallel.pipeline, one.parallel.tensor, one.port) == (2, 1, 9000)
    assert one.profile.args == {
        "gpu-memory-utilization": 0.5,
        "max-model-len": 4096,
        "nested": {"a": {"deep": [1, 2]}, "b": 2},
    }
    assert one.profile.env == {"B": "two", "NEW": "yes", "A": None} or "A" not in one.profile.env
    assert one.profile.image == "image:2"
    assert (cluster.name, cluster.mtu, str(cluster.pool)) == ("other", 1500, "10.30.0.0/16")
    assert cluster.hosts["spark-1"].address == "10.0.0.1"
    assert cluster.hosts["spark-2"].ssh.user == "me"
    assert cluster.hosts["rig"].gpu_count == 2
    assert str(cluster.links[0].ends[0]) == "spark-1.p1"


def test_names_with_dots(site: Site) -> None:
    site.write("profiles/qwen3.5-35b.yaml", "version: 1\nextends: big\n")
    site.deploy("v1.5: {profile: qwen3.5-35b, hosts: spark-1}")
    one = site.load("profiles.qwen3.5-35b.image=x", "v1.5.port=3").deployments["v1.5"]
    assert (one.profile.image, one.port) == ("x", 3)


def test_what_aliases_share_is_changed_in_one_place(site: Site) -> None:
    site.write(
        "cluster.yaml",
        "version: 1\nname: duo\nx-args: &args {k: 1}\ndeployments:\n"
        "  a: {profile: big, hosts: spark-1, args: *args}\n"
        "  b: {profile: big, hosts: spark-2, args: *args}\n",
    )
    found = site.load("a.args.k=2").deployments
    assert (found["a"].profile.args["k"], found["b"].profile.args["k"]) == (2, 1)


def test_another_inventory(site: Site) -> None:
    site.write("lab.yaml", (site.root / "inventory.yaml").read_text().replace("dgx-spark", "lab"))
    assert site.load("inventory=lab.yaml").hosts["spark-1"].kind.name == "lab"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vl.parallel.pipline=2", "there is no 'pipline' here (did you mean 'pipeline'?)"),
        ("vll.port=2", "there is no deployment 'vll' (did you mean 'vl'?)"),
        ("vl.prot=2", "there is no 'prot' here (did you mean 'port'?)"),
        ("inventory.netwrok.mtu=1", "there is no 'netwrok' here (did you mean 'network'?)"),
        ("hosts.spark-9.address=x", "there is no 'spark-9' here (did you mean"),
        ("hosts.spark-1.addres=x", "there is no 'addres' here (did you mean 'address'?)"),
        ("profiles.bgi.image=x", "no deployment uses a profile of that name; there are: big"),
        ("profiles.big.imag=x", "there is no 'imag' here (did you mean 'image'?)"),
        ("links.7.0=x", "there is no item '7' (the list has 1, from 0)"),
        ("name.x=1", "'name' has nothing below it"),
        ("vl.port", "write --set PATH=VALUE, like vl.parallel.pipeline=2"),
        ("=1", "write --set PATH=VALUE"),
        ("vl." + "a." * 40 + "b=1", "write --set PATH=VALUE"),
        ("vl.port=[1", "not YAML"),
        ("vl.port=eight", "deployments.vl.port: should be an integer or a mapping, not the text 'eight'"),
        ("vl.head=spark-1", "the head 'spark-1' is not among the hosts"),
    ],
)  # fmt: skip
def test_what_can_not_be_set(site: Site, text: str, said: str) -> None:
    found = site.errors(text)
    assert any(said in one for one in found), "\n".join(found)
    assert all(one.startswith("--set ") for one in found), "\n".join(found)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("vl.hosts[0]=x", "vl.hosts.0=…, or the list as a whole: vl.hosts=[…, …]"),
        ("links[1][0]=a.p0", "links.1.0=…, or the list as a whole: links=[…, …]"),
        (
            "hosts.rig.gpus[].index=0",
            "hosts.rig.gpus.0.index=…, or the list as a whole: hosts.rig.gpus=",
        ),
        (".vl=3", "a word of the path is empty (like vl.parallel.pipeline=2)"),
        ("vl..port=3", "a word of the path is empty"),
        ("vl.=3", "a word of the path is empty"),
    ],
)
def test_paths_as_other_tools_write_them(site: Site, said: str, told: str) -> None:
    assert told in site.error(said)
