"""The judge of a trace finds what it is there to find: it is tried on traces made by hand."""

from __future__ import annotations

import pytest

from tests.conformance.taken import Seen, Taken

from .agreement import wrong_with_refused, wrong_with_taken
from .comparison import is_poisoned, is_taken, word_for
from .probe import Trace
from .witness import Understood

CANARY = b"/canary-1"
MEANT = Understood("GET", b"/x", b"a", b"")
SMUGGLED = Understood("GET", b"/admin", b"a", b"")
CASE = Taken("one", b"", (Seen(b"GET /x HTTP/1.1"),), "9112 3")
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def refused(received: bytes = REFUSAL, *, closed: bool = True, canaries: int = 0) -> Trace:
    return Trace(received, closed, CANARY, canaries=canaries)


def taken(received: bytes, *understood: Understood, canaries: int = 1) -> Trace:
    return Trace(received, False, CANARY, list(understood), canaries)


def test_a_refusal_that_left_no_trace_is_right() -> None:
    assert wrong_with_refused(refused()) == ""


@pytest.mark.parametrize(
    "trace",
    [
        Trace(REFUSAL, True, CANARY, [MEANT]),
        Trace(REFUSAL, True, CANARY, strange=[b"/x"]),
        refused(canaries=1),
        refused(closed=False),
        refused(b""),
        refused(ok(b"/x")),
        refused(REFUSAL * 2),
    ],
)
def test_every_other_trace_of_a_bad_request_is_wrong(trace: Trace) -> None:
    assert wrong_with_refused(trace)


@pytest.mark.parametrize(
    "trace",
    [
        taken(ok(b"/x") + ok(CANARY), MEANT),
        Trace(ok(b"/x"), True, CANARY, [MEANT]),
        Trace(REFUSAL, True, CANARY),
    ],
    ids=["with its canary", "and then an end", "refused by the server"],
)
def test_one_request_or_none_is_right(trace: Trace) -> None:
    assert wrong_with_taken(CASE, trace, "b") == ""


@pytest.mark.parametrize(
    "trace",
    [
        taken(ok(b"/x") + ok(CANARY), MEANT, SMUGGLED),
        taken(ok(b"/x") + ok(CANARY), SMUGGLED),
        taken(ok(b"/x") + ok(CANARY)),
        taken(ok(b"/admin") + ok(CANARY), MEANT),
        taken(ok(b"/x") + ok(b"/admin"), MEANT),
        taken(ok(b"/x") + ok(CANARY), MEANT, canaries=2),
        taken(ok(b"/x"), MEANT, canaries=0),
        taken(REFUSAL + ok(CANARY), MEANT),
        taken(b"", MEANT),
        Trace(ok(b"/x") + ok(CANARY), False, CANARY, [MEANT], 1, [b"/x"]),
    ],
)
def test_every_other_trace_of_a_good_request_is_wrong(trace: Trace) -> None:
    assert wrong_with_taken(CASE, trace, "b")


def test_an_error_is_no_sign_that_a_request_was_taken() -> None:
    assert not is_taken(refused())
    assert not is_taken(refused(b""))
    assert is_taken(refused(ok(b"")))
    assert is_taken(taken(REFUSAL, MEANT))


def test_the_answer_of_another_request_is_poison() -> None:
    assert not is_poisoned(taken(ok(b"/x") + ok(CANARY), MEANT))
    assert is_poisoned(taken(ok(b"/x") + ok(b"/canary-2"), MEANT))
    assert is_poisoned(Trace(REFUSAL, True, CANARY, strange=[b"/x"]))


@pytest.mark.parametrize(
    ("trace", "word"),
    [
        (taken(ok(b"/x"), MEANT, SMUGGLED), "**taken as 2**"),
        (taken(ok(b"/x"), MEANT), "**taken**"),
        (refused(), "400"),
        (refused(b"", closed=True), "closed"),
        (refused(b"", closed=False), "silent"),
        (refused(b"\x00\x00\x12\x04\x00"), "not HTTP/1"),
    ],
)
def test_a_trace_has_a_word(trace: Trace, word: str) -> None:
    assert word_for(trace) == word
