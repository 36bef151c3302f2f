"""Which address is the client's, when proxies that we trust stand in between.

`x-forwarded-for` is written by whoever feels like it; only the entries that trusted hops
appended count, and those are the last ones. Who is trusted is decided elsewhere.
"""

from __future__ import annotations

_IN_ADDRESSES = b"0123456789abcdefABCDEF.:"


def client_address(peer: str, trusted: bool, forwarded_for: bytes | None, hops: int) -> str:
    """The address that `hops` trusted proxies vouch for; the peer's own where they do not.

    With N hops it is the Nth entry from the right, as each proxy appends the peer it saw.
    Too few entries, or one that is no address, leave the peer's.
    """
    if not trusted or hops < 1 or not forwarded_for:
        return peer
    entries = forwarded_for.rsplit(b",", hops)
    if len(entries) < hops:
        return peer
    return _address(entries[-hops].strip()) or peer


def _address(entry: bytes) -> str:
    """An entry without port, brackets and quotes; empty if it does not look like an address."""
    entry = entry.strip(b'"')
    if entry.startswith(b"["):
        entry = entry[1:].partition(b"]")[0]
    elif entry.count(b":") == 1:
        entry = entry.partition(b":")[0]
    looks_right = 2 <= len(entry) <= 45 and (b"." in entry or b":" in entry)
    if not looks_right or entry.translate(None, _IN_ADDRESSES):
        return ""
    return entry.decode("ascii").lower()
