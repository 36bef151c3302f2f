"""Circuits in the ledger: who shares one, who must not, and what is shown of each."""

from __future__ import annotations

from dataclasses import replace

from meshproxy.core.ledger import Ledger
from meshproxy.core.report import Steerable
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


def test_an_operator_holds_one_open_and_lets_it_go() -> None:
    (each,) = circuits_of(scope_of("a")).values()
    assert isinstance(each, Steerable)
    assert (each.orders, each.forced) == (("open", "closed"), "")
    assert each.names == {"upstream": "payments", "endpoint": "a"}
    assert "forced" not in each.report(5.0)
    each.steer("open", 5.0)
    report = each.report(6.0)
    assert (report["state"], report["forced"], each.forced) == ("open", "open", "open")
    assert report["next_try_in_seconds"] is None
    assert {s.family: s.value for s in each.samples()} == {
        "meshproxy_breaker_state": 1.0, "meshproxy_breaker_transitions_total": 1.0,
    }  # fmt: skip
    each.steer("", 7.0)
    assert (each.forced, each.report(7.0)["next_try_in_seconds"]) == ("", 0.0)


def test_letting_go_of_one_that_nobody_holds_changes_nothing() -> None:
    (each,) = circuits_of(scope_of("a")).values()
    each.state, each.until = State.OPEN, 99.0
    each.steer("", 5.0)
    assert each.until == 99.0


def test_one_that_is_only_tried_out_takes_no_orders() -> None:
    (tried,) = circuits_of(scope_of("a"), shadow=True).values()
    assert tried.orders == ()


def test_an_order_is_a_shift_of_its_cluster_if_it_changes_the_state() -> None:
    scope = scope_of("a")
    (each,) = circuits_of(scope).values()
    each.steer("closed", 5.0)
    assert shifts_of(scope).count == 0
    each.steer("open", 5.0)
    assert shifts_of(scope).count == 1


def test_a_file_that_is_only_compiled_changes_no_circuit_in_force() -> None:
    scope, ledger = scope_of("a"), Ledger()
    (endpoint,) = scope.cluster.endpoints
    (each,) = circuits_of(scope).values()
    ledger.keep(scope.draft)
    assert endpoint.circuit is each
    circuits_of(replace(scope, draft=ledger.open()))
    circuits_of(replace(scope, draft=ledger.open()), shadow=True)
    assert endpoint.circuit is each
