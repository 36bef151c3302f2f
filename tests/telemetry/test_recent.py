"""What did not go well is kept for a while, and no flood of one kind hides another."""

from __future__ import annotations

from typing import Any

from meshproxy.telemetry.recent import FIELDS, REASONS, SHOWN, Recent


def line(reason: str = "", number: int = 0, **more: Any) -> dict[str, Any]:
    return {"time": "now", "level": "error", "reason": reason, "status": 503, "path": f"/{number}",
            "client": "10.0.0.1", **more}  # fmt: skip


def told(recent: Recent, after: int = 0) -> list[str]:
    return [each["path"] for each in recent.since(after, recent.latest)]


def test_the_fields_are_those_of_the_line_and_no_client_is_named() -> None:
    recent = Recent()
    recent.add(line("UF", detail="no", rule="f.yaml:3"))
    (one,) = recent.since(0, 1)
    assert set(one) == {"at", *FIELDS}
    assert (one["at"], one["reason"], one["detail"], one["rule"]) == ("now", "UF", "no", "f.yaml:3")
    assert one["endpoint"] == ""


def test_they_come_in_the_order_in_which_they_ended() -> None:
    recent = Recent()
    for number, reason in enumerate(("UF", "", "UT,URX", "UF")):
        recent.add(line(reason, number))
    assert told(recent) == ["/0", "/1", "/2", "/3"]
    assert told(recent, after=2) == ["/2", "/3"]
    assert [each["path"] for each in recent.since(1, 3)] == ["/1", "/2"]
    assert told(recent, after=recent.latest) == []


def test_the_oldest_of_a_kind_go_first() -> None:
    recent = Recent()
    for number in range(SHOWN + 5):
        recent.add(line("UF", number))
    assert told(recent) == [f"/{number}" for number in range(5, SHOWN + 5)]


def test_a_flood_of_one_kind_leaves_the_others_to_be_seen() -> None:
    recent = Recent()
    for number in range(30):
        recent.add(line("UF", number))
    for number in range(1000, 3000):
        recent.add(line("RL", number))
    paths = told(recent)
    assert len(paths) == SHOWN
    assert paths[:30] == [f"/{number}" for number in range(30)]
    assert paths[-1] == "/2999"


def test_there_are_so_many_kinds_and_no_more() -> None:
    recent = Recent()
    for kind in range(REASONS + 50):
        for number in range(SHOWN):
            recent.add(line(f"K{kind}", number))
    assert len(recent._shelves) == REASONS + 1
    assert sum(map(len, recent._shelves.values())) == (REASONS + 1) * SHOWN
    assert len(told(recent)) == SHOWN
