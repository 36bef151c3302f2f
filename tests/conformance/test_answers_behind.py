"""What comes after a bad answer on the client's own connection, and in place of one.

A request that waited behind it gets its own answer or none, never a part of another; a retry
replaces what nobody has seen, and nothing else. RFC 9112 sections 8 and 9.3.2.
"""

from __future__ import annotations

import hashlib

import pytest

from meshproxy.core.exchange import Exchange
from tests.conformance.answers import BAD, Case, Fate
from tests.conformance.answers_seen import bytewise, check, whole
from tests.conformance.answers_stage import Ear, Play, asking, own_answer
from tests.fakes import Stage

NOW = [case for case in BAD if not case.late and not case.waits]
each_bad = pytest.mark.parametrize("case", NOW, ids=lambda case: case.name)


@each_bad
def test_a_request_behind_a_bad_answer_gets_its_own_or_none(case: Case) -> None:
    play = Play(method=case.method, behind=asking("/behind"))
    seen = play.plays(case, whole(case.data))
    check(case, seen)
    if seen.fate is Fate.CUT:
        assert play.client.transport.closed
        assert play.stage.dials == [], "an answer would be taken for the rest of the cut one"
        return
    play.serve(play.stage.connect(), b"/behind")
    behind = play.ear.look()
    assert (behind.fate, behind.body) == (Fate.WHOLE, b"/behind")


class Again:
    """A retry policy that wants one more attempt, at once."""

    def retry(self, exchange: Exchange, now: float) -> float | None:
        failed = exchange.failure is not None or exchange.status >= 500
        return 0.0 if failed and exchange.attempts == 1 else None


@each_bad
def test_a_retry_replaces_what_nobody_has_seen(case: Case) -> None:
    play = Play(method=case.method, policies=[Again()])
    play.says(whole(case.data))
    play.ends(case.end)
    retried = bool(play.stage.dials)
    if retried:
        play.stage.answer(play.stage.connect(), b"HTTP/1.1 299 Again\r\nContent-Length: 0\r\n\r\n")
    seen = play.ear.look(case.method)
    if retried:
        assert (seen.fate, seen.status, seen.body) == (Fate.WHOLE, 299, b"")
        assert b"poison" not in seen.head
    else:
        assert seen.fate is not Fate.REFUSED
        check(case, seen)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_a_thousand_bodies_are_the_same_when_each_byte_is_read_alone() -> None:
    stage = Stage()
    client = stage.client()
    ear = Ear(client)
    for number in range(1000):
        body = bytes((number * 31 + i * 7) % 256 for i in range(number % 60))
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        for piece in bytewise(head + body):
            client.says(piece)
        up = stage.connections[0] if stage.connections else stage.connect()
        sent = up.take().partition(b"\r\n\r\n")[2]
        assert digest(sent) == digest(body)
        for piece in bytewise(own_answer(sent)):
            stage.answer(up, piece)
        assert digest(ear.look().body) == digest(body)
    assert len(stage.connections) == 1
