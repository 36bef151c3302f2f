"""A sidecar that only answers questions: a file compiled with fresh state, and nothing opened.

All its buckets are full, its circuits closed and its caches empty. Who reads heads and walks is
given to it, as to everything in this room.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from meshproxy.control import explain
from meshproxy.control.explain import Asked
from meshproxy.core.exchange import Exchange
from meshproxy.core.foretold import Explanation, Question
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Plan
from meshproxy.settings.compile import Tools, compile_snapshot
from meshproxy.settings.validate import Settings

Walk = Callable[[Plan, Question, float], Explanation]


class _Uncounted:
    """In the place of every series: nothing passes here that could be counted."""

    place = 0
    successes = 0

    def __init__(self) -> None:
        self.under_way = [0]

    @property
    def series(self) -> _Uncounted:
        return self

    def ended(self, row: int, exchange: Exchange, now: float) -> None: ...
    def attempted(self, result: str) -> None: ...
    def sampled(self, row: int, exchange: Exchange, now: float) -> None: ...


def explained(settings: Settings, asked: Asked, kinds: Any, walk: Walk) -> dict[str, Any]:
    """What a sidecar would do that has just started on this file; raises BadQuestionError."""
    series = _Uncounted()
    tools = Tools(
        series=lambda *_: series,
        cluster_series=lambda _: series,
        kinds=kinds,
        random=random.Random(),  # noqa: S311  # of a process that draws nothing
        tell=lambda *_, **__: None,
    )
    now = time.monotonic()
    compiled = compile_snapshot(settings, Ledger().open(), tools, now, generation=1)
    compiled.adopt()
    plan, question = explain.read(asked, compiled.snapshot.plans)
    return explain.shown(walk(plan, question, now))
