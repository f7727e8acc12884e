"""`make bench` names no part and gets all of them."""

from __future__ import annotations

import pytest

from benchmarks.run import PARTS, options_of


def test_all_parts_where_none_is_named() -> None:
    assert tuple(options_of([]).parts) == PARTS
    assert options_of(["speed", "--rounds", "10x3,100x1h"]).parts == ["speed"]


def test_a_part_that_there_is_not_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        options_of(["sped"])
    assert caught.value.code == 2
    assert "'sped' is none of nothing, speed, up, fabric" in capsys.readouterr().err
