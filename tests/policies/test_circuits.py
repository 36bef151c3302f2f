"""Circuits in the ledger: who shares one, who must not, and what is shown of each."""

from __future__ import annotations

from meshproxy.core.ledger import Ledger
from meshproxy.logic.breaker import State
from meshproxy.policies.circuits import circuits_of, shifts_of

from .attempts import scope_of


def test_a_circuit_in_shadow_is_another_than_the_one_in_force() -> None:
    scope = scope_of("a")
    (in_force,), (tried,) = circuits_of(scope).values(), circuits_of(scope, shadow=True).values()
    assert in_force is not tried
    assert list(circuits_of(scope, shadow=True).values()) == [tried]


def test_a_circuit_in_shadow_is_labelled_and_the_one_in_force_is_as_ever() -> None:
    scope = scope_of("a")
    for shadow, more in ((False, []), (True, [("mode", "shadow")])):
        (circuit,) = circuits_of(scope, shadow).values()
        (state,) = circuit.samples()
        assert list(state.labels) == [("upstream", "payments"), ("endpoint", "a"), *more]


def test_circuits_outlive_a_reload_and_see_those_that_are_new() -> None:
    ledger = Ledger()
    draft = ledger.open()
    (before,) = circuits_of(scope_of("a", draft=draft)).values()
    ledger.keep(draft)
    after = {endpoint.name: each for endpoint, each in
             circuits_of(scope_of("a", "b", draft=ledger.open())).items()}  # fmt: skip
    assert after["a"] is before
    assert set(after) == {"a", "b"}


def test_every_transition_is_a_shift_of_its_cluster() -> None:
    scope = scope_of("a", "b")
    one, other = circuits_of(scope).values()
    one.turned(State.CLOSED)
    other.turned(State.CLOSED)
    assert shifts_of(scope).count == 2
