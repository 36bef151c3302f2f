"""Pages of several workers as one: which numbers are added up, and which are not.

Every worker has the same config, so their pages have the same shape; where one differs (it has
just been started, or a reload is on its way) only what is found in both is added.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

Join = Callable[[Any, Any], Any]
"""What becomes of two workers' numbers."""

ADDED = frozenset({
    "in_flight", "in_use", "queued", "refused", "open", "idle", "dialling", "waiting", "requests",
    "failures", "opened", "kept_in", "entries", "bytes", "evictions", "keys_in_use", "overflowed",
    "used", "granted", "denied", "attempts_not_stopped", "purged", "retries", "rss_bytes",
    "open_files", "cpu_seconds",
})  # fmt: skip
"""Numbers of which each worker has its own share."""

WORST = frozenset({"loop_lag_ms"})
"""Numbers of which the highest is told: more than any worker has would be nobody's."""

MAPPINGS = frozenset({"outcomes", "connections", "last_10s", "counts"})
"""Mappings all of whose numbers are such."""


_JOINS: Mapping[str, Join] = {
    **dict.fromkeys(ADDED | MAPPINGS, operator.add), **dict.fromkeys(WORST, max),
}  # fmt: skip


def added(ours: Any, theirs: Any, join: Join | None = None) -> Any:
    """Our page with the numbers of another worker's put to it."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return {
            key: added(value, theirs[key], _JOINS.get(key, join)) if key in theirs else value
            for key, value in ours.items()
        }
    if isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            return ours
        return [added(one, other, join) for one, other in zip(ours, theirs, strict=True)]
    if join is not None and _is_number(ours) and _is_number(theirs):
        return join(ours, theirs)
    return ours


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
