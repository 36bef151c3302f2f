"""Pages of several workers as one: what is added up, and what is not."""

from __future__ import annotations

import pytest

from meshproxy.control.company import added


def test_counts_are_added_and_settings_are_not() -> None:
    ours = {"name": "few", "max": 10, "in_use": 2, "queued": 1, "state": "open", "ok": True}
    theirs = {"name": "few", "max": 10, "in_use": 3, "queued": 0, "state": "open", "ok": True}
    assert added(ours, theirs) == {**ours, "in_use": 5, "queued": 1}


def test_a_mapping_of_counts_is_added_whole_and_deeply() -> None:
    ours = {"connections": {"inbound": 2, "outbound": {"a": 1}}, "seconds": 4.0}
    theirs = {"connections": {"inbound": 5, "outbound": {"a": 2}}, "seconds": 5.0}
    assert added(ours, theirs) == {
        "connections": {"inbound": 7, "outbound": {"a": 3}}, "seconds": 4.0,
    }  # fmt: skip


def test_lists_are_added_one_by_one_and_only_if_they_are_alike() -> None:
    assert added([{"open": 1}, {"open": 2}], [{"open": 3}, {"open": 4}]) == [
        {"open": 4}, {"open": 6},
    ]  # fmt: skip
    assert added([{"open": 1}], [{"open": 1}, {"open": 2}]) == [{"open": 1}]


def test_of_delays_the_worst_is_told() -> None:
    assert added({"loop_lag_ms": 0.5}, {"loop_lag_ms": 40.0}) == {"loop_lag_ms": 40.0}
    assert added({"loop_lag_ms": 40.0}, {"loop_lag_ms": 0.5}) == {"loop_lag_ms": 40.0}


@pytest.mark.parametrize("theirs", [None, "5", True, [5], {"a": 5}])
def test_what_is_not_of_a_kind_leaves_ours(theirs: object) -> None:
    assert added({"open": 1}, {"open": theirs}) == {"open": 1}


def test_what_only_one_of_them_has_is_ours_or_nothing() -> None:
    assert added({"open": 1, "idle": 2}, {"open": 1, "waiting": 9}) == {"open": 2, "idle": 2}
