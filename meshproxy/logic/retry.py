"""Is a failed attempt worth another, when, and can the upstream bear it.

Pure: methods, counts, draws and `now` in, an answer out. What failed, and whether the file
asks for a retry of it, is decided before.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

LOOK_BACK = 10.0
"""Seconds over which requests earn retries (the ttl of Finagle's RetryBudget)."""

MAX_DIRECTED = 300.0
"""Seconds: a Retry-After above this is not believed (Envoy's rate_limited_retry_back_off)."""

_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))

_EXACT = 1e-9


def may_repeat(method: bytes, sent: bool, key: bytes | None) -> bool:
    """Whether a second attempt cannot do the work twice.

    RFC 9110 section 9.2.2: a proxy must not repeat other than idempotent requests by itself;
    what never reached the upstream repeats nothing, and an Idempotency-Key is the caller's
    word that the upstream knows a repetition when it sees one.
    """
    return not sent or method in _IDEMPOTENT or key is not None


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before retry 1, 2, ...; `jitter` is the share left to chance."""

    base: float = 0.025
    longest: float = 0.25
    jitter: float = 1.0
    doubles: bool = True


def pause(backoff: Backoff, retry: int, draw: float) -> float:
    """Seconds before the retry of this number, the first being 1; `draw` is from [0, 1).

    Exponential as in Envoy: at most (2^N - 1) times the base, and never above the longest.
    """
    factor = 2.0 ** min(retry, 64) - 1.0 if backoff.doubles else 1.0
    most = min(backoff.base * factor, backoff.longest)
    return most * (1.0 - backoff.jitter * draw)


def directed_pause(retry_after: float, draw: float) -> float | None:
    """Seconds to wait because the answer said so: up to half more, against stampedes.

    None where it said nothing (below zero), no time at all, or something beyond belief.
    """
    if not 0.0 < retry_after <= MAX_DIRECTED:
        return None
    return retry_after * (1.0 + 0.5 * draw)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Retries per request (0.2: one for five), but at least so many per second."""

    ratio: float = 0.2
    per_second: float = 10.0


class Reserve:
    """What is left of the least that is always allowed: a bucket of one second's worth."""

    __slots__ = ("stamp", "tokens")

    def __init__(self, allowance: Allowance, now: float) -> None:
        self.tokens = _reserve_size(allowance)
        self.stamp = now


def _reserve_size(allowance: Allowance) -> float:
    return max(1.0, allowance.per_second) if allowance.per_second > 0.0 else 0.0


def spend(allowance: Allowance, reserve: Reserve, counts: tuple[int, int], now: float) -> bool:
    """Take one retry if there is one; `counts` are (requests, retries) of LOOK_BACK.

    Finagle's budget with one change: what is earned by requests uses the reserve up as well.
    So retries stay below the larger of the two and not below their sum, and a total outage
    at any but a trickle of requests costs the upstream `ratio` more and nothing else.
    """
    requests, retries = counts
    elapsed = max(0.0, now - reserve.stamp)
    reserve.stamp = now
    tokens = min(_reserve_size(allowance), reserve.tokens + elapsed * allowance.per_second)
    earned = retries + 1 <= allowance.ratio * requests + _EXACT
    granted = earned or tokens >= 1.0 - _EXACT
    reserve.tokens = max(0.0, tokens - 1.0) if granted else tokens
    return granted


def would_spend(
    allowance: Allowance, reserve: Reserve, counts: tuple[int, int], now: float
) -> bool:
    """What `spend` would answer; nothing is taken."""
    return spend(allowance, copy(reserve), counts, now)
