"""What a piece of state may say of itself: samples for /metrics, a record for the admin port.

Telemetry and admin walk the ledger and ask; so a new policy shows up in both without a
line there. A cell says only what it has; absent methods are not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of a metric family; `labels` in the order in which they are printed."""

    family: str
    labels: tuple[tuple[str, str], ...]
    value: float


@runtime_checkable
class Sampled(Protocol):
    """State that has numbers for /metrics. Families and their help stand in telemetry."""

    def samples(self) -> Iterable[Sample]: ...


@runtime_checkable
class Reported(Protocol):
    """State that the admin port shows under `section` (`breakers`, `rate-limits`, ...)."""

    section: str

    def report(self, now: float) -> Mapping[str, Any]: ...


@runtime_checkable
class Steerable(Protocol):
    """State that an operator may hold otherwise than its rule would, until the next reload.

    `orders` are the words it takes, none where there is nothing to say; `forced` is the one that
    holds, empty if the rule decides. `names` is what tells it from others of its section.
    """

    section: str

    @property
    def names(self) -> Mapping[str, str]: ...
    @property
    def orders(self) -> tuple[str, ...]: ...
    @property
    def forced(self) -> str: ...

    def steer(self, order: str, now: float) -> None:
        """Take the order; an empty one gives it back to its rule."""


@runtime_checkable
class Purgeable(Protocol):
    """State that can be told to forget what it has stored."""

    def purge(self, route: str, prefix: str, now: float) -> int:
        """Forget what is of this route (all, if empty) and begins so; how many that were."""
