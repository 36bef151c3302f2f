"""Units: what is written is read exactly, and what is read is written back the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5s", 5.0), ("1m", 60.0), ("1.5h", 5400.0), ("100us", 1e-4), ("0s", 0.0)],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert units.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (5, "add a unit: write 5s or 5ms"),
        ("5", "add a unit: write 5s or 5ms"),
        (0.5, "add a unit: write 0.5s or 0.5ms"),
        ("5d", "unknown unit 'd'"),
        ("5 s", "write a duration such as"),
        ("-5s", "write a duration such as"),
        ("1:30", "write a duration such as"),
        ("5s5", "write a duration such as"),
        ("inf", "write a duration such as"),
        ("9" * 400 + "s", "write a duration such as"),
        (True, "write a duration such as"),
        (None, "write a duration such as"),
        ([], "write a duration such as"),
    ],
)
def test_a_bare_number_or_anything_else_is_no_duration(value: object, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        units.duration(value)


def test_a_timeout_may_be_off_but_not_zero() -> None:
    assert units.timeout("off") == 0.0
    assert units.timeout("2s") == 2.0
    with pytest.raises(ValueError, match="write off to have none"):
        units.timeout("0s")


@pytest.mark.parametrize(
    ("text", "count"), [("512B", 512), ("64KiB", 65536), ("1MiB", 1 << 20), ("2GiB", 2 << 30)]
)
def test_a_size_is_bytes(text: str, count: int) -> None:
    assert units.size(text) == count


@pytest.mark.parametrize("value", [64, "64", "64KB", "64k", "-1B", "", None])
def test_a_size_has_a_binary_unit(value: object) -> None:
    with pytest.raises(ValueError):
        units.size(value)


def test_a_percentage_is_a_share() -> None:
    assert units.percent("20%") == pytest.approx(0.2)
    assert units.percent("0.5%") == pytest.approx(0.005)
    assert units.percent("100%") == 1.0


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (20, "add a unit: write 20%"),
        (0.2, "write a percentage: 20%"),
        ("120%", "at most 100%"),
        ("20 %", "write a percentage such as"),
        ("-1%", "write a percentage such as"),
    ],
)
def test_a_share_is_written_in_percent(value: object, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        units.percent(value)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", (100.0, 1.0)),
        ("60/m", (60.0, 60.0)),
        ("5/10s", (5.0, 10.0)),
        ("0.5/s", (0.5, 1.0)),
        ("1000/d", (1000.0, 86400.0)),
        ("1/500ms", (1.0, 0.5)),
    ],
)
def test_a_rate_is_a_count_over_seconds(text: str, rate: tuple[float, float]) -> None:
    assert units.rate(text) == rate


@pytest.mark.parametrize("value", [100, "100", "0/s", "1/0s", "1/us", "x/s", "10ms/s", "1/", "/s"])
def test_a_rate_has_a_count_and_a_period(value: object) -> None:
    with pytest.raises(ValueError):
        units.rate(value)


@given(st.integers(0, 10**9))
def test_a_duration_is_written_back_exactly(microseconds: int) -> None:
    seconds = microseconds / 1e6
    text = units.write_duration(seconds)
    assert units.duration(text) == pytest.approx(seconds, rel=1e-9)
    assert re.fullmatch(units.DURATION_PATTERN, text)


@given(st.integers(0, 2**45))
def test_a_size_is_written_back_exactly(count: int) -> None:
    text = units.write_size(count)
    assert units.size(text) == count
    assert re.fullmatch(units.SIZE_PATTERN, text)


@given(st.integers(0, 10_000))
def test_a_percentage_is_written_back_exactly(hundredths: int) -> None:
    share = hundredths / 10_000
    text = units.write_percent(share)
    assert units.percent(text) == pytest.approx(share)
    assert re.fullmatch(units.PERCENT_PATTERN, text)


@given(st.integers(1, 10**6), st.sampled_from([1.0, 60.0, 3600.0, 86400.0, 10.0, 0.25, 7200.0]))
def test_a_rate_is_written_back_exactly(count: int, seconds: float) -> None:
    text = units.write_rate(float(count), seconds)
    assert units.rate(text) == (float(count), seconds)
    assert re.fullmatch(units.RATE_PATTERN, text)


def test_off_is_written_for_no_timeout() -> None:
    assert units.write_timeout(0.0) == "off"
    assert units.write_timeout(0.25) == "250ms"
