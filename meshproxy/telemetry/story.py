"""What happened on the way of an exchange, as the events of its server span.

Told from the record alone: which attempts followed which and why, what stood in, what was
refused and by which rule, and what policies noted themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from meshproxy.core.verdict import Failure

if TYPE_CHECKING:
    from meshproxy.core.spans import Attempt, Record

Event = tuple[float, str, Mapping[str, str | int]]
"""When (on the monotonic clock), its name, and its attributes."""


def events(record: Record) -> list[Event]:
    """All of them, in the order of time."""
    found = [*_again(record), *record.notes, *_stood_in(record), *_refused(record)]
    return sorted(found, key=lambda event: event[0])


def _again(record: Record) -> Iterator[Event]:
    """Every attempt that was not simply the first, by why it was made."""
    before: Attempt | None = None
    route = record.route
    for number, attempt in enumerate(record.attempts):
        last, before = before, attempt
        moved, route = attempt.route is not route, attempt.route
        if last is None and not moved:
            continue
        upstream = attempt.route.cluster.name if attempt.route.cluster else ""
        more: dict[str, str | int] = {
            "meshproxy.upstream": upstream,
            "meshproxy.endpoint": attempt.endpoint.name if attempt.endpoint else "",
            "http.request.resend_count": number,
        }
        if attempt.beside:
            yield attempt.began, "meshproxy.hedge", more
        elif moved:
            more |= {"meshproxy.kind": "service", "meshproxy.why": _why(last)}
            yield attempt.began, "meshproxy.fallback", more
        elif last is not None and last.failure is Failure.STALE:
            yield attempt.began, "meshproxy.replay", more
        else:
            yield attempt.began, "meshproxy.retry", {**more, "meshproxy.why": _why(last)}


def _why(attempt: Attempt | None) -> str:
    """What was wrong with an attempt, in the words of the file; empty where none was made."""
    if attempt is None:
        return ""
    if attempt.failure is not None:
        return attempt.failure.condition
    return str(attempt.status) if attempt.status else ""


def _stood_in(record: Record) -> Iterator[Event]:
    """An answer that no upstream gave now."""
    attempts = record.attempts
    if record.answered or record.refusal is not None or not 100 <= record.status != 499:
        return
    if not record.rescued:
        if not attempts:
            yield record.ended, "meshproxy.cache", {}
    elif all(attempt.route is record.route for attempt in attempts):
        why = _why(attempts[-1]) if attempts else record.flags
        yield (
            record.ended,
            "meshproxy.fallback",
            {
                "meshproxy.kind": "static",
                "meshproxy.why": why,
            },
        )


def _refused(record: Record) -> Iterator[Event]:
    """The proxy's own answer, and the rule of the file behind it: a limit, a breaker, a queue."""
    refusal = record.refusal
    if refusal is None:
        return
    yield (
        record.ended,
        "meshproxy.refused",
        {
            "meshproxy.reason": refusal.reason,
            "meshproxy.rule": refusal.rule,
            "meshproxy.detail": refusal.detail,
            "meshproxy.retry_after": int(refusal.retry_after),
        },
    )
