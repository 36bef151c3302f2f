"""The checker finds each broken promise, so that its silence proves something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .checker import Ledger, Sent, read


def sent(ledger: Ledger, method: str = "GET", status: int = 200) -> Sent:
    one = ledger.begin(method, 1.0)
    one.ended, one.status, one.echoed = 1.5, status, one.id
    return one


def test_a_run_that_kept_its_promises_is_not_blamed() -> None:
    ledger = Ledger()
    seen = [(one.method, one.id) for one in (sent(ledger), sent(ledger, "POST"))]
    assert ledger.verdicts(seen) == []


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_post_that_came_twice_is_found(method: str) -> None:
    ledger = Ledger()
    one = sent(ledger, method)
    (why,) = ledger.verdicts([(method, one.id)] * 2, tries=3)
    assert "delivered 2 times, 1 allowed" in why


def test_a_get_may_come_as_often_as_it_may_be_tried() -> None:
    ledger = Ledger()
    one = sent(ledger)
    assert ledger.verdicts([("GET", one.id)] * 3, tries=3) == []
    assert len(ledger.verdicts([("GET", one.id)] * 4, tries=3)) == 1


def test_an_answer_to_another_request_is_found() -> None:
    ledger = Ledger()
    one, other = sent(ledger), sent(ledger)
    one.echoed = other.id
    (why,) = ledger.verdicts([("GET", one.id), ("GET", other.id)])
    assert "belongs to another" in why


def test_an_answer_from_nowhere_is_found() -> None:
    ledger = Ledger()
    sent(ledger)
    (why,) = ledger.verdicts([])
    assert "never delivered" in why


def test_a_request_without_an_end_is_found() -> None:
    ledger = Ledger()
    ledger.begin("GET", 1.0)
    (why,) = ledger.verdicts([])
    assert "no account" in why


def test_a_request_that_nobody_sent_is_found() -> None:
    (why,) = Ledger().verdicts([("GET", "x")])
    assert "never sent" in why


def test_a_failure_needs_no_delivery() -> None:
    ledger = Ledger()
    sent(ledger, "POST", 503)
    sent(ledger).error = "ConnectionResetError"
    assert ledger.verdicts([]) == []


def test_the_figures_are_one_line_of_json() -> None:
    ledger = Ledger()
    sent(ledger)
    sent(ledger, status=503).reason = "UF"
    assert json.loads(ledger.line("F23", 1024)) == {
        "id": "F23", "sent": 2, "ok": 1, "errors": {"503 UF": 1}, "p99": 0.5, "rss": 1024,
    }  # fmt: skip


def test_logs_of_several_upstreams_are_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("GET 1\nPOST 2\n")
    (tmp_path / "b").write_text("GET 3\n")
    found = read(tmp_path / "a", tmp_path / "b", tmp_path / "none")
    assert found == [("GET", "1"), ("POST", "2"), ("GET", "3")]
