"""What three fields say about the time that is left, and how it is told on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import binary, floats, sampled_from

from meshproxy.logic.deadline import (
    ENVOY,
    GRPC,
    LEAST,
    MOST,
    OWN,
    least_left,
    read_left,
    template,
    whole_ms,
)


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        (OWN, b"300", 0.3),
        (OWN, b"300ms", 0.3),
        (OWN, b"1.5s", 1.5),
        (OWN, b"0", 0.0),
        (OWN, b"-20", -0.02),
        (ENVOY, b"250", 0.25),
        (GRPC, b"300m", 0.3),
        (GRPC, b"2S", 2.0),
        (GRPC, b"1M", 60.0),
        (GRPC, b"1H", 3600.0),
        (GRPC, b"99999999n", 0.099999999),
        (GRPC, b"500u", 0.0005),
    ],
)
def test_a_time_is_read_in_the_units_of_its_field(
    name: bytes, value: bytes, seconds: float
) -> None:
    assert read_left(name, value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (OWN, b""),
        (OWN, b"soon"),
        (OWN, b"300, 200"),
        (OWN, b"3m"),
        (OWN, b"1e3"),
        (OWN, b" 300"),
        (OWN, b"300\n"),
        (OWN, b"2026-01-01T00:00:00Z"),
        (GRPC, b"300"),
        (GRPC, b"123456789m"),
        (GRPC, b"-1S"),
        (GRPC, b"1.5S"),
    ],
)
def test_what_cannot_be_read_says_nothing(name: bytes, value: bytes) -> None:
    assert read_left(name, value) is None


@pytest.mark.parametrize("value", [b"1700000000", b"1700000000000", b"86400001"])
def test_a_time_of_day_is_not_taken_for_the_time_that_is_left(value: bytes) -> None:
    assert read_left(OWN, value) is None


def test_of_several_fields_the_least_counts_and_the_unreadable_none() -> None:
    taken = {OWN: b"300", ENVOY: b"x", GRPC: b"200m", b"x-other": b"1"}
    assert least_left(taken, (OWN, ENVOY, GRPC)) == pytest.approx(0.2)
    assert least_left(taken, (ENVOY,)) is None
    assert least_left({}, (OWN, ENVOY, GRPC)) is None


def test_lines_have_a_gap_for_each_name() -> None:
    assert template((OWN, GRPC)) % (300, 300) == (
        b"x-request-deadline: 300\r\ngrpc-timeout: 300m\r\n"
    )


@given(floats(min_value=LEAST, max_value=MOST), sampled_from([OWN, ENVOY, GRPC]))
def test_what_is_told_is_read_as_no_more_than_it_was(seconds: float, name: bytes) -> None:
    value = (template((name,)) % whole_ms(seconds)).partition(b": ")[2].strip()
    told = read_left(name, value)
    assert told is not None
    assert seconds - LEAST <= told <= seconds + 1e-6


@given(binary(max_size=20), sampled_from([OWN, ENVOY, GRPC]))
def test_no_value_breaks_the_reader(value: bytes, name: bytes) -> None:
    left = read_left(name, value)
    assert left is None or left <= MOST
