"""As the data plane counts: by the row of a route."""

from __future__ import annotations

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import RouteRow


def count(row: RouteRow, exchange: Exchange, now: float) -> None:
    """An exchange ends on a route that is counted there."""
    row.series.ended(row.place, exchange, now)


def sample(row: RouteRow, exchange: Exchange, now: float) -> None:
    """One is about to end whose trace is kept."""
    row.series.sampled(row.place, exchange, now)


def begin(row: RouteRow, count: int) -> None:
    """So many exchanges are on their way there."""
    row.series.under_way[row.place] += count
