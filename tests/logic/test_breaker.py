"""A circuit's states as a function of what happened when; time is a number."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meshproxy.logic import breaker
from meshproxy.logic.breaker import Circuit, Rules, State

RULES = Rules()
FEW = (0, 1)
"""Counts that say nothing about a rate."""


def opened(rules: Rules = RULES, now: float = 0.0) -> Circuit:
    circuit = Circuit(0.0)
    breaker.trip(circuit, rules, now, draw=0.0)
    return circuit


def probing(rules: Rules = RULES) -> tuple[Circuit, float]:
    """A half-open circuit whose first probe began at the moment returned."""
    circuit = opened(rules)
    assert breaker.claim(circuit, rules, circuit.until)
    return circuit, circuit.since


def test_the_seventh_failure_in_a_row_opens_it() -> None:
    circuit = Circuit(0.0)
    reasons = [breaker.lose(circuit, RULES, 1.0, FEW) for _ in range(7)]
    assert reasons == [""] * 6 + ["7 failures in a row"]


def test_a_success_breaks_the_row() -> None:
    circuit = Circuit(0.0)
    for _ in range(6):
        breaker.lose(circuit, RULES, 1.0, FEW)
    breaker.win(circuit, RULES, 1.0, 1.0)
    assert breaker.lose(circuit, RULES, 1.0, FEW) == ""
    assert circuit.streak == 1


@pytest.mark.parametrize(
    ("good", "bad", "opens"), [(10, 9, False), (11, 9, False), (10, 10, True), (0, 19, False)]
)
def test_a_rate_opens_it_only_from_enough_requests_on(good: int, bad: int, opens: bool) -> None:
    rules = Rules(consecutive_failures=1000)
    assert bool(breaker.lose(Circuit(0.0), rules, 1.0, (good, bad))) is opens


def test_an_open_circuit_is_asked_again_only_after_its_time() -> None:
    circuit = opened(now=10.0)
    assert circuit.until == 11.0
    assert not breaker.claim(circuit, RULES, 10.9)
    assert circuit.state is State.OPEN


def test_one_probe_at_a_time_goes_out() -> None:
    circuit, began = probing()
    assert circuit.state is State.HALF_OPEN
    assert circuit.until > began


def test_as_many_probes_as_the_rules_say_go_out() -> None:
    rules = Rules(half_open_requests=3)
    circuit, began = probing(rules)
    for extra in (0.1, 0.2):
        assert circuit.until <= began + extra
        breaker.claim(circuit, rules, began + extra)
    assert circuit.until == began + circuit.spell


def test_it_closes_after_two_successful_probes() -> None:
    circuit, began = probing()
    assert not breaker.win(circuit, RULES, began, began + 0.1)
    assert circuit.until <= began + 0.1, "the claim was handed back"
    breaker.claim(circuit, RULES, began + 0.2)
    assert breaker.win(circuit, RULES, began + 0.2, began + 0.3)
    assert circuit.state is State.CLOSED
    assert circuit.until == 0.0


def test_one_failed_probe_opens_it_again() -> None:
    circuit, began = probing()
    assert breaker.lose(circuit, RULES, began, FEW) == "a probe failed"


def test_a_probe_without_an_outcome_expires() -> None:
    circuit, began = probing()
    later = began + circuit.spell
    assert circuit.until == later
    assert not breaker.claim(circuit, RULES, later), "it is half-open already"
    assert circuit.claims == [later]


def test_the_late_outcome_of_an_expired_probe_still_counts() -> None:
    """Else an upstream that answers more slowly than claims expire would never be let in."""
    circuit, began = probing(Rules(close_after=1))
    breaker.claim(circuit, RULES, circuit.until)
    assert breaker.win(circuit, Rules(close_after=1), began, began + 30.0)


def test_a_probe_that_taught_nothing_hands_its_claim_back() -> None:
    circuit, began = probing()
    breaker.release(circuit, RULES, began)
    assert circuit.until <= began
    assert circuit.state is State.HALF_OPEN
    assert circuit.wins == 0


@pytest.mark.parametrize("state", [State.OPEN, State.HALF_OPEN])
def test_attempts_from_before_it_opened_change_nothing(state: State) -> None:
    circuit = opened(now=10.0)
    if state is State.HALF_OPEN:
        breaker.claim(circuit, RULES, circuit.until)
    before = (circuit.state, circuit.until, circuit.wins)
    assert not breaker.win(circuit, RULES, 9.0, 20.0)
    assert not breaker.lose(circuit, RULES, 9.0, (0, 100))
    assert (circuit.state, circuit.until, circuit.wins) == before


def test_a_failure_from_before_it_closed_starts_no_row() -> None:
    circuit, began = probing(Rules(close_after=1))
    breaker.win(circuit, Rules(close_after=1), began, began + 1.0)
    breaker.lose(circuit, RULES, began - 5.0, FEW)
    assert circuit.streak == 0


def test_the_open_time_doubles_at_each_reopening_up_to_the_cap() -> None:
    circuit, now, spells = Circuit(0.0), 0.0, []
    for _ in range(9):
        breaker.trip(circuit, RULES, now, draw=0.0)
        spells.append(circuit.spell)
        now = circuit.until
        breaker.claim(circuit, RULES, now)
    assert spells == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 40.0, 40.0, 40.0]


def test_the_last_endpoint_is_not_left_alone_for_longer_each_time() -> None:
    circuit, now = Circuit(0.0), 0.0
    for _ in range(5):
        breaker.trip(circuit, RULES, now, draw=0.0, last=True)
        assert circuit.spell == 1.0
        now = circuit.until
        breaker.claim(circuit, RULES, now)
    breaker.trip(circuit, RULES, now, draw=0.0)
    assert circuit.spell == 1.0, "what it did as the last one is not held against it"


@pytest.mark.parametrize(("closed_for", "spell"), [(9.9, 2.0), (10.0, 1.0)])
def test_only_a_close_that_lasts_starts_the_open_time_over(closed_for: float, spell: float) -> None:
    rules = Rules(close_after=1)
    circuit, began = probing(rules)
    breaker.win(circuit, rules, began, began)
    breaker.trip(circuit, rules, began + closed_for, draw=0.0)
    assert circuit.spell == spell


@given(
    open_for=st.floats(0.001, 100.0),
    more=st.floats(1.0, 100.0),
    doublings=st.integers(0, 5000),
    draw=st.floats(0.0, 1.0, exclude_max=True),
)
def test_an_open_time_lies_between_its_bounds(
    open_for: float, more: float, doublings: int, draw: float
) -> None:
    rules = Rules(open_for=open_for, max_open_for=open_for * more)
    spell = breaker.open_time(rules, doublings, draw)
    assert rules.open_for <= spell * (1 + 1e-9)
    assert spell <= rules.max_open_for * (1 + 1e-9)
    assert spell <= rules.open_for * 2.0 ** min(doublings, 64) * 1.5 * (1 + 1e-9)


@given(doublings=st.integers(0, 20), one=st.floats(0, 0.4), other=st.floats(0.6, 0.99))
def test_two_circuits_that_open_together_are_probed_apart(
    doublings: int, one: float, other: float
) -> None:
    early = breaker.open_time(RULES, doublings, one)
    late = breaker.open_time(RULES, doublings, other)
    assert late > early * 1.03


class AnyTraffic(RuleBasedStateMachine):
    """Whatever happens in whatever order: exact transitions, bounded probes, never stuck."""

    def __init__(self) -> None:
        super().__init__()
        self.rules = Rules(consecutive_failures=2, half_open_requests=2, max_open_for=8.0)
        self.circuit = Circuit(0.0)
        self.now = 0.0
        self.out: list[float] = []

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.5, 1.0, 5.0, 86400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_request_departs_if_it_may(self) -> None:
        circuit, before = self.circuit, self.circuit.state
        if self.now < circuit.until:
            return
        turned = breaker.claim(circuit, self.rules, self.now)
        assert turned is (before is State.OPEN)
        assert circuit.state is not State.OPEN
        self.out.append(self.now)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=st.sampled_from(["win", "lose", "release", "lost for ever"]))
    def an_outcome_comes(self, data: st.DataObject, outcome: str) -> None:
        began = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        circuit, before = self.circuit, self.circuit.state
        if outcome == "win":
            closed = breaker.win(circuit, self.rules, began, self.now)
            assert not closed or before is State.HALF_OPEN
        elif outcome == "lose":
            why = breaker.lose(circuit, self.rules, began, FEW)
            assert not (why and before is State.OPEN)
            if why:
                breaker.trip(circuit, self.rules, self.now, 0.5)
        elif outcome == "release":
            breaker.release(circuit, self.rules, began)
            assert circuit.state is before

    @invariant()
    def no_more_probes_are_out_than_allowed(self) -> None:
        assert len(self.circuit.claims) <= self.rules.half_open_requests
        assert not self.circuit.claims or self.circuit.state is State.HALF_OPEN

    @invariant()
    def a_closed_circuit_lets_everything_through(self) -> None:
        assert self.circuit.state is not State.CLOSED or self.circuit.until == 0.0

    @invariant()
    def nothing_keeps_it_shut_for_longer_than_the_longest_open_time(self) -> None:
        assert self.circuit.until - self.now <= self.rules.max_open_for


TestAnyTraffic = AnyTraffic.TestCase


@given(
    outcomes=st.lists(st.booleans(), min_size=200, max_size=400),
    draw=st.floats(0.0, 1.0, exclude_max=True),
)
def test_an_upstream_that_fails_half_the_time_flaps_ever_more_slowly(
    outcomes: list[bool], draw: float
) -> None:
    """A request every 50 ms: it never opens twice within one open time."""
    circuit, now, openings = Circuit(0.0), 0.0, []
    for good in outcomes:
        now += 0.05
        if now < circuit.until:
            continue
        breaker.claim(circuit, RULES, now)
        if good:
            breaker.win(circuit, RULES, now, now)
        elif breaker.lose(circuit, RULES, now, (10, 10)):
            breaker.trip(circuit, RULES, now, draw)
            openings.append((now, circuit.spell))
    for (first, spell), (second, _) in pairwise(openings):
        assert second - first >= spell


def test_one_held_open_is_never_due_and_learns_nothing() -> None:
    circuit = Circuit(0.0)
    breaker.force(circuit, State.OPEN, 10.0)
    assert (circuit.state, circuit.since, circuit.until) == (State.OPEN, 10.0, breaker.NEVER)
    assert not breaker.claim(circuit, Rules(), 1e9)
    assert not breaker.win(circuit, Rules(), 11.0, 12.0)
    assert breaker.lose(circuit, Rules(), 11.0, (0, 100)) == ""
    assert not breaker.vouched(circuit, 1e9)
    assert circuit.state is State.OPEN


def test_one_held_closed_stays_so_and_goes_on_counting() -> None:
    circuit = Circuit(0.0)
    breaker.force(circuit, State.CLOSED, 10.0)
    for _ in range(20):
        assert breaker.lose(circuit, Rules(), 11.0, (0, 100)) == ""
    assert (circuit.state, circuit.streak, circuit.until) == (State.CLOSED, 20, 0.0)
    breaker.free(circuit, 12.0)
    assert breaker.lose(circuit, Rules(), 13.0, (0, 100)) == "21 failures in a row"


def test_one_that_was_held_open_comes_back_by_a_probe() -> None:
    circuit, rules = Circuit(0.0), Rules(close_after=1)
    breaker.force(circuit, State.OPEN, 10.0)
    breaker.free(circuit, 20.0)
    assert circuit.until <= 20.0
    assert breaker.claim(circuit, rules, 20.0)
    assert (circuit.state, circuit.until > 20.0) == (State.HALF_OPEN, True)
    assert breaker.win(circuit, rules, 20.0, 21.0)
    assert circuit.state is State.CLOSED


def test_one_that_is_open_already_is_held_as_it_is() -> None:
    circuit = Circuit(0.0)
    breaker.trip(circuit, Rules(), 5.0, 0.0)
    breaker.force(circuit, State.OPEN, 10.0)
    assert (circuit.since, circuit.until) == (5.0, breaker.NEVER)
    breaker.force(circuit, State.CLOSED, 11.0)
    assert (circuit.state, circuit.until) == (State.CLOSED, 0.0)
