"""Accounts for every request of a run: what was sent, what came back, what the upstream saw.

Each request carries an id that the upstream writes down and echoes. `verdicts` says which of
the promises were broken; an empty list is the proof. Sends nothing itself.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ID = "x-chaos-id"
SAFE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
"""Methods that may be tried again (RFC 9110 section 9.2.2)."""


@dataclass(slots=True)
class Sent:
    """One request and its end: a status, or the error that the client met."""

    id: str
    method: str
    began: float
    ended: float = 0.0
    status: int = 0
    echoed: str = ""
    reason: str = ""
    error: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 400 and not self.error

    @property
    def took(self) -> float:
        return self.ended - self.began

    @property
    def is_ours(self) -> bool:
        """Whether the proxy made the answer."""
        return bool(self.reason)


class Ledger:
    """What the clients of one run sent."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def begin(self, method: str, now: float) -> Sent:
        one = Sent(uuid.uuid4().hex, method, now)
        self.sent.append(one)
        return one

    @property
    def ok(self) -> int:
        return sum(one.ok for one in self.sent)

    def between(self, start: float, end: float) -> list[Sent]:
        """Those that began then."""
        return [one for one in self.sent if start <= one.began < end]

    def percentile(self, share: float) -> float:
        """Seconds that the good ones took."""
        took = sorted(one.took for one in self.sent if one.ok)
        return took[min(len(took) - 1, int(share * len(took)))] if took else 0.0

    def outcomes(self) -> dict[str, int]:
        """How many ended how: a status with its reason, or an error."""
        return dict(Counter(_outcome(one) for one in self.sent).most_common())

    def line(self, name: str, rss: int) -> str:
        """The figures of the run as one line of JSON."""
        errors = {key: count for key, count in self.outcomes().items() if not key.startswith("2")}
        figures = {
            "id": name, "sent": len(self.sent), "ok": self.ok, "errors": errors,
            "p99": round(self.percentile(0.99), 4), "rss": rss,
        }  # fmt: skip
        return json.dumps(figures)

    def verdicts(self, seen: Iterable[tuple[str, str]], tries: int = 1) -> list[str]:
        """The promises that were broken; `seen` is (method, id) of each delivery upstream."""
        delivered = Counter(seen)
        known = {one.id for one in self.sent}
        broken = [f"{key} reached the upstream and was never sent" for key in delivered
                  if key[1] not in known]  # fmt: skip
        for one in self.sent:
            times = delivered[one.method, one.id]
            broken.extend(f"{one}: {why}" for why in _complaints(one, times, tries))
        return broken


def _complaints(one: Sent, times: int, tries: int) -> Iterator[str]:
    most = tries if one.method in SAFE else 1
    if times > most:
        yield f"delivered {times} times, {most} allowed"
    if not one.status and not one.error:
        yield "no account of its end"
    if one.ok and times == 0:
        yield "answered, and never delivered"
    if one.ok and one.echoed != one.id:
        yield "the answer belongs to another request"


def _outcome(one: Sent) -> str:
    if one.error:
        return one.error
    return f"{one.status} {one.reason}".rstrip()


def read(*logs: Path) -> list[tuple[str, str]]:
    """What upstreams wrote down: one line of method and id for each request they got."""
    lines = (line for log in logs if log.exists() for line in log.read_text().splitlines())
    return [(method, key) for method, _, key in (line.partition(" ") for line in lines)]
