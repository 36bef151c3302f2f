"""A copy of an answer's body for whoever keeps it, such as a cache."""

from __future__ import annotations

from collections.abc import Sequence

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Keeper


def begin(exchange: Exchange, keeper: Keeper) -> None:
    """From now on it gets what the client gets; if that stays incomplete, it is told so."""
    exchange.more().keeper = keeper
    exchange.defer(keeper.dropped)


def copy(exchange: Exchange, pieces: Sequence[bytes], *, done: bool, now: float) -> None:
    """More of the body, or its end (`done`)."""
    extras = exchange.more()
    keeper = extras.keeper
    if keeper is None:
        return
    for piece in pieces:
        keeper.piece(piece)
    if done:
        extras.keeper = None
        exchange.deferred.remove(keeper.dropped)
        keeper.done(now)
