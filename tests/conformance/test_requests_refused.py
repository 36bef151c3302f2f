"""Every request of the corpus is refused, however its bytes are cut, and no origin learns of it.

Without sockets, so that every split point of every case can be tried; on sockets the same
corpus is met in tests/e2e/test_framing.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from tests.conformance import requests_refused
from tests.conformance.case import Case
from tests.conformance.stage import Sidecar, Talk, bytewise, splits

GOOD = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
MOST = 4_000
"""Longer cases are cut at some points only: their length is their point."""

FEWEST = 138
THREATS = {f"T{n}" for n in (*range(1, 14), 15, 16, 21, 25, 26, 41)}
EACH = pytest.mark.parametrize("case", requests_refused.ALL, ids=lambda case: case.name)
SHORT = pytest.mark.parametrize(
    "case", [c for c in requests_refused.ALL if len(c.data) < MOST], ids=lambda case: case.name
)
LONG = pytest.mark.parametrize(
    "case", [c for c in requests_refused.ALL if len(c.data) >= MOST], ids=lambda case: case.name
)


@pytest.fixture(scope="module")
def sidecar() -> Sidecar:
    return Sidecar()


def check(case: Case, talk: Talk) -> None:
    """One honest answer, the end of the connection, and nothing that looks like a request."""
    (answer,) = talk.answers
    assert answer.status in case.statuses, answer.head
    assert answer.get("x-meshproxy-reason") == "IH"
    assert answer.get("x-request-id")
    assert answer.get("connection") == "close"
    assert talk.closed
    assert talk.requests == ()
    if not case.in_body:
        assert (talk.dialled, talk.cut) == (0, b"")


def test_the_corpus_is_large_and_each_case_says_what_it_stands_on() -> None:
    cases = requests_refused.ALL
    assert len(cases) >= FEWEST
    assert len({case.name for case in cases}) == len({case.data for case in cases}) == len(cases)
    assert all(case.rfc and case.threat and case.statuses for case in cases)
    assert all(400 <= status < 600 for case in cases for status in case.statuses)
    assert {case.threat for case in cases} >= THREATS


@EACH
def test_it_is_refused_and_closed(case: Case, sidecar: Sidecar) -> None:
    check(case, sidecar.converse([case.data]))


@SHORT
def test_it_is_refused_byte_by_byte(case: Case, sidecar: Sidecar) -> None:
    check(case, sidecar.converse(bytewise(case.data)))
    check(case, sidecar.converse(bytewise(case.data), at_once=False))


@SHORT
def test_no_split_changes_the_verdict(case: Case, sidecar: Sidecar) -> None:
    whole = sidecar.converse([case.data])
    for talk in cut_everywhere(case.data, sidecar):
        check(case, talk)
        assert talk.verdict == whole.verdict


def cut_everywhere(data: bytes, sidecar: Sidecar) -> Iterator[Talk]:
    for pieces in splits(data):
        yield sidecar.converse(pieces)


@LONG
def test_no_split_of_a_long_one_changes_the_verdict(case: Case, sidecar: Sidecar) -> None:
    for pieces in some_cuts(case.data):
        check(case, sidecar.converse(pieces))


def some_cuts(data: bytes) -> Iterable[list[bytes]]:
    """Reads of a few sizes, and cuts around the beginning and the end."""
    for size in (509, 1460, 8192, 65_536):
        yield [data[at : at + size] for at in range(0, len(data), size)]
    for at in (*range(1, 64, 3), *range(len(data) - 64, len(data), 3)):
        yield [data[:at], data[at:]]


@EACH
def test_behind_a_good_request_it_is_refused_alone(case: Case, sidecar: Sidecar) -> None:
    talk = sidecar.converse([GOOD + case.data])
    assert [answer.status for answer in talk.answers[:1]] == [200]
    assert talk.answers[1].status in case.statuses
    assert len(talk.answers) == 2
    assert talk.closed
    assert [seen.target for seen in talk.requests] == ["/good"]


@EACH
def test_what_follows_it_is_not_read(case: Case, sidecar: Sidecar) -> None:
    check(case, sidecar.converse([case.data, GOOD, GOOD]))
    if b"\n" in case.data:  # else it would be all one line
        check(case, sidecar.converse([case.data + GOOD]))
