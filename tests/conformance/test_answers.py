"""Every bad answer ends in a right one or in an honest failure, and poisons nothing after it.

Each case is played on a fresh connection and on one that has served before, to new clients and
to old ones, whole, byte by byte and cut at every place. RFC 9112 sections 6.3, 8 and 9.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.conformance.answers import BAD, ODD, Case, Fate
from tests.conformance.answers_seen import Seen, bytewise, check, splits, thirds, whole
from tests.conformance.answers_stage import Play

SMALL = [case for case in (*BAD, *ODD) if case.is_small]

each_bad = pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
each_odd = pytest.mark.parametrize("case", ODD, ids=lambda case: case.name)
each_small = pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
fresh_and_reused = pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
new_and_old = pytest.mark.parametrize("minor", [1, 0], ids=["1.1", "1.0"])


def played(case: Case, pieces: Sequence[bytes], *, reused: bool = False, minor: int = 1) -> Play:
    """Play it and judge it."""
    play = Play(reused=reused, minor=minor, method=case.method)
    seen = play.plays(case, pieces)
    if case.is_silent and reused:
        assert (seen.fate, seen.body) == (Fate.WHOLE, case.body), "a GET goes out again"
    else:
        check(case, seen)
    return play


def sane(seen: Seen) -> bool:
    return seen.fate is Fate.WHOLE and seen.body == b"/next"


def test_the_corpus_is_large_and_its_names_differ() -> None:
    assert len(BAD) >= 300
    assert len({case.name for case in (*BAD, *ODD)}) == len(BAD) + len(ODD)
    assert all(case.rfc for case in (*BAD, *ODD))


@new_and_old
@fresh_and_reused
@each_bad
def test_a_bad_answer_is_told_and_its_connection_never_used_again(
    case: Case, reused: bool, minor: int
) -> None:
    play = played(case, whole(case.data), reused=reused, minor=minor)
    assert play.up.closed
    assert all(sane(seen) for seen in play.next_answers())
    assert play.up.take() == b"", "something was sent on it"


@new_and_old
@fresh_and_reused
@each_odd
def test_an_odd_answer_arrives_and_its_connection_is_used_again(
    case: Case, reused: bool, minor: int
) -> None:
    play = played(case, whole(case.data), reused=reused, minor=minor)
    assert not play.up.closed
    assert all(sane(seen) for seen in play.next_answers())
    assert len(play.stage.connections) == 1


@fresh_and_reused
@each_small
def test_bytes_that_come_one_by_one_end_the_same(case: Case, reused: bool) -> None:
    play = played(case, bytewise(case.data), reused=reused)
    assert play.up.closed == (case in BAD)
    assert all(sane(seen) for seen in play.next_answers())


@each_small
def test_no_split_changes_the_verdict_or_what_the_client_is_told(case: Case) -> None:
    """But for the sizes of chunks (what comes at once leaves at once), and the date."""
    want = told(Play(method=case.method).plays(case, whole(case.data)))
    for pieces in (*splits(case.data), thirds(case.data)):
        play = Play(method=case.method)
        seen = play.plays(case, pieces)
        check(case, seen)
        assert Fate.CUT in case.fates or told(seen) == want, pieces
        assert play.up.closed == (case in BAD), pieces
        assert sane(play.ask_well("/next")), pieces


def told(seen: Seen) -> Seen:
    return replace(seen, head=re.sub(rb"\r\ndate: [^\r]*", b"", seen.head))


def test_nothing_is_poisoned_and_no_cut_is_shown_as_whole() -> None:
    plays = poisoned = hidden = 0
    for case in BAD:
        for reused in (False, True):
            play = Play(reused=reused, method=case.method)
            seen = play.plays(case, whole(case.data))
            plays += 1
            replayed = case.is_silent and reused
            hidden += Fate.WHOLE not in case.fates and seen.fate is Fate.WHOLE and not replayed
            poisoned += not all(sane(each) for each in play.next_answers())
    assert (poisoned, hidden) == (0, 0), f"of {plays}"
    assert plays >= 600
