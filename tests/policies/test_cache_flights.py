"""Whoever asks for the same at the same time waits for one fetch, and for no hopeless one."""

from __future__ import annotations

import pytest

from meshproxy.policies.cache_flights import ALONE_FOR, HOLD, MOST_ALONE, Flights

from .cache_scene import FRESH, TAGGED, Play, Told, answer
from .limits_scene import exchange


def test_fifty_who_ask_at_once_are_one_to_the_upstream() -> None:
    play = Play()
    callers = [play.ask() for _ in range(50)]
    assert play.asked()
    assert not play.asked()
    play.answers(answer(FRESH))
    told = [Told(caller.hears()) for caller in callers]
    assert told[0] == (200, "MISS", "one")
    assert all(each == (200, "HIT", "one") for each in told[1:])
    assert play.counts == {"miss": 1, "coalesced": 49}
    assert play.at_rest()


def test_those_who_wait_get_the_whole_body_or_none() -> None:
    play = Play()
    callers = [play.ask() for _ in range(3)]
    play.asked()
    data = answer(FRESH, body="abcdef")
    play.answers(data[:-3])
    assert callers[1].hears() == b""
    play.answers(data[-3:])
    assert Told(callers[1].hears()).body == "abcdef"


@pytest.mark.parametrize(
    "data",
    [
        answer("Cache-Control: private"),
        answer("Cache-Control: no-cache", TAGGED),
        answer(FRESH, body="x" * 1025),
    ],
)
def test_an_answer_for_one_alone_sends_the_rest_on_their_way(data: bytes) -> None:
    play = Play(max_body="1KiB")
    callers = [play.ask() for _ in range(3)]
    assert play.asked()
    first = play.up
    play.stage.answer(first, data[:-1])
    for _ in callers[1:]:
        assert play.asked(), "they go at its head, not at its end"
        play.answers(data)
    play.stage.answer(first, data[-1:])
    assert {Told(caller.hears()).status for caller in callers} == {200}
    assert play.at_rest()


def test_for_a_while_nobody_waits_for_its_like() -> None:
    play = Play()
    play.fetch(answer("Cache-Control: private"))
    for _ in range(2):
        play.ask()
        assert play.asked()
    play.time.pass_by(ALONE_FOR + 1.0)
    play.ask()
    assert play.asked()
    play.ask()
    assert not play.asked(), "it may have changed by now"


def test_when_the_upstream_fails_each_asks_for_itself() -> None:
    play = Play()
    callers = [play.ask() for _ in range(3)]
    play.asked()
    play.answers(answer(status=500, body="no"))
    assert Told(callers[0].hears()).status == 500
    for _ in callers[1:]:
        assert play.asked()
        play.answers(answer(FRESH))
    assert {Told(caller.hears()).body for caller in callers[1:]} == {"one"}
    assert play.at_rest()


def test_when_the_leader_leaves_the_next_one_fetches_for_all() -> None:
    play = Play()
    callers = [play.ask() for _ in range(4)]
    play.asked()
    callers[1].leaves()
    callers[0].leaves()
    assert play.asked()
    assert not play.asked(), "one again, and not all"
    play.answers(answer(FRESH))
    assert Told(callers[2].hears()) == (200, "MISS", "one")
    assert Told(callers[3].hears()) == (200, "HIT", "one")
    assert play.at_rest()


def test_who_wants_something_fresher_waits_for_nobody() -> None:
    play = Play()
    play.ask()
    assert play.asked()
    play.ask("/", "Cache-Control: no-cache")
    assert play.asked()


def test_what_each_must_validate_keeps_nobody_waiting() -> None:
    play = Play()
    play.fetch(answer("Cache-Control: no-cache", TAGGED))
    play.time.pass_by(ALONE_FOR + 1.0)
    for _ in range(2):
        play.ask()
        assert b"if-none-match" in play.asked()


def test_the_wait_for_another_has_an_end() -> None:
    play = Play()
    play.ask()
    play.asked()
    second = play.ask()
    assert not play.asked()
    play.time.pass_by(HOLD.seconds + 0.1)
    assert play.asked()
    play.answers(answer(FRESH, body="two"))
    assert Told(second.hears()) == (200, "MISS", "two")


def test_a_caller_with_its_own_condition_is_answered_as_it_asked() -> None:
    play = Play()
    play.ask()
    play.asked()
    second = play.ask("/", 'If-None-Match: "a"')
    play.answers(answer(FRESH, TAGGED))
    assert Told(second.hears()) == (304, "HIT", "")


def test_who_asks_for_another_variant_does_not_wait() -> None:
    play = Play()
    play.fetch(answer("Cache-Control: max-age=1", "Vary: Accept"), "/", "Accept: a")
    play.ask("/", "Accept: b")
    assert play.asked()
    play.ask("/", "Accept: c")
    assert play.asked()


@pytest.mark.parametrize("spec", [{"coalesce": False}, {}])
def test_it_can_be_switched_off(spec: dict[str, bool]) -> None:
    play = Play(**spec)
    play.ask()
    assert play.asked()
    play.ask()
    assert bool(play.asked()) == bool(spec)


def test_validations_are_one_too() -> None:
    play = Play(stale_while_revalidate="0s")
    play.fetch(answer(FRESH, TAGGED))
    play.time.pass_by(61.0)
    callers = [play.ask() for _ in range(5)]
    assert play.asked()
    assert not play.asked()
    play.answers(answer(FRESH, TAGGED, status=304))
    assert {Told(caller.hears()).body for caller in callers} == {"one"}
    assert play.counts == {"miss": 1, "revalidated": 1, "coalesced": 4}
    assert play.at_rest()


def test_what_is_left_alone_is_bounded() -> None:
    flights = Flights()
    for index in range(MOST_ALONE + 10):
        made = exchange()
        flights.join(made, (b"%d" % index, b""), 1.0)
        flights.land(made, 1.0, alone=True)
    assert len(flights._alone) == MOST_ALONE
