"""Which request fields matter to the proxy, and what is done with each.

A fixed table of what HTTP/1.1 gives a meaning at this hop, and what policies declare besides.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshproxy.dataplane.fields import splitter

# Kinds of fields; LENGTH and ENCODING are single bits, so that framings seen can be added.
(
    KEEP, LENGTH, ENCODING, DROP, HOST, CONNECTION, EXPECT, UPGRADE, ORIGIN, VIA, MAX_FORWARDS,
    FOR_PROXY, BAD, READ, TAKE,
) = range(15)  # fmt: skip
UNFRAMED = 0

_FORWARDED = (
    b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-real-ip",
)  # fmt: skip
_PREFIXES = {b"x-meshproxy-": DROP, b"x-forwarded-": ORIGIN}

_FIXED: dict[bytes, int] = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
    b"via": VIA,
    b"max-forwards": MAX_FORWARDS,
    b"proxy-authorization": FOR_PROXY,
    # RFC 9110 section 7.6.1: these end at this hop. Trailers are dropped, so is their notice.
    b"keep-alive": DROP,
    b"proxy-connection": DROP,
    b"te": DROP,
    b"trailer": DROP,
    b"http2-settings": DROP,
    **dict.fromkeys(_FORWARDED, ORIGIN),
}

# RFC 9110 section 7.6.1 lets a sender nominate fields for removal; these would change what
# the message is or whom it speaks for, so naming one of them is an attack or a mistake.
PROTECTED = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"via", b"x-request-id", b"authorization",
     b"traceparent", b"tracestate", b"b3", *_FORWARDED}
)  # fmt: skip


class Kinds:
    """What the head reader does with each field, by lower-case name and usual spelling."""

    __slots__ = ("split", "table")

    def __init__(self, reads: Iterable[bytes], replaces: Iterable[bytes]) -> None:
        table = dict.fromkeys(reads, READ) | dict.fromkeys(replaces, TAKE) | _FIXED
        self.table = table | {name.title(): kind for name, kind in table.items()}
        self.split = splitter({*table, *PROTECTED}, prefixes=_PREFIXES)

    def of(self, name: bytes) -> int:
        """The kind of a field that was found, in whatever spelling."""
        kind = self.table.get(name)
        if kind is not None:
            return kind
        lower = name.lower()
        if b"_" in lower:
            return BAD
        kind = self.table.get(lower)
        if kind is not None:
            return kind
        return next((kind for start, kind in _PREFIXES.items() if lower.startswith(start)), KEEP)
