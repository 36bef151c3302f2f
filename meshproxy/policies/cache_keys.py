"""Under what a stored answer is found: what was asked, and the values that the answer varies by.

RFC 9111 sections 2 and 4.1. Which requests a cache has no say in is told here, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshproxy.logic import caching
from meshproxy.policies import keys

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.policies.cache_store import Names

# A part, or a condition that only the origin may judge (RFC 9111 section 4.3.2).
PASSES_BY = frozenset({b"range", b"if-range", b"if-match", b"if-unmodified-since"})
CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})
# The last two are what most answers vary by: read here, they need no search.
READS = frozenset(
    {b"cache-control", b"authorization", b"cookie", *PASSES_BY, *CONDITIONS, b"accept",
     b"accept-encoding"}
)  # fmt: skip
_ABSENT = b"\0"  # no value of a field, not even an empty one


def is_plain(exchange: Exchange) -> bool:
    """Whether it asks for a whole answer, with nothing but its head."""
    return exchange.length == 0 and not exchange.tunnel and PASSES_BY.isdisjoint(exchange.taken)


def primary(exchange: Exchange) -> bytes:
    return exchange.host + b"\n" + exchange.target


def named(exchange: Exchange, reference: bytes) -> bytes | None:
    """The primary key of a reference to the same host, as in Location; None for any other."""
    host = exchange.host
    if reference.startswith(b"http://"):
        authority, slash, rest = reference[7:].partition(b"/")
        host, reference = authority.lower().removesuffix(b":80"), slash + rest
    if host != exchange.host or not reference.startswith(b"/") or reference.startswith(b"//"):
        return None
    return host + b"\n" + reference.partition(b"#")[0]


class Secondary:
    """The rest of the key: the parts that the file names, and the values of fields."""

    __slots__ = ("_per", "has_cookie", "reads")

    def __init__(self, per: Sequence[str], hops: int) -> None:
        self._per = keys.read(per, hops)
        self.has_cookie = any(word.lower() == "header:cookie" for word in per)
        self.reads = READS | frozenset(keys.fields(per, hops))

    def of(self, exchange: Exchange, names: Names) -> bytes:
        """No part holds a line feed, so no two lists of values make one key."""
        if not names:
            return self._per(exchange)
        values = [self._per(exchange), *self._values(exchange, names)]
        return b"\n".join(values)

    def _values(self, exchange: Exchange, names: Names) -> list[bytes]:
        taken = exchange.taken
        if self.reads >= set(names):
            return [taken.get(name, _ABSENT) for name in names]
        given: dict[bytes, bytes] = {}
        for name, value in caching.fields(exchange.lines):
            # RFC 9110 section 5.3: several lines of one name are one list.
            given[name] = given[name] + b", " + value if name in given else value
        return [taken[name] if name in taken else given.get(name, _ABSENT) for name in names]
