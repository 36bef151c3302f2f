"""Compiles a file for a test, with telemetry that counts nothing and the head reader's table."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from meshproxy.core.exchange import Exchange
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Snapshot
from meshproxy.dataplane.kinds import Kinds
from meshproxy.settings.compile import Tools, compile_snapshot
from meshproxy.settings.validate import validate


@dataclass
class Series:
    """Where the figures of one route or cluster would go."""

    labels: tuple[str, ...]
    place: int = 0
    under_way: list[int] = field(default_factory=lambda: [0])

    @property
    def series(self) -> Series:
        return self

    def ended(self, row: int, exchange: Exchange, now: float) -> None:
        raise AssertionError("nothing is served here")

    def sampled(self, row: int, exchange: Exchange, now: float) -> None:
        raise AssertionError("nothing is served here")

    def attempted(self, result: str) -> None:
        raise AssertionError("nothing is served here")


def tools() -> Tools:
    """The tools of a process that serves nothing."""
    return Tools(
        series=lambda *labels: Series(labels),
        cluster_series=lambda upstream: Series((upstream,)),
        kinds=Kinds,
        random=random.Random(1),
        tell=lambda event, **fields: None,
    )


def build(text: str, ledger: Ledger, now: float = 0.0, generation: int = 1) -> Snapshot:
    """Validate, compile and adopt, as a start or a reload does."""
    draft = ledger.open()
    settings = validate(text.encode(), "f.yaml", {})
    compiled = compile_snapshot(settings, draft, tools(), now, generation)
    ledger.keep(draft)
    compiled.adopt()
    return compiled.snapshot
