"""Rate limits at work: every limit of a route must admit, or the request is told when to come.

A request that one limit refuses spends nothing of any; the limit that asks for the longest
wait is the one reported. Limits in shadow do the same among themselves, and only count it. An
operator may change a limit's mode; then those that hold it sort theirs anew. How much is left,
and for whom, is known to the gates alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from meshproxy.core.explanation import Step
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Refusal
from meshproxy.logic import units

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.fields import RateOf
    from meshproxy.policies.gates import Each, Gate, Peek, Whole
    from meshproxy.policies.shadow import Shadows


ORDERS = ("off", "shadow", "enforce")
"""What an operator may say."""


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
    """One entry of `rate_limits`: its gate, its words, and its record on the admin port.

    `refused` and `shaded` are its counts; `about` says where it stands and in which mode.
    """

    __slots__ = (
        "_about", "_gate", "_holders", "_rule", "_words", "forced", "give_back", "refused",
        "shaded", "take",
    )  # fmt: skip

    section = "rate-limits"
    orders = ORDERS

    def __init__(
        self,
        rule: str,
        gate: Gate,
        counts: tuple[Refused, Shaded],
        about: Mapping[str, Any],
    ) -> None:
        # Bound here and not passed on by a method: one call less per limit and request.
        self.take = gate.take
        self.give_back = gate.give_back
        self._rule = rule
        self._gate = gate
        self.refused, self.shaded = counts
        self._about = about
        self._words: dict[Whole | Each, tuple[str, bytes, bytes]] = {}
        self._holders: WeakSet[RateLimits] = WeakSet()
        self.forced = ""

    @property
    def names(self) -> Mapping[str, str]:
        """What an operator calls it by; a default is another limit for each upstream."""
        about = self._about
        return {
            "limit": self.refused.name, "scope": about["scope"], "upstream": about["upstream"],
        }  # fmt: skip

    @property
    def mode(self) -> str:
        """The one that holds."""
        return self.forced or str(self._about["mode"])

    def held_by(self, limits: RateLimits) -> None:
        """Somebody to be told when the mode changes."""
        self._holders.add(limits)

    def steer(self, order: str, now: float) -> None:  # noqa: ARG002  # levels have their own time
        """Take another mode; an empty order takes the file's."""
        self.forced = order
        for limits in tuple(self._holders):
            limits.sort()

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
        about, left, mode = self._about, int(peek.left), self.mode
        whose = f" for {peek.key}" if peek.key else ""
        shared = " of the level that all keys without a place share" if peek.shared else ""
        says = f'"{self.refused.name}": {left} left of {rate}{shared}{whose}'
        if peek.wait > 0.0:
            would = "would be refused, were it not in shadow" if mode == "shadow" else "used up"
            says = f"{says}: {would}; room again in {peek.wait:.3g} s"
        if self.forced:
            says = f"{says}; an operator set it to {mode}"
        data = {
            "name": self.refused.name, "limit": rate, "burst": int(peek.most),
            "algorithm": about["algorithm"], "per": about["per"], "key": peek.key or None,
            "left": left, "shared": peek.shared, "wait_seconds": round(peek.wait, 3), "mode": mode,
        }  # fmt: skip
        return Step(says, rule=self._rule, data=data)

    def switched_off(self) -> Step:
        """What is told of one that an operator has switched off."""
        says = f'"{self.refused.name}": switched off by an operator until the next reload'
        return Step(says, rule=self._rule, data={"name": self.refused.name, "mode": "off"})

    def report(self, now: float) -> Mapping[str, Any]:
        mode = self.mode
        report = {
            "name": self.refused.name,
            "rule": self._rule,
            **self._about,
            "refused": (self.shaded if mode == "shadow" else self.refused).count,
            **self._gate.report(now),
        }
        if self.forced:
            report |= {"mode": mode, "mode_in_file": self._about["mode"], "forced": self.forced}
        return report


class RateLimits:
    """All limits of a route, outermost first.

    Those in shadow are asked last, as one that lets everyone through: they see what the ones in
    force admit.
    """

    __slots__ = ("__weakref__", "_all", "_asked", "_in_force", "reads")

    _asked: tuple[Limit | Shade, ...]
    _in_force: tuple[Limit, ...]

    def __init__(self, limits: Sequence[Limit], reads: frozenset[bytes]) -> None:
        self._all = tuple(limits)
        self.reads = reads
        self.sort()
        for limit in limits:
            limit.held_by(self)

    def sort(self) -> None:
        """See to who is in which mode now."""
        self._in_force = tuple(limit for limit in self._all if limit.mode == "enforce")
        shaded = tuple(limit for limit in self._all if limit.mode == "shadow")
        self._asked = (*self._in_force, Shade(shaded)) if shaded else self._in_force

    def admit(self, exchange: Exchange, now: float) -> Refusal | None:
        for limit in self._asked:
            if limit.take(exchange, now) > 0.0:
                at = self._asked.index(limit)
                tightest, longest = _tightest(self._in_force, at, exchange, now)
                tightest.refused.add(exchange.route.name)
                return tightest.refusal(exchange, longest)
        return None

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:
        """Each limit, those in force first, and the refusal of the tightest."""
        peeks = [limit.peek(exchange, now) for limit in self._in_force]
        at = max(range(len(peeks)), key=lambda index: peeks[index].wait, default=0)
        for index, (limit, peek) in enumerate(zip(self._in_force, peeks, strict=True)):
            step = limit.told(peek)
            if index == at and peek.wait > 0.0:
                step = replace(step, verdict=limit.refusal(exchange, peek.wait))
            yield step
        for limit in self._all:
            if limit.mode == "shadow":
                yield limit.told(limit.peek(exchange, now))
            elif limit.mode == "off":
                yield limit.switched_off()

    def brief(self, exchange: Exchange, now: float) -> str:
        """What the limits have left, this request spent."""
        return _briefly(self._in_force, exchange, now)


class Shade:
    """The limits in shadow of one route; `take` is that of a limit which never refuses."""

    __slots__ = ("_limits",)

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self._limits = limits

    def take(self, exchange: Exchange, now: float) -> float:
        for at, limit in enumerate(self._limits):
            if limit.take(exchange, now) > 0.0:
                tightest, _ = _tightest(self._limits, at, exchange, now)
                tightest.shaded.add(exchange.route.name)
                break
        return 0.0


def _tightest(
    limits: Sequence[Limit], at: int, exchange: Exchange, now: float
) -> tuple[Limit, float]:
    """Give back what limits before that `at` let go, ask the rest, and name the tightest."""
    for limit in limits[:at]:
        limit.give_back(exchange)
    tightest, longest = limits[at], 0.0
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
