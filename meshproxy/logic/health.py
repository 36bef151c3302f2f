"""Active checks of one server: is it healthy, and when to ask it again.

`Rules` is what the operator wrote, `Health` what the checks left behind. Everybody is taken
for healthy until the checks say otherwise: a start, or a reload that adds checks, must not
refuse what works, and who is down is found out by the first requests or checks anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

FIRST = 1.0
"""Most seconds between two checks of a server of which nothing is known yet."""

_RANGE = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


@dataclass(frozen=True, slots=True)
class Rules:
    """How often to ask, in seconds, and how many answers in a row change the verdict."""

    interval: float = 10.0
    jitter: float = 0.1
    healthy: int = 2
    unhealthy: int = 3


class Health:
    """What is known of one server. `passes` and `fails` are those in a row."""

    __slots__ = ("fails", "healthy", "known", "passes")

    def __init__(self) -> None:
        self.healthy = True
        self.known = False
        self.passes = 0
        self.fails = 0


def learn(health: Health, rules: Rules, passed: bool) -> bool:
    """A check ended. True: this changed the verdict.

    The first pass is enough for who was never in doubt; who was found unhealthy needs as many
    as the rules say, and so does whoever is to be found so.
    """
    if passed:
        health.fails = 0
        health.passes += 1
        return _pronounce(health, True) if health.passes >= _needed(health, rules) else False
    health.passes = 0
    health.fails += 1
    return _pronounce(health, False) if health.fails >= rules.unhealthy else False


def seems_well(health: Health) -> bool:
    """Healthy, and not failing from the very first check on: what readiness goes by."""
    return health.healthy and (health.known or not health.fails)


def pause(rules: Rules, health: Health, draw: float) -> float:
    """Seconds until the next check. `draw` is from [0, 1), so that many sidecars spread out."""
    base = rules.interval if health.known else min(rules.interval, FIRST)
    return base * (1.0 + rules.jitter * (2.0 * draw - 1.0))


def read_statuses(written: Iterable[object]) -> frozenset[int]:
    """The statuses that `200` and `200-399` mean; ValueError says how to write them."""
    return frozenset(status for word in written for status in _statuses(word))


def _statuses(word: object) -> range:
    found = _RANGE.fullmatch(str(word)) if isinstance(word, int | str) else None
    if found is not None:
        least = int(found[1])
        most = int(found[2] or least)
        if least <= most:
            return range(least, most + 1)
    raise ValueError(f"write a status as 200 or a range as 200-399, got {word!r}")


def _needed(health: Health, rules: Rules) -> int:
    return 1 if health.healthy else rules.healthy


def _pronounce(health: Health, healthy: bool) -> bool:
    changed = health.healthy is not healthy
    health.healthy = healthy
    health.known = True
    return changed
