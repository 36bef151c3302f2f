"""Pages of several workers as one: which numbers are added up, and which are not.

Every worker has the same config, so their pages have the same shape; where one differs (it has
just been started, or a reload is on its way) only what is found in both is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ADDED = frozenset({
    "in_flight", "in_use", "queued", "refused", "open", "idle", "dialling", "waiting", "requests",
    "failures", "opened", "kept_in", "entries", "bytes", "evictions", "keys_in_use", "overflowed",
    "used", "granted", "denied", "attempts_not_stopped", "purged", "retries", "rss_bytes",
    "open_files", "cpu_seconds",
})  # fmt: skip
"""Numbers of which each worker has its own share."""

MAPPINGS = frozenset({"outcomes", "connections", "last_10s", "counts"})
"""Mappings all of whose numbers are such."""


def added(ours: Any, theirs: Any, add: bool = False) -> Any:
    """Our page with the numbers of another worker's put to it."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return {
            key: added(value, theirs[key], add or key in ADDED or key in MAPPINGS)
            if key in theirs
            else value
            for key, value in ours.items()
        }
    if isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            return ours
        return [added(one, other, add) for one, other in zip(ours, theirs, strict=True)]
    if add and _is_number(ours) and _is_number(theirs):
        return ours + theirs
    return ours


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
