"""The decision in the answer itself: what a trusted peer gets that asked by `x-meshproxy-explain`.

One line of `name=words`, made when the answer leaves. Nothing here is done for anybody else, and
no header, key or query of the request is in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from meshproxy.core.explanation import TOLD, Briefs

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

MOST = 1000
"""Bytes of a line: names in the file may be long."""

_UNFIT = {code: "?" for code in range(0x80) if not 0x20 <= code < 0x7F} | {ord(";"): ","}


def asks(exchange: Exchange) -> bool:
    """Whether its client wants to be told, and may be."""
    return exchange.taken.get(TOLD) == b"1" and exchange.peer.trusted


def line(exchange: Exchange, now: float) -> bytes:
    """The field line about an exchange whose answer is about to leave."""
    words = "; ".join(word.translate(_UNFIT) for word in _words(exchange, now))
    return b"%b: %b\r\n" % (TOLD, words.encode("ascii", "backslashreplace")[:MOST])


def _words(exchange: Exchange, now: float) -> Iterator[str]:
    route = exchange.route
    yield f"route={route.name}"
    yield f"rule={_place(route.rule)}"
    if route.cluster is not None:
        yield f"upstream={route.cluster.name}"
    endpoint = exchange.endpoint or (exchange.tried[-1] if exchange.tried else None)
    if endpoint is not None:
        yield f"endpoint={endpoint.name}"
    yield f"attempts={exchange.attempts}"
    for part in route.parts:
        brief = part.policy.brief(exchange, now) if isinstance(part.policy, Briefs) else ""
        if brief:
            yield brief
    story = exchange.more().story
    if story:
        yield f"retried={','.join(story)}"
    yield from _end(exchange)


def _end(exchange: Exchange) -> Iterator[str]:
    """What the proxy itself answered, if it did."""
    refusal = exchange.refusal
    if refusal is not None:
        yield f"refused={refusal.status} {refusal.reason}"
        if refusal.rule:
            yield f"by={_place(refusal.rule)}"
    elif not exchange.answered:
        yield f"served={exchange.status}"


def _place(rule: str) -> str:
    """`orders.yaml:12` of `inbound.routes[0] (orders.yaml:12)`."""
    return rule.rpartition("(")[2].removesuffix(")")
