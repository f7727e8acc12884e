"""What a terminal gets and a pipe does not: lines and tables that fit it."""

from __future__ import annotations

import os
import pty
import sys

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from orchestrator.cli.terminal import columns, waiting, wrapped
from orchestrator.table import table

WORD = st.text("abcdefgh/:.", min_size=1, max_size=12)
BACK = "\x1b[?25h"  # the cursor, when what moved is over
CELL = st.lists(WORD, max_size=8).map(" ".join)


def plain(*given: object, width: int | None = None) -> list[str]:
    header, *rows = given
    return [click.unstyle(line) for line in table(header, rows, width=width)]  # type: ignore[arg-type]


def test_a_table_that_is_too_wide_wraps_its_widest_cells_between_words() -> None:
    row = ["qwen3-8b", "? spark-1, spark-2 (GPU memory is not said)"]
    assert plain(["PROFILE", "FITS ON"], row, width=36) == [
        "PROFILE   FITS ON",
        "qwen3-8b  ? spark-1, spark-2 (GPU",
        "          memory is not said)",
    ]


def test_a_pipe_gets_one_line_a_row_however_wide() -> None:
    row = ["x" * 90, "y z " * 40]
    assert len(plain(["A", "B"], row)) == 2


def test_a_word_is_never_cut() -> None:
    """A path or an address is there to be copied."""
    path = "packed:profiles/qwen3-vl-235b-awq.yaml:12"
    assert path in "\n".join(plain(["KEY", "FROM"], ["args.a", path], width=20))


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=4), st.integers(50, 120))
def test_a_table_fits_where_words_let_it_and_loses_none(rows: list[list[str]], width: int) -> None:
    lines = plain(["A", "B", "C"], *rows, width=width)
    assert all(cell_len(line) <= width for line in lines)  # 3 words of 12 fit into 50
    words = sorted(" ".join(lines).split())
    assert words == sorted(["A", "B", "C", *" ".join(cell for row in rows for cell in row).split()])


def test_lines_are_wrapped_with_what_follows_indented() -> None:
    assert wrapped("  · one two three", 12, 4) == "  · one two\n    three"
    red = click.style("one two", fg="red")
    assert click.unstyle(wrapped(f"{red} three", 13)) == "one two three"
    assert wrapped("a long line that a pipe gets whole", None) == (
        "a long line that a pipe gets whole"
    )


def test_no_terminal_no_width_and_no_sign_of_life(capfd: pytest.CaptureFixture[str]) -> None:
    with waiting("looking at the hosts"):
        assert columns() is None
    assert capfd.readouterr() == ("", "")


def test_who_waits_at_a_terminal_sees_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with waiting("looking at the hosts"):
            pass
        seen = ""
        while BACK not in seen:  # a terminal hands over what it has, in pieces
            seen += os.read(ours, 4096).decode()
    os.close(ours)
    assert "looking at the hosts" in seen
