"""`orch switch`, before any host is asked: what is refused, and how the cluster file is changed at the end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import root
from orchestrator.cli.errors import run_guarded
from orchestrator.cli.options import Site as Files
from orchestrator.cli.profile_line import profile_line
from orchestrator.cli.switched import Switch
from orchestrator.errors import Failed, FilesWrong
from orchestrator.hosts.secrets import secret_refs
from orchestrator.spec import check
from tests.unit.spec.conftest import CLUSTER, PROFILE, QuietEngine, Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(check, "_engine", lambda name: QuietEngine())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    one = Site(tmp_path)
    one.write("profiles/other.yaml", PROFILE)
    return one


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is said where files or usage are wrong: exit code 2, and nothing was recorded as a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["orch", "switch", *words])
        assert run_guarded(root) == 2
    assert not Path("state").exists()
    said = capsys.readouterr()
    return said.out + said.err


def test_names_that_are_not_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'vl'" in refused(capsys, "vll", "other")
    assert "did you mean 'other'" in refused(capsys, "vl", "othr")
    assert "can't be read" in refused(capsys, "vl", "other", "nowhere.yaml")


def test_a_profile_that_does_not_fit_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write("profiles/other.yaml", PROFILE + "heads: 7\n")
    assert "7 attention heads can't be divided by 2" in refused(capsys, "vl", "other")


def test_a_deployment_that_is_not_enabled(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.edit("cluster.yaml", "profile: big", "profile: big\n    enabled: false")
    assert "vl is not enabled" in refused(capsys, "vl", "other")


def test_half_a_gang(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "vl", "other", "--hosts", "spark-2")
    assert "it also runs on spark-3" in said
    assert "--hosts spark-2,spark-3" in said


def test_a_word_that_others_use_too(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    text = CLUSTER.replace("profile: big", "profile: *p").replace(
        "name: duo", "name: duo\nx-p: &p big"
    )
    site.write("cluster.yaml", text)
    assert "does not stand there as a word of its own" in refused(capsys, "vl", "other")
    assert (site.root / "cluster.yaml").read_text() == text


def test_a_file_that_can_t_be_written(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode, **more: mode != os.W_OK)
    assert "--no-write" in refused(capsys, "vl", "other")


def test_the_word_is_changed_and_the_file_stays_what_it_was(site: Site) -> None:
    text = "\ufeff" + CLUSTER.replace("profile: big", "profile: big  # ours").replace("\n", "\r\n")
    path = site.write("real/mine.yaml", text)
    path.chmod(0o640)
    link = site.root / "link.yaml"
    link.symlink_to(path)
    profile_line(link, "vl", "other").write()
    assert path.read_bytes() == text.replace("big ", "other ").encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert [one.name for one in path.parent.iterdir()] == ["mine.yaml"]


def test_a_file_that_somebody_changed_meanwhile_is_left_alone(site: Site) -> None:
    line = profile_line(site.root / "cluster.yaml", "vl", "other")
    site.edit("cluster.yaml", "profile: big", "profile: third")
    before = (site.root / "cluster.yaml").read_text()
    with pytest.raises(Failed, match=r"vl runs other, but .* it says 'third' now") as failed:
        line.write()
    assert "deployments.vl.profile: other" in failed.value.hint
    assert (site.root / "cluster.yaml").read_text() == before


def test_a_write_that_fails_leaves_the_file_whole(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failed, match="No space left"):
        profile_line(site.root / "cluster.yaml", "vl", "other").write()
    assert (site.root / "cluster.yaml").read_text() == CLUSTER
    assert not [one for one in site.root.iterdir() if one.name.startswith(".")]


def test_secrets_of_the_way_back_come_from_where_the_old_files_say(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLD_TOKEN", "old-token")
    monkeypatch.setenv("NEW_TOKEN", "new-token")
    site.write("profiles/big.yaml", PROFILE + "secrets: {HF_TOKEN: {env: OLD_TOKEN}}\n")
    site.write("profiles/other.yaml", PROFILE + "secrets: {HF_TOKEN: {env: NEW_TOKEN}}\n")
    path = site.root / "cluster.yaml"
    old = Files(path, (), None, json=False, verbose=False, accept_new_host_keys=False, purpose="up")
    new = old.also('deployments.vl.profile="other"')
    assert new.secrets("vl/HF_TOKEN") == "new-token"
    new.secrets.turn_to(secret_refs(old.cluster.hosts, old.cluster))
    assert new.secrets("vl/HF_TOKEN") == "old-token"
    assert new.redact("old-token new-token").count("token") == 0


def test_a_path_is_a_profile_too(site: Site) -> None:
    site.write("own.yaml", PROFILE)
    path = site.root / "cluster.yaml"
    files = Files(
        path, (), None, json=False, verbose=False, accept_new_host_keys=False, purpose="up"
    )
    assert (
        files.also('deployments.vl.profile="./own.yaml"').cluster.deployments["vl"].profile.name
        == "own"
    )


def test_help_says_what_happens() -> None:
    said = CliRunner().invoke(root, ["switch", "--help"]).output
    for part in ("back to the old one", "--no-write", "comments stay"):
        assert part in said


def test_nothing_named_there(site: Site) -> None:
    site.write("cluster.yaml", "version: 1\nname: duo\ndeployments: {vl: {hosts: pair}}\n")
    with pytest.raises(FilesWrong, match="is no name of a profile"):
        profile_line(site.root / "cluster.yaml", "vl", "other")


def wish(site: Site, *, fetch: bool) -> Switch:
    path = site.root / "cluster.yaml"
    old = Files(path, (), None, json=False, verbose=False, accept_new_host_keys=False, purpose="up")
    line = profile_line(path, "vl", "other")
    return Switch(
        old=old.cluster,
        new=old.also('deployments.vl.profile="other"'),
        names=frozenset({"vl"}),
        line=line,
        write=True,
        fetch=fetch,
        playbook="up",
        options={},
    )


def test_weights_are_asked_for_on_the_way_there_and_not_on_the_way_back(site: Site) -> None:
    cache = "mounts: [{from: ~/.cache/huggingface, to: /root/.cache/huggingface}]\n"
    site.write("profiles/big.yaml", PROFILE + cache)
    site.write("profiles/other.yaml", PROFILE.replace("some/model", "other/model") + cache)
    asked = wish(site, fetch=False)
    assert "vl/weights" in asked.forth()
    assert asked.unsure(asked.forth()) == []
    assert "vl/weights" not in (asked.back() or {})
    assert "vl/weights" not in wish(site, fetch=True).forth()
    site.write("profiles/other.yaml", PROFILE.replace("some/model", "other/model"))
    unsure = wish(site, fetch=False)
    assert unsure.unsure(unsure.forth()) == ["other/model"]
