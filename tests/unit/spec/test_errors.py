"""Errors name file, line, column and path, say what to write instead, and come all at once."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO

import pytest

from orchestrator.errors import FilesWrong
from orchestrator.spec import load as loading
from orchestrator.spec.models import ProfileFile
from orchestrator.spec.resolve import load_cluster, load_inventory
from tests.unit.spec.conftest import Site


def test_the_files_of_the_fixture_are_right(site: Site) -> None:
    assert list(site.load().deployments) == ["vl"]


def test_unknown_key(site: Site) -> None:
    site.edit("inventory.yaml", "address: 192.168.102.11", "addres: 192.168.102.11")
    assert site.error() == (
        "inventory.yaml:4:30: error: hosts.spark-2.addres: unknown key (did you mean 'address'?)"
    )


def test_unknown_key_with_nothing_close_lists_what_there_is(site: Site) -> None:
    site.edit("cluster.yaml", "name: duo", "name: duo\nzzz: 1")
    assert site.error() == (
        "cluster.yaml:3:1: error: zzz: unknown key "
        "(there are: inventory, takeover, hooks, notify, tunnels)"
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("cluster.yaml", "tensor: 2", "tensor: two",
         "cluster.yaml:7:24: error: deployments.vl.parallel.tensor: "
         "should be an integer, not the text 'two'"),
        ("cluster.yaml", "tensor: 2", "tensor: '2'",
         "should be an integer, not the text '2' (write 2, without quotes or leading zeros)"),
        ("cluster.yaml", "tensor: 2", "tensor: true", "should be an integer, not true"),
        ("cluster.yaml", "tensor: 2", "tensor: 2.0", "should be an integer, not 2.0"),
        ("cluster.yaml", "tensor: 2", "tensor: 0", "should be at least 1, not 0"),
        ("cluster.yaml", "{tensor: 2}", "[2]", "deployments.vl.parallel: should be a mapping, not a list"),
        ("cluster.yaml", "hosts: pair", "hosts: {a: 1}",
         "deployments.vl.hosts: should be text or a list, not a mapping"),
        ("cluster.yaml", "hosts: pair", "hosts: [pair, 3]",
         'deployments.vl.hosts.1: should be text, not 3 (as text: "3")'),
        ("cluster.yaml", "    hosts: pair", "    hosts: pair\n    port: 70000",
         "deployments.vl.port: should be at most 65535, not 70000"),
        ("cluster.yaml", "    hosts: pair", "    hosts: pair\n    port: 08000",
         "should be an integer or a mapping, not the text '08000' "
         "(write 8000, without quotes or leading zeros)"),
        ("cluster.yaml", "    hosts: pair", "    hosts: pair\n    rails: duel",
         "deployments.vl.rails: should be 'dual' or 'single', not the text 'duel' "
         "(did you mean 'dual'?)"),
        ("cluster.yaml", "    hosts: pair", "    hosts: pair\n    share_gpu: yes",
         "should be true or false, not the text 'yes' (write true)"),
        ("cluster.yaml", "    hosts: pair", "    hosts: pair\n    memory: 3 apples",
         "deployments.vl.memory: '3 apples' is not a size: write 512MiB, 16GiB, 1.5TiB"),
        ("cluster.yaml", "    profile: big\n", "",
         "cluster.yaml:4:3: error: deployments.vl.profile: is required"),
        ("cluster.yaml", "version: 1", "version: 2",
         "cluster.yaml:1:10: error: version: version 2 is not known; this orch reads version 1"),
        ("cluster.yaml", "version: 1", "version: true", "version: version True is not known"),
        ("cluster.yaml", "version: 1\n", "", "version: is required (write version: 1)"),
        ("cluster.yaml", "name: duo", "name: -rf", "name: '-rf' is not a name (letters, digits"),
        ("cluster.yaml", "  vl:", "  v l:", "cluster.yaml:4:3: error: deployments.v l: 'v l' is not a name"),
        ("profiles/big.yaml", "image: image:1", "image: 25.10",
         'profiles/big.yaml:4:8: error: image: should be text, not 25.10 (as text: "25.10")'),
        ("profiles/big.yaml", "image: image:1", "image: i\nready: {start: 90}\nwarmup: {prompts: 5}",
         "profiles/big.yaml:6:19: error: warmup.prompts: should be a list, not 5"),
        ("profiles/big.yaml", "image: image:1", "image: i\nready: {start: soon}",
         "ready.start: 'soon' is not a duration: write 20s, 90m, 1h30m"),
        ("profiles/big.yaml", "image: image:1", "image: i\nsecrets: {T: {env: A, file: B}}",
         "secrets.T: a secret has exactly one of env, file, command"),
        ("profiles/big.yaml", "image: image:1", "image: i\nexecutor: rey",
         "executor: should be 'ray', 'native' or 'mp', not the text 'rey' (did you mean 'ray'?)"),
        ("profiles/big.yaml", "image: image:1", "image: i\nmounts: [{from: a, two: b}]",
         "mounts.0.two: unknown key (did you mean 'to'?)"),
        ("inventory.yaml", "kind: dgx-spark, address: 192.168.102.10", "gpus: [{index: 0, memroy: 3}]",
         "hosts.spark-1.gpus.0.memroy: unknown key (did you mean 'memory'?)"),
        ("inventory.yaml", "- [spark-2.p1, spark-3.p1]", "- [spark-2.p1]",
         "inventory.yaml:9:5: error: links.0: a cable has two ends, this one has 1"),
        ("inventory.yaml", "- [spark-2.p1, spark-3.p1]", "- {switch: s, ports: [spark-2.p1]}",
         "links.0.ports: a switch joins two ports or more, this one has 1"),
        ("inventory.yaml", "- [spark-2.p1, spark-3.p1]", "- {switch: s, at_once: 0, ports: [spark-2.p1, spark-3.p1]}",
         "inventory.yaml:9:26: error: links.0.at_once: should be at least 1, not 0"),
        ("inventory.yaml", "- [spark-2.p1, spark-3.p1]", "- {at_once: 1, ends: [spark-2.p1, spark-3.p1]}",
         "inventory.yaml:9:6: error: links.0.at_once: unknown key (there are: switch, ports, subnets)"),
        ("inventory.yaml", "- [spark-2.p1, spark-3.p1]", "- {ends: [spark-2.p1, spark-3.p1], subnet: []}",
         "links.0.subnet: unknown key (did you mean 'subnets'?)"),
        ("inventory.yaml", "- [spark-2.p1, spark-3.p1]", "- spark-2.p1",
         "links.0: should be a list, not the text 'spark-2.p1'"),
        ("inventory.yaml", "kind: dgx-spark, address: 192.168.102.10", "prepare: {swapoff: false}",
         "hosts.spark-1.prepare.swapoff: unknown key (did you mean 'swap_off'?)"),
        ("inventory.yaml", "gpus: 8", "gpus: 99999999999",
         "hosts.rig.gpus: should be at most 1023, not 99999999999"),
    ],
)  # fmt: skip
def test_what_is_wrong_and_where(site: Site, file: str, old: str, new: str, said: str) -> None:
    site.edit(file, old, new)
    found = site.errors()
    assert any(said in one for one in found), "\n".join(found)
    assert all(one.startswith(file) for one in found), "\n".join(found)


def test_all_errors_of_all_files_at_once(site: Site) -> None:
    site.edit("inventory.yaml", "address: 192.168.102.10", "addres: 192.168.102.10")
    site.edit("inventory.yaml", "[spark-2.p1, spark-3.p1]", "[spark-2.p1, spark-3.p7]")
    site.edit("cluster.yaml", "name: duo", "nmae: duo")
    site.edit("cluster.yaml", "hosts: pair", "hosts: pair\n    port: x\n    head: spark-1")
    site.edit("profiles/big.yaml", "args:", "arg:")
    site.write("kinds/dgx-spark.yaml", "version: 1\nname: dgx-spark\nmtuu: 9000\n")
    found = "\n".join(site.errors())
    for part in (
        "inventory.yaml:3:30: error: hosts.spark-1.addres",
        "cluster.yaml:2:1: error: nmae: unknown key (did you mean 'name'?)",
        "cluster.yaml:7:11: error: deployments.vl.port",
        "profiles/big.yaml:5:1: error: arg: unknown key (did you mean 'args'?)",
        "kinds/dgx-spark.yaml:3:1: error: mtuu: unknown key (did you mean 'mtu'?)",
    ):
        assert part in found
    assert "is required" not in found, "a misspelt key is not missing as well"


def test_errors_do_not_hide_those_of_other_deployments(site: Site) -> None:
    site.deploy(
        "a: {profile: big, hosts: spark-1, prot: 3}",
        "b: {profile: big, hosts: spark-2, port: 1}",
        "c: {profile: big, hosts: spark-2, port: 1, share_gpu: true, memory: 1GiB}",
        "d: {profile: bog, hosts: sprak-3}",
    )
    found = "\n".join(site.errors())
    assert "deployments.a.prot: unknown key (did you mean 'port'?)" in found
    assert "deployments.c.port: c and b both want port 1 of spark-2" in found
    assert "deployments.d.profile: there is no profile 'bog' (did you mean 'big'?)" in found
    assert (
        "deployments.d.hosts: there is no host or group 'sprak-3' (did you mean 'spark-3'?)"
        in found
    )
    assert len(site.errors()) == 4


def test_a_wrong_host_is_blamed_once(site: Site) -> None:
    site.edit("inventory.yaml", "spark-2: {kind: dgx-spark,", "spark-2: {kind: dgx-spork,")
    assert site.error() == (
        "inventory.yaml:4:19: error: hosts.spark-2.kind: there is no kind 'dgx-spork' "
        "(did you mean 'dgx-spark'?)"
    )


def test_a_wrong_group_is_blamed_once(site: Site) -> None:
    site.edit("inventory.yaml", "[spark-2, spark-3]}", "[spark-2, spork-3]}")
    assert site.error() == (
        "inventory.yaml:7:26: error: groups.pair.1: there is no host 'spork-3' "
        "(did you mean 'spark-3'?)"
    )


def test_an_inventory_that_is_missing_is_blamed_once(site: Site) -> None:
    (site.root / "inventory.yaml").unlink()
    assert "there is no file 'inventory.yaml' beside it" in site.error()


def test_x_keys_are_free_where_a_model_stands(site: Site) -> None:
    site.write(
        "cluster.yaml",
        "version: 1\nname: duo\nx-common: &common {profile: big, x-why: because}\n"
        "deployments:\n  vl: {<<: *common, hosts: pair, parallel: {tensor: 2, x-a: 1}}\n",
    )
    site.edit("profiles/big.yaml", "nested:", "x-arg: 1, nested:")
    one = site.load().deployments["vl"]
    assert one.profile.args["x-arg"] == 1, "args are the engine's, not ours"


def test_an_empty_section_counts_as_not_said(site: Site) -> None:
    site.edit(
        "inventory.yaml", "links:\n  - [spark-2.p1, spark-3.p1]", "links:\ndefaults:\nnetwork:"
    )
    assert site.load().links == ()


def test_a_host_with_nothing_said_is_all_default(site: Site) -> None:
    site.edit("inventory.yaml", "groups:", "  plain:\ngroups:")
    host = site.load().hosts["plain"]
    assert (host.address, host.kind.name, host.runtime, host.become, host.models) == (
        "plain", "gpu-host", "docker", "sudo", "~/models",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe\x00", "is not UTF-8 text (byte 0)"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "control character"),
        (b"- a\n- b\n", "should be a mapping, not a list"),
        (b"just words\n", "should be a mapping, not the text 'just words'"),
        (b"---\n", "should be a mapping, not nothing"),
    ],
)
@pytest.mark.parametrize("file", ["cluster.yaml", "inventory.yaml", "profiles/big.yaml"])
def test_a_file_that_is_none(site: Site, file: str, content: bytes, said: str) -> None:
    site.write(file, content)
    found = site.error()
    assert found.startswith((f"{file}:1:", f"{file}:2:1: error"))
    assert said in found


@pytest.mark.parametrize("file", ["cluster.yaml", "inventory.yaml", "profiles/big.yaml"])
def test_a_200_mb_file_is_refused_without_reading(
    site: Site, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (site.root / file).open("wb") as big:
        big.truncate(200_000_000)
    opened: list[Path] = []

    def watched(self: Path, mode: str = "r") -> IO[bytes]:
        opened.append(self)
        return io.open(self, mode)  # noqa: UP020

    monkeypatch.setattr(Path, "open", watched)
    assert "200000000 bytes are more than the limit of 1048576 (1 MiB)" in site.error()
    assert site.root / file not in opened


def test_what_is_no_file(site: Site) -> None:
    site.edit("cluster.yaml", "name: duo", "name: duo\ninventory: profiles")
    assert "can't be read: it is not a regular file" in site.error()
    (site.root / "pipe").unlink(missing_ok=True)
    os.mkfifo(site.root / "pipe")
    site.edit("cluster.yaml", "inventory: profiles", "inventory: pipe")
    assert "can't be read: it is not a regular file" in site.error()


def test_no_cluster_file(tmp_path: Path) -> None:
    with pytest.raises(FilesWrong) as caught:
        load_cluster(tmp_path / "cluster.yaml")
    assert caught.value.exit_code == 2
    assert "No such file" in str(caught.value.findings[0])
    with pytest.raises(FilesWrong, match="1 error in 1 file"):
        load_inventory(tmp_path)


def test_one_file_alone(site: Site) -> None:
    profile = loading.load_file(site.root / "profiles/big.yaml", ProfileFile)
    assert profile.model == "some/model"
    site.edit("profiles/big.yaml", "args:", "arg:")
    with pytest.raises(FilesWrong, match="nothing was touched"):
        loading.load_file(site.root / "profiles/big.yaml", ProfileFile)


@pytest.mark.parametrize(
    "text", ['"; rm -rf / #', "$(reboot)", "a\nb\nc", "`id`", "'; exit 1; '", "${HOME}", "--flag"]
)
def test_text_that_would_break_out_of_a_shell_is_text(site: Site, text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    site.edit("profiles/big.yaml", "nested:", f'evil: "{quoted}", nested:')
    site.edit("profiles/big.yaml", "A: one", f'A: "{quoted}"')
    site.edit("profiles/big.yaml", "model: some/model", f'model: "{quoted}"')
    profile = site.load().deployments["vl"].profile
    assert (profile.args["evil"], profile.env["A"], profile.model) == (text, text, text)


def test_old_booleans_in_arguments_are_pointed_out(site: Site) -> None:
    from orchestrator.spec.resolve import load

    site.edit("profiles/big.yaml", "nested:", "enforce-eager: yes, nested:")
    loaded = load(site.root / "cluster.yaml")
    assert loaded.cluster.deployments["vl"].profile.args["enforce-eager"] == "yes"
    assert any("'yes' is text here; write true for a switch" in str(one) for one in loaded.warnings)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("profiles/big.yaml", "{A: one, B: two}", '{"A B": one}',
         "profiles/big.yaml:6:7: error: env.A B: 'A B' can't be an environment variable"),
        ("profiles/big.yaml", "{A: one, B: two}", "{A=B: one}", "env.A=B: 'A=B' can't be"),
        ("profiles/big.yaml", "{A: one, B: two}", '{"": one}', "env.: '' can't be"),
        ("profiles/big.yaml", "{A: one, B: two}", "{}\nsecrets: {1A: {env: X}}", "secrets.1A: '1A' can't"),
        ("cluster.yaml", "    hosts: pair", "    hosts: pair\n    env: {a-b: 1}", "env.a-b: 'a-b' can't be"),
    ],
)  # fmt: skip
def test_a_variable_that_no_program_can_be_given(
    site: Site, file: str, old: str, new: str, said: str
) -> None:
    site.edit(file, old, new)
    assert said in site.error()


@pytest.mark.parametrize("port", ["70000", "0", "-1"])
def test_a_port_out_of_range_is_blamed_once(site: Site, port: str) -> None:
    site.edit("cluster.yaml", "    hosts: pair", f"    hosts: pair\n    port: {port}")
    assert "should be at " in site.error()


@pytest.mark.parametrize("value", ["text", "3", "[a]"])
def test_defaults_that_are_no_mapping_are_told_and_nothing_else_is_blamed(
    site: Site, value: str
) -> None:
    site.edit("inventory.yaml", "hosts:\n", f"defaults: {value}\nhosts:\n")
    assert "error: defaults: should be a mapping" in site.error()


def test_a_deployment_after_what_can_be_no_name(site: Site) -> None:
    site.edit("cluster.yaml", "    hosts: pair", "    hosts: pair\n    after: [10.0.0.0/8]")
    assert "there is no deployment '10.0.0.0/8'" in site.error()


def test_hooks_are_told_all_at_once_with_their_places(site: Site) -> None:
    text = (site.root / "cluster.yaml").read_text()
    hooks = "hooks:\n  before: {netwrk: [mine]}\n  after: {start: [nosuch, mine.yaml]}\n"
    site.write("cluster.yaml", text + hooks)
    site.write("playbooks/mine.yaml", "version: 1\nname: mine\nstages: [{stage: swap}]\n")
    stage, book = site.errors()
    assert stage.startswith("cluster.yaml:9:12: error: hooks.before.netwrk: there is no stage")
    assert "did you mean 'network'?" in stage
    assert book.startswith(
        "cluster.yaml:10:19: error: hooks.after.start.0: no playbooks/nosuch.yaml"
    )
