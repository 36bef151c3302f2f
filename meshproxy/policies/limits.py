"""Rate limits at work: every limit of a route must admit, or the request is told when to come.

A request that one limit refuses spends nothing of any; the limit that asks for the longest
wait is the one reported. Limits in shadow do the same among themselves, and only count it. How
much is left, and for whom, is known to the gates alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any

from meshproxy.core.explanation import Step
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Refusal
from meshproxy.logic import units

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.fields import RateOf
    from meshproxy.policies.gates import Each, Gate, Peek, Whole
    from meshproxy.policies.shadow import Shadows


class Series:
    """Refusals by direction, route and limit: one cell for all, so that no series comes twice."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def samples(self) -> Iterable[Sample]:
        for (direction, route, limit), count in self.counts.items():
            labels = (("direction", direction), ("route", route), ("limit", limit))
            yield Sample("meshproxy_rate_limited_total", labels, float(count))


class Refused:
    """How many requests the limit `name` refused, in all generations of the file."""

    __slots__ = ("_direction", "_series", "count", "name")

    def __init__(self, direction: str, name: str, series: Series) -> None:
        self.name = name
        self.count = 0
        self._direction = direction
        self._series = series

    def add(self, route: str) -> None:
        self.count += 1
        self._series.counts[self._direction, route, self.name] += 1


class Shaded:
    """How many requests the limit `name` would have refused, in all generations of the file."""

    __slots__ = ("_direction", "_shadows", "count", "name")

    def __init__(self, direction: str, name: str, shadows: Shadows) -> None:
        self.name = name
        self.count = 0
        self._direction = direction
        self._shadows = shadows

    def add(self, route: str) -> None:
        self.count += 1
        self._shadows.count("rate_limit", self._direction, route, self.name)


class Limit:
    """One entry of `rate_limits`: its gate, its words, and its record on the admin port."""

    __slots__ = ("_about", "_gate", "_rule", "_words", "give_back", "refused", "take")

    section = "rate-limits"

    def __init__(
        self, rule: str, gate: Gate, refused: Refused | Shaded, about: Mapping[str, Any]
    ) -> None:
        # Bound here and not passed on by a method: one call less per limit and request.
        self.take = gate.take
        self.give_back = gate.give_back
        self._rule = rule
        self._gate = gate
        self.refused = refused
        self._about = about
        self._words: dict[Whole | Each, tuple[str, bytes, bytes]] = {}

    def refusal(self, exchange: Exchange, wait: float) -> Refusal:
        """The answer to a request for which this limit has room in `wait` seconds.

        The fields are those of draft-ietf-httpapi-ratelimit-headers; its `t` and
        `retry-after` agree, and whoever waits so long alone is admitted.
        """
        gate = self._gate.chosen(exchange)
        words = self._words.get(gate)
        if words is None:
            words = self._words[gate] = self._phrase(gate.rate)
        detail, policy, limit = words
        seconds = max(1, ceil(wait))
        return Refusal(
            429, "RL", detail, self._rule, float(seconds), policy + limit + b"%d\r\n" % seconds
        )

    def _phrase(self, rate: RateOf) -> tuple[str, bytes, bytes]:
        """What every refusal under this rate has in common."""
        name = self.refused.name
        quota, period = whole_quota(rate)
        written = units.write_rate(rate.count, rate.seconds)
        return (
            f'the rate limit "{name}" of {written} is used up',
            f'RateLimit-Policy: "{name}";q={quota};w={period}\r\n'.encode(),
            f'RateLimit: "{name}";r=0;t='.encode(),
        )

    def peek(self, exchange: Exchange, now: float) -> Peek:
        """What `take` would say of it; nothing is spent."""
        return self._gate.peek(exchange, now)

    def left(self, exchange: Exchange, now: float) -> str:
        """`per-client 3/40 left`, of what may come at once."""
        peek = self.peek(exchange, now)
        return f"{self.refused.name} {int(peek.left)}/{int(peek.most)} left"

    def told(self, peek: Peek) -> Step:
        """The same for people. What is left is told as it is before this request."""
        rate = units.write_rate(peek.rate.count, peek.rate.seconds)
        about, left = self._about, int(peek.left)
        mode = "shadow" if about["mode"] == "shadow" else "enforce"
        whose = f" for {peek.key}" if peek.key else ""
        shared = " of the level that all keys without a place share" if peek.shared else ""
        says = f'"{self.refused.name}": {left} left of {rate}{shared}{whose}'
        if peek.wait > 0.0:
            would = "would be refused, were it not in shadow" if mode == "shadow" else "used up"
            says = f"{says}: {would}; room again in {peek.wait:.3g} s"
        data = {
            "name": self.refused.name, "limit": rate, "burst": int(peek.most),
            "algorithm": about["algorithm"], "per": about["per"], "key": peek.key or None,
            "left": left, "shared": peek.shared, "wait_seconds": round(peek.wait, 3), "mode": mode,
        }  # fmt: skip
        return Step(says, rule=self._rule, data=data)

    def report(self, now: float) -> Mapping[str, Any]:
        return {
            "name": self.refused.name,
            "rule": self._rule,
            **self._about,
            "refused": self.refused.count,
            **self._gate.report(now),
        }


class RateLimits:
    """All limits of a route that are in force, outermost first."""

    __slots__ = ("_limits", "reads")

    def __init__(self, limits: Sequence[Limit], reads: frozenset[bytes]) -> None:
        self._limits = tuple(limits)
        self.reads = reads

    def admit(self, exchange: Exchange, now: float) -> Refusal | None:
        for limit in self._limits:
            if limit.take(exchange, now) > 0.0:
                tightest, longest = _tightest(self._limits, limit, exchange, now)
                tightest.refused.add(exchange.route.name)
                return tightest.refusal(exchange, longest)
        return None

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:
        """Each limit, and the refusal of the tightest."""
        peeks = [limit.peek(exchange, now) for limit in self._limits]
        at = max(range(len(peeks)), key=lambda index: peeks[index].wait, default=0)
        for index, (limit, peek) in enumerate(zip(self._limits, peeks, strict=True)):
            step = limit.told(peek)
            if index == at and peek.wait > 0.0:
                step = replace(step, verdict=limit.refusal(exchange, peek.wait))
            yield step

    def brief(self, exchange: Exchange, now: float) -> str:
        """What the limits have left, this request spent."""
        return _briefly(self._limits, exchange, now)


class ShadedLimits:
    """The same, with limits in shadow: those see what the ones in force let through."""

    __slots__ = ("_admit", "_limits", "_shaded", "reads")

    def __init__(self, limits: RateLimits, shaded: Sequence[Limit]) -> None:
        self._admit = limits.admit
        self._limits = limits
        self._shaded = tuple(shaded)
        self.reads = limits.reads

    def admit(self, exchange: Exchange, now: float) -> Refusal | None:
        refusal = self._admit(exchange, now)
        if refusal is None:
            for limit in self._shaded:
                if limit.take(exchange, now) > 0.0:
                    tightest, _ = _tightest(self._shaded, limit, exchange, now)
                    tightest.refused.add(exchange.route.name)
                    break
        return refusal

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:
        yield from self._limits.explain(exchange, now)
        for limit in self._shaded:
            yield limit.told(limit.peek(exchange, now))

    def brief(self, exchange: Exchange, now: float) -> str:
        return self._limits.brief(exchange, now)


def _tightest(
    limits: Sequence[Limit], first: Limit, exchange: Exchange, now: float
) -> tuple[Limit, float]:
    """Give back what limits before `first` let go, ask the rest, and name the tightest."""
    at = limits.index(first)
    for limit in limits[:at]:
        limit.give_back(exchange)
    tightest, longest = first, 0.0
    for limit in limits[at:]:
        wait = limit.take(exchange, now)
        if wait == 0.0:
            limit.give_back(exchange)
        elif wait > longest:
            tightest, longest = limit, wait
    return tightest, longest


def _briefly(limits: Iterable[Limit], exchange: Exchange, now: float) -> str:
    left = ",".join(limit.left(exchange, now) for limit in limits)
    return f"limits={left}" if left else ""


def whole_quota(rate: RateOf) -> tuple[int, int]:
    """A rate as whole requests per whole seconds; never more generous than the rate."""
    if rate.count < 1.0:
        return 1, ceil(rate.seconds / rate.count)
    if rate.seconds < 1.0 and rate.per_second >= 1.0:
        return int(rate.per_second), 1
    return int(rate.count), ceil(rate.seconds)
