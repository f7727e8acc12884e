"""Sizes and durations mean what people mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.units import parse_duration, parse_size, show_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        (768, 768),
        ("512MiB", 512 << 20),
        ("512mib", 512 << 20),
        ("16g", 16 << 30),
        ("16 GiB", 16 << 30),
        ("1.5TiB", 3 << 39),
        ("2GB", 2_000_000_000),
    ],
)
def test_size(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "12GiBs", "1e9", "nan", "9" * 60, "8PiB", -1])
def test_no_size(text: str | int) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20s", 20),
        ("90m", 5400),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (7, 7),
        (0.5, 0.5),
        ("250ms", 0.25),
    ],
)
def test_duration(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "90", "m", "90 m 3", "-3s", "1y", float("inf"), float("nan"), -1]
)
def test_no_duration(text: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.text())
def test_any_text_is_a_size_and_a_duration_or_a_value_error(text: str) -> None:
    for parse in (parse_size, parse_duration):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)


def test_sizes_are_shown_in_their_unit() -> None:
    assert [show_size(n) for n in (5, 16 << 30, 3 << 40)] == ["5 B", "16 GiB", "3 TiB"]
