"""Short of memory: end the exchanges that hold the most, before the kernel ends this process.

Refusing what comes next frees nothing of what is here. So do the largest holders, those of high
priority last; who holds little stays, since to end them would hurt and not help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from meshproxy.core.exchange import Exchange
from meshproxy.dataplane import refusals
from meshproxy.dataplane.downstream import Downstream

LITTLE = 8 * 1024
"""Bytes that a client may hold without being ended for them."""


def relieve(
    clients: Iterable[Downstream], wanted: int, now: float, tell: Callable[[str, str], None]
) -> int:
    """End exchanges until `wanted` bytes are free; how many. `tell` hears direction and route."""
    heavy = [(size, client) for client in clients if (size := client.holds()) > LITTLE]
    heavy.sort(key=lambda one: (_is_high(one[1].current), -one[0]))
    ended = 0
    for size, client in heavy:
        if wanted <= 0:
            break
        exchange = client.current
        if exchange is not None:
            tell(exchange.plan.direction, exchange.route.name)
        client.give_up(refusals.HEAVY, now)
        wanted -= size
        ended += 1
    return ended


def _is_high(exchange: Exchange | None) -> bool:
    return exchange is not None and exchange.priority == 0
