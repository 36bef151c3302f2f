"""Every good request reaches the origin as the corpus says, however its bytes are cut."""

from __future__ import annotations

import re

import pytest

from tests.conformance import requests_taken
from tests.conformance.stage import STRANGER, Sidecar, Talk, bytewise, splits
from tests.conformance.taken import Seen, Taken

EACH = pytest.mark.parametrize("case", requests_taken.ALL, ids=lambda case: case.name)
MOST = 2_000
"""Longer cases are cut less often: their length is their point."""

FEWEST = 60

_IDENTITY = re.compile(
    rb"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]\r\n"
    rb"x-meshproxy-attempt: 1\r\nx-request-id: [0-9a-f-]{36}\r\n\r\n"
)


@pytest.fixture(scope="module")
def sidecar() -> Sidecar:
    return Sidecar()


def head_of(seen: Seen) -> bytes:
    """The head that the origin must get, up to the ids that are drawn for it."""
    own = (
        b"x-forwarded-for: " + STRANGER.encode(),
        b"x-forwarded-proto: http",
        b"x-forwarded-host: " + seen.host,
        b"via: 1.1 meshproxy",
    )
    return b"".join(line + b"\r\n" for line in (seen.start, *seen.fields, *own))


def check(case: Taken, talk: Talk) -> None:
    """Every request that was meant arrived, exactly, and got its own answer; no other did."""
    assert [answer.status for answer in talk.answers] == [200] * len(case.sees)
    assert len(talk.requests) == len(case.sees)
    assert talk.cut == b""
    for request, seen in zip(talk.requests, case.sees, strict=True):
        expected = head_of(seen)
        assert request.head[: len(expected)] == expected
        assert _IDENTITY.fullmatch(request.head[len(expected) :]), request.head
        assert request.body == seen.body
        assert request.trailers == b""


def test_the_corpus_is_large_and_each_case_says_what_it_stands_on() -> None:
    cases = requests_taken.ALL
    assert len(cases) >= FEWEST
    assert len({case.name for case in cases}) == len({case.data for case in cases}) == len(cases)
    assert all(case.rfc and case.sees for case in cases)


@EACH
def test_it_goes_on_as_it_should(case: Taken, sidecar: Sidecar) -> None:
    check(case, sidecar.converse([case.data]))


@pytest.mark.parametrize(
    "case", [c for c in requests_taken.ALL if len(c.data) < 4 * MOST], ids=lambda case: case.name
)
def test_it_goes_on_byte_by_byte(case: Taken, sidecar: Sidecar) -> None:
    check(case, sidecar.converse(bytewise(case.data)))
    check(case, sidecar.converse(bytewise(case.data), at_once=False))


@pytest.mark.parametrize(
    "case", [c for c in requests_taken.ALL if len(c.data) < MOST], ids=lambda case: case.name
)
def test_no_split_changes_what_goes_on(case: Taken, sidecar: Sidecar) -> None:
    whole = sidecar.converse([case.data])
    for pieces in splits(case.data):
        talk = sidecar.converse(pieces)
        check(case, talk)
        assert talk.verdict == whole.verdict
        assert talk.forwarded == whole.forwarded
