"""The latest exchanges that did not go well, for whoever looks at the admin port.

Keeps what the access log's line of each says, whether that is written or not. Which exchanges
those are is the access log's to see. They are kept apart by reason, and shown by turns, so that
a flood of one kind hides none of the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 100
"""Most that are told at once, and most that are kept of one reason."""
REASONS = 20
"""Most reasons told apart; the rest share one shelf."""

FIELDS = (
    "direction", "route", "upstream", "endpoint", "method", "path", "status", "reason", "detail",
    "rule", "request_id", "trace_id", "attempts", "duration_ms",
)  # fmt: skip

Shelf = deque[tuple[int, Mapping[str, Any]]]


class Recent:
    """A shelf per reason. All are numbered from 1 on, in the order in which they ended."""

    __slots__ = ("_shelves", "latest")

    def __init__(self) -> None:
        self._shelves: dict[str, Shelf] = {}
        self.latest = 0

    def add(self, fields: Mapping[str, Any]) -> None:
        """One more; `fields` are those of its line."""
        reason = fields["reason"].partition(",")[0]
        shelf = self._shelves.get(reason)
        if shelf is None:
            if len(self._shelves) >= REASONS:
                reason = "other"
            shelf = self._shelves.setdefault(reason, deque(maxlen=SHOWN))
        self.latest += 1
        shelf.append((self.latest, fields))

    def since(self, number: int, until: int) -> Sequence[Mapping[str, Any]]:
        """Those after one number and up to another, oldest first; of too many, the latest of
        each reason."""
        found = [
            (place, each)
            for shelf in self._shelves.values()
            for place, each in enumerate(reversed(shelf))
            if number < each[0] <= until
        ]
        found.sort(key=lambda one: (one[0], -one[1][0]))
        shown = sorted((each for _, each in found[:SHOWN]), key=lambda each: each[0])
        return [_told(fields) for _, fields in shown]


def _told(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"at": fields["time"], **{name: fields.get(name, "") for name in FIELDS}}
