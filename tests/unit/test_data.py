"""Files that ship are found from a checkout and a wheel, and the user's own win."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import data
from orchestrator.errors import FilesWrong


def test_kinds_that_ship(tmp_path: Path) -> None:
    assert data.find("kinds", "dgx-spark.yaml", tmp_path) == data.packed("kinds") / "dgx-spark.yaml"
    assert "lab.yaml" in data.listing("kinds", tmp_path)
    assert data.label(data.find("kinds", "lab.yaml"), tmp_path) == "packed:kinds/lab.yaml"


def test_the_users_own_win_and_are_named(tmp_path: Path) -> None:
    (tmp_path / "kinds").mkdir()
    own = tmp_path / "kinds/lab.yaml"
    own.write_text("x")
    (tmp_path / "kinds/new.yaml").write_text("x")
    assert data.find("kinds", "lab.yaml", tmp_path) == own
    assert data.listing("kinds", tmp_path)["lab.yaml"] == own
    assert {"new.yaml", "gpu-host.yaml"} <= data.listing("kinds", tmp_path).keys()
    assert data.shadowed(tmp_path) == ("packed:kinds/lab.yaml",)
    assert data.label(own, tmp_path) == str(own)


def test_a_checkout_hides_nothing_of_itself() -> None:
    root = data.packed("templates").parent
    assert data.shadowed(root) == ()


def test_the_files_to_start_with() -> None:
    for name in data.STARTING_FILES:
        assert (data.starting_point() / name).is_file()


def test_templates(tmp_path: Path) -> None:
    (tmp_path / "templates/sub").mkdir(parents=True)
    (tmp_path / "templates/sub/a.j2").write_text("{{ x }} ü", encoding="utf-8")
    assert data.read_template("sub/a.j2", tmp_path) == "{{ x }} ü"


def test_in_a_wheel_the_folders_lie_under_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packed/profiles").mkdir(parents=True)
    (tmp_path / "packed/profiles/a.yaml").write_text("x")
    monkeypatch.setattr(data, "_PACKAGE", tmp_path)
    assert data.find("profiles", "a.yaml") == tmp_path / "packed/profiles/a.yaml"
    assert data.label(data.find("profiles", "a.yaml")) == "packed:profiles/a.yaml"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "", "a\0b"])
def test_names_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(FilesWrong, match="is not the name of a file"):
        data.find("kinds", name, tmp_path)


def test_did_you_mean(tmp_path: Path) -> None:
    with pytest.raises(FilesWrong) as caught:
        data.find("kinds", "dgx-sprak.yaml", tmp_path)
    assert caught.value.hint == "did you mean 'dgx-spark.yaml'?"
