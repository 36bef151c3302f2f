"""Consistent hashing with bounded loads: the same key, the same endpoint, but none too many.

An endpoint takes no more than `bound` times its share of the requests in flight; what comes
on top goes to the next one on the ring (Mirrokni, Thorup, Zadimoghaddam 2016). The ring is
`logic.ring`. A request without a key is placed by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from copy import copy
from typing import TYPE_CHECKING

from meshproxy.core.explanation import Choice
from meshproxy.logic import ring
from meshproxy.logic.cookies import cookie
from meshproxy.logic.ring import SPACE, Ring
from meshproxy.policies import keys
from meshproxy.policies.contract import Random

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Allowed, Endpoint

PATTERN = r"^(ip|(header|cookie):[A-Za-z0-9!#$%&'*+.^_`|~-]+)$"
"""RFC 9110 section 5.6.2, RFC 6265 section 4.1.1: names of fields and of cookies are tokens."""

_COOKIE = "cookie:"


def read(word: str, hops: int) -> Callable[[Exchange], bytes]:
    """What to hash of a request; `hops` trusted proxies stand before this one."""
    if not word.startswith(_COOKIE):
        return keys.read([word], hops)
    name = word.removeprefix(_COOKIE).encode()
    return lambda exchange: cookie(exchange.header(b"cookie"), name)


def fields(word: str, hops: int) -> Collection[bytes]:
    """The request fields that it is read from, in lower case."""
    return {b"cookie"} if word.startswith(_COOKIE) else keys.fields([word], hops)


class RingHash:
    """One ring over the endpoints of a cluster, drawn when it is first asked: by then a
    reload has given them their weights."""

    __slots__ = (
        "_bound", "_endpoints", "_key", "_left", "_load", "_random", "_ring", "_weight", "reads",
    )  # fmt: skip

    def __init__(
        self, endpoints: Sequence[Endpoint], random: Random, word: str, bound: float, hops: int
    ) -> None:
        self._endpoints = endpoints
        self._random = random.random
        self._key = read(word, hops)
        self.reads = fields(word, hops)
        self._bound = bound
        self._ring: Ring | None = None
        self._weight = 0
        self._load = 0
        self._left = 0

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        circle = self._ring or self._draw()
        key = self._key(exchange)
        place = ring.place(key) if key else int(self._random() * SPACE)
        share = self._bound * (self._in_flight() + 1) / self._weight
        endpoints, tried = self._endpoints, exchange.tried
        full: list[Endpoint] = []
        again = None
        for index in circle.walk(place):
            endpoint = endpoints[index]
            if not allowed(endpoint, now):
                continue
            if endpoint in tried:
                again = again or endpoint
            elif endpoint.load < share * endpoint.weight:
                return endpoint
            else:
                full.append(endpoint)
        return self._within(full) if full else again

    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None:
        """A copy picks: what is counted for a pick is then not counted here."""
        if not self._key(exchange):
            able = [endpoint for endpoint in self._endpoints if allowed(endpoint, now)]
            says = "no key to hash, so a place on the ring is drawn: ring_hash"
            chance = 1.0 if len(able) == 1 else None
            return Choice(tuple((each, chance) for each in able), says) if able else None
        endpoint = copy(self).pick(exchange, allowed, now)
        says = "the first on the ring from its key that may be tried and is not too busy: ring_hash"
        return None if endpoint is None else Choice(((endpoint, 1.0),), says)

    def _within(self, full: Sequence[Endpoint]) -> Endpoint:
        """The first that is within the bound when only these share the load.

        All of a cluster are never over it, but the few that are left of one may be.
        """
        load = sum(endpoint.load for endpoint in full) + 1
        share = self._bound * load / sum(endpoint.weight for endpoint in full)
        return next((each for each in full if each.load < share * each.weight), full[0])

    def _in_flight(self) -> int:
        """Requests that the endpoints have, all routes together.

        Counted anew every len/16 picks, so that a pick costs the same for a thousand; those
        picked in between count as in flight still. Up to 15 endpoints it is exact.
        """
        if self._left:
            self._left -= 1
            self._load += 1
        else:
            self._left = len(self._endpoints) // 16
            self._load = sum([endpoint.load for endpoint in self._endpoints])
        return self._load

    def _draw(self) -> Ring:
        names = [endpoint.name for endpoint in self._endpoints]
        weights = [endpoint.weight for endpoint in self._endpoints]
        self._weight = sum(weights)
        self._ring = Ring(names, weights)
        return self._ring
