"""`orch check` and `orch schema` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli import root
from orchestrator.cli.errors import run_guarded
from orchestrator.cli.options import Site as Typed
from orchestrator.cli.playbooks import cluster_playbook
from orchestrator.errors import FilesWrong, Unreachable
from orchestrator.plan.build import build
from orchestrator.spec import check
from tests.unit.spec.conftest import QuietEngine, Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(check, "_engine", lambda name: QuietEngine())
    monkeypatch.chdir(tmp_path)
    return Site(tmp_path)


def orch(*words: str) -> Result:
    return CliRunner().invoke(root, words)


def test_right_files(site: Site) -> None:
    done = orch("check")
    assert done.exit_code == 0
    for part in ("duo", "cluster.yaml inventory.yaml", "spark-3", "dgx-spark", "vllm (ray)",
                 "spark-2, spark-3", "TP=2", "8000", "the files are right"):  # fmt: skip
        assert part in done.output
    assert "\x1b" not in done.output


def test_wrong_files_exit_2_and_show_all(site: Site) -> None:
    site.edit("cluster.yaml", "hosts: pair", "hosts: pear")
    site.edit("profiles/big.yaml", "args:", "arg:")
    done = orch("check")
    assert done.exit_code == 2
    assert (
        "cluster.yaml:6:12: error: deployments.vl.hosts: there is no host or group 'pear'"
        in done.output
    )
    assert "profiles/big.yaml:5:1: error: arg: unknown key (did you mean 'args'?)" in done.output
    assert "2 errors, 0 warnings" in done.output


def test_overrides(site: Site) -> None:
    assert orch("check", "--set", "vl.port=9000").exit_code == 0
    done = orch("check", "cluster.yaml", "--set", "vl.parallel.pipeline=2")
    assert done.exit_code == 2
    assert "needs 4 GPUs" in done.output


def test_json(site: Site) -> None:
    said = json.loads(orch("check", "--json").output)
    assert (said["version"], said["ok"], said["cluster"]) == (1, True, "duo")
    assert [host["name"] for host in said["hosts"]] == ["spark-1", "spark-2", "spark-3", "rig"]
    assert said["deployments"][0]["hosts"] == ["spark-2", "spark-3"]
    site.edit("cluster.yaml", "hosts: pair", "hosts: pear")
    done = orch("check", "--json")
    assert done.exit_code == 2
    finding = json.loads(done.output)["findings"][0]
    assert (finding["file"], finding["line"], finding["column"]) == ("cluster.yaml", 6, 12)
    assert finding["path"] == "deployments.vl.hosts"


def test_a_file_that_is_not_there(site: Site) -> None:
    for words in (("check", "nope.yaml"), ("check", "nope.yaml", "--json")):
        done = orch(*words)
        assert done.exit_code == 2
        assert "nope.yaml" in done.output
        assert "No such file" in done.output


def test_who_has_no_files_is_told_where_to_start(site: Site) -> None:
    (site.root / "cluster.yaml").unlink()
    done = orch("check")
    assert done.exit_code == 2
    for word in done.output.split("cp ")[1].split()[:1]:
        assert Path(word).is_file()


def test_it_says_what_is_shadowed(site: Site) -> None:
    site.write("kinds/gpu-host.yaml", "version: 1\nname: gpu-host\n")
    assert "your own file hides packed:kinds/gpu-host.yaml" in orch("check").output


def test_schema(site: Site) -> None:
    assert json.loads(orch("schema", "cluster").output)["title"] == "orch cluster"
    assert orch("schema", "--write", "out").exit_code == 0
    assert sorted(path.name for path in (site.root / "out").iterdir()) == [
        "cluster.json", "inventory.json", "kind.json", "playbook.json", "profile.json",
    ]  # fmt: skip


@pytest.mark.parametrize("words", [["schema"], ["schema", "clutser"], ["check", "--nope"]])
def test_usage_exits_2(
    site: Site,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["orch", *words])
    assert run_guarded(root) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "told"),
    [("chekc", "did you mean 'check'?"), ("xyzzy", "there are: check, completion")],
)
def test_a_verb_that_is_none(word: str, told: str) -> None:
    done = orch(word)
    assert done.exit_code == 2
    assert f"there is no verb {word!r}: {told}" in done.stderr


def test_a_playbook_is_told_all_its_unknown_words(site: Site) -> None:
    site.write(
        "playbooks/mine.yaml",
        "version: 1\nname: mine\nstages:\n"
        "  - {stage: swp}\n"
        "  - {stage: network, with: {dedline: 3}, when: unifed-memory}\n"
        "  - {stage: bandwidth, on: [pair, spark-9], retry: conect}\n",
    )
    with pytest.raises(FilesWrong) as caught:
        cluster_playbook(site.load(), "mine")
    said = [str(one).removeprefix(f"{site.root}/") for one in caught.value.findings]
    assert said == [
        "playbooks/mine.yaml:4:13: error: stages.0.stage: there is no stage 'swp' (did you mean 'swap'?)",
        "playbooks/mine.yaml:5:38: error: stages.1.with.dedline: there is no option of network 'dedline' "
        "(did you mean 'deadline'?)",
        "playbooks/mine.yaml:5:48: error: stages.1.when: there is no predicate 'unifed-memory' "
        "(did you mean 'unified-memory'?)",
        "playbooks/mine.yaml:6:52: error: stages.2.retry: there is no retry policy 'conect' "
        "(did you mean 'connect'?)",
        "playbooks/mine.yaml:6:35: error: stages.2.on.1: there is no host or group 'spark-9' "
        "(did you mean 'spark-3'?)",
    ]


def test_an_option_of_a_stage_that_can_not_be_taken(site: Site) -> None:
    text = "version: 1\nname: mine\nstages: [{stage: network, with: {deadline: soon}}]\n"
    site.write("playbooks/mine.yaml", text)
    cluster = site.load()
    with pytest.raises(FilesWrong, match="stage network: `with:` can't be taken: 'soon'"):
        build(cluster, cluster_playbook(cluster, "mine"))


@pytest.mark.parametrize("verb", ["render", "plan", "up", "down"])
def test_hosts_that_name_none_are_not_all_and_not_nothing(site: Site, verb: str) -> None:
    """As `--hosts "$UNSET"` gives them."""
    for hosts in ("", " , "):
        done = orch(verb, "--hosts", hosts)
        assert isinstance(done.exception, FilesWrong)
        assert "--hosts names no host" in str(done.exception)


def test_what_is_typed_again_has_the_same_words() -> None:
    def words(file: str, sets: tuple[str, ...], hosts: str | None) -> list[str]:
        typed = Typed(Path(file), sets, hosts, json=False, verbose=False,
                      accept_new_host_keys=False, purpose="up")  # fmt: skip
        return typed.words

    assert words("cluster.yaml", (), None) == []
    again = ["my.yaml", "--set", "vl.port=1", "--hosts", "a,b"]
    assert words("my.yaml", ("vl.port=1",), "a,b") == again


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (OSError(28, "No space left on device"), "error: No space left on device"),
        (FileNotFoundError(2, "No such file", "x.yaml"), "error: x.yaml: No such file"),
        (KeyError("vl"), "error: orch itself is at fault: KeyError: 'vl' ("),
    ],
)
def test_no_traceback_unless_asked_for(
    fault: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def broken() -> None:
        raise fault

    monkeypatch.setattr("sys.argv", ["orch"])
    monkeypatch.delenv("ORCH_TRACEBACK", raising=False)
    assert run_guarded(broken) == 1
    said = capsys.readouterr().err
    assert said.startswith(told)
    assert "Traceback" not in said
    monkeypatch.setenv("ORCH_TRACEBACK", "1")
    assert run_guarded(broken) == 1
    assert "raise fault" in capsys.readouterr().err


def test_no_line_about_a_verb_is_cut() -> None:
    """click shortens what does not fit beside the name; half a sentence helps nobody."""
    groups = [("orch", root), *((n, c) for n, c in root.commands.items())]
    for name, group in groups:
        if isinstance(group, click.Group):
            done = CliRunner().invoke(group, ["--help"])
            listed = done.output.partition("Commands:")[2]
            assert listed and "..." not in listed, name


def test_a_lab_that_is_not_there_is_a_wrong_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_LAB_HOME", str(tmp_path))
    for words in (("down", "--name", "nope"), ("break", "spark-1", "reboot", "--name", "nope")):
        with pytest.raises(FilesWrong, match="there is no lab nope"):
            CliRunner().invoke(root, ["lab", *words], catch_exceptions=False)


def test_init_names_a_host_as_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address has no name until the host says its own; `host-1` would be nobody's."""
    off = {"host-1": Unreachable("did not answer", host="host-1", hint="is it on?")}
    monkeypatch.setattr("orchestrator.cli.init_hosts.found_hosts", lambda *given: ({}, off))
    monkeypatch.chdir(tmp_path)
    done = orch("init", "me@192.168.1.101")
    assert done.exit_code == 3
    assert "error: 192.168.1.101: did not answer\nhint: is it on?\nnothing was written" in (
        done.output
    )


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("logs v", "plain,vl"),
        ("logs cluster.yaml v", "plain,vl"),
        ("up clu", "file,clu"),
        ("switch v", "plain,vl"),
        ("switch vl bi", "plain,big"),
        ("profiles show bi", "plain,big"),
        ("exec --hosts spark-1,spark-2", "plain,spark-1,spark-2"),
        ("unlock pai", "plain,pair"),
        ("run verify-r", "plain,verify-rdma"),
    ],
)
def test_a_shell_is_offered_names_of_the_files_that_are_here(
    site: Site, typed: str, offered: str
) -> None:
    env = {"_ORCH_COMPLETE": "bash_complete", "COMP_WORDS": f"orch {typed}"}
    env["COMP_CWORD"] = str(len(typed.split()))
    assert CliRunner().invoke(root, [], env=env, prog_name="orch").output.split() == [offered]


def test_a_shell_is_offered_nothing_where_files_are_wrong(site: Site) -> None:
    site.edit("cluster.yaml", "hosts: pair", "hosts: pear")
    env = {"_ORCH_COMPLETE": "bash_complete", "COMP_WORDS": "orch switch v", "COMP_CWORD": "2"}
    assert CliRunner().invoke(root, [], env=env, prog_name="orch").output.split() == []
