"""What a shared cache may store of an answer, and what of it (RFC 9111).

Pure: fields in, answers out. What counts is what an answer says of itself; one that says
nothing is not stored, unless the operator gave a lifetime (`ttl`). Whether something stored is
still good is asked of `freshness`. Ages and lifetimes are seconds.
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate

FOREVER = float(2**31)
"""RFC 9111 section 1.2.2: a number of seconds too large to hold is this one."""

Field = tuple[bytes, bytes]
"""Name in lower case, value without the white space around it."""

STORABLE = frozenset({200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410, 414})
"""Statuses whose meaning this cache knows (RFC 9111 section 3); 206 and 304 are parts."""

OVERRIDDEN = frozenset({200, 203, 204, 300, 301, 308})
"""Those that an operator's lifetime is for: an error or a detour is kept only if it says so."""

OF_A_304 = frozenset(
    {b"cache-control", b"content-location", b"date", b"etag", b"expires", b"last-modified", b"vary"}
)
"""RFC 9110 section 15.4.5: what a 304 must tell as the 200 would have."""

# RFC 9111 section 3.2: a 304 speaks of the stored body, and must not change how it is read.
_KEPT = frozenset({b"content-length", b"content-encoding", b"content-type", b"content-range"})

# Written for one hop, one request or by this cache; never part of what is stored.
_NOT_STORED = frozenset({b"age", b"content-length", b"x-cache", b"x-fallback", b"set-cookie2"})

_UNNAMED = frozenset(
    {b"*", b"x-request-id", b"traceparent", b"tracestate", b"b3", b"range", b"if-range",
     b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since"}
)  # fmt: skip
"""Fields in `vary` that no later request can match: each has its own, or none has one."""

MOST_VARYING = 8
"""More names in `vary` than this, and nothing of it would ever be found again."""

Control = Mapping[bytes, bytes]
"""Directives of Cache-Control by lower-case name; a value may be empty."""


def control(value: bytes) -> Control:
    """RFC 9111 section 5.2; of a directive that comes twice the first value counts, if both agree.

    Two that do not agree leave the one that no number can be read from (section 4.2.1: stale).
    """
    found: dict[bytes, bytes] = {}
    for part in split(value):
        name, _, argument = part.partition(b"=")
        name, argument = name.strip().lower(), argument.strip().strip(b'"')
        if name:
            found[name] = argument if found.get(name, argument) == argument else b"?"
    return found


def split(value: bytes) -> list[bytes]:
    """At the commas that stand in no quotes."""
    if b'"' not in value:
        return value.split(b",")
    parts, quoted = [b""], False
    for piece in value.split(b'"'):
        if quoted:
            parts[-1] += b'"' + piece + b'"'
        else:
            first, *rest = piece.split(b",")
            parts[-1] += first
            parts += rest
        quoted = not quoted
    return parts


def seconds(directives: Control, name: bytes) -> float | None:
    """The seconds under `name`; None without it, 0.0 where they cannot be read."""
    said = directives.get(name)
    if said is None:
        return None
    return min(FOREVER, float(said)) if said.isdigit() and len(said) < 20 else 0.0


def date(value: bytes) -> float | None:
    """Seconds since 1970 of an HTTP date, in any of its three forms (RFC 9110 section 5.6.7)."""
    read = parsedate(value.decode("latin-1"))
    if read is None:
        return None
    try:
        return float(timegm(read))
    except (ValueError, OverflowError):
        return None


def fields(lines: Iterable[bytes]) -> list[Field]:
    """Blocks of field lines, one by one."""
    found = []
    for line in b"\r\n".join(lines).split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name.lower(), value.strip(b" \t")))
    return found


@dataclass(frozen=True, slots=True)
class Says:
    """What an answer says of its being stored. `lifetime` is None where it says nothing.

    `age` is how old it was when it was sent to us. `vary` is None for what varies by more than
    the fields of a request.
    """

    status: int
    control: Control
    lifetime: float | None
    age: float
    etag: bytes
    modified: bytes
    date: bytes
    vary: tuple[bytes, ...] | None
    cookie: bool

    @property
    def validator(self) -> bytes:
        """Field lines that ask whether it has changed (RFC 9111 section 4.3.1); b"": none can."""
        lines = b"if-none-match: %b\r\n" % self.etag if self.etag else b""
        if self.modified:
            lines += b"if-modified-since: %b\r\n" % self.modified
        return lines


def read(status: int, given: Iterable[Field]) -> Says:
    """An answer's fields, as far as they matter here."""
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in given:
        by_name.setdefault(name, []).append(value)
    said = control(b",".join(by_name.get(b"cache-control", ())))
    return Says(
        status=status,
        control=said,
        lifetime=_lifetime(said, by_name),
        age=_age(by_name.get(b"age", [b""])[0]),
        etag=_one(by_name, b"etag"),
        modified=_one(by_name, b"last-modified"),
        date=_one(by_name, b"date"),
        vary=_vary(by_name.get(b"vary", ())),
        cookie=b"set-cookie" in by_name,
    )


def _one(by_name: Mapping[bytes, list[bytes]], name: bytes) -> bytes:
    """A field that must come once; twice it says nothing."""
    values = by_name.get(name, ())
    return values[0] if len(values) == 1 else b""


def _lifetime(said: Control, by_name: Mapping[bytes, list[bytes]]) -> float | None:
    """RFC 9111 section 4.2.1, in the order of a shared cache; nothing is guessed (4.2.2)."""
    for name in (b"s-maxage", b"max-age"):
        found = seconds(said, name)
        if found is not None:
            return found
    if b"expires" in by_name:
        # Section 5.3: an invalid date, such as 0, is one in the past.
        until, since = date(_one(by_name, b"expires")), date(_one(by_name, b"date"))
        return max(0.0, min(FOREVER, until - since)) if until and since else 0.0
    return 0.0 if b"no-cache" in said else None


def _age(value: bytes) -> float:
    """RFC 9111 section 5.1: the first of a list; what is no number is ignored."""
    first = value.partition(b",")[0].strip()
    return min(FOREVER, float(first)) if first.isdigit() and len(first) < 20 else 0.0


def _vary(values: Iterable[bytes]) -> tuple[bytes, ...] | None:
    names = {name.strip().lower() for value in values for name in value.split(b",")} - {b""}
    bad = names & _UNNAMED or any(name.startswith(b"x-b3-") for name in names)
    return None if bad or len(names) > MOST_VARYING else tuple(sorted(names))


# Storing


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request decides about its answer's being stored.

    `private` is for a cookie that is not part of the key.
    """

    authorized: bool = False
    private: bool = False
    no_store: bool = False


def why_not(says: Says, asked: Asked, ttl: float | None) -> str:
    """Why this answer to a GET must not be stored; empty if it may be (RFC 9111 section 3).

    Stricter than it has to be in two places. A cookie that is set is for one caller, unless the
    answer says `public`. And `ttl` alone makes nothing public that was asked with a cookie.
    """
    said = says.control
    own = says.lifetime is not None or b"public" in said
    if asked.no_store:
        return "the request says no-store"
    if says.status not in STORABLE:
        return "its status is not one to store"
    # Section 5.2.2.3: must-understand takes no-store back for who knows the status.
    if b"no-store" in said and b"must-understand" not in said:
        return "no-store"
    # Sections 5.2.2.4 and 5.2.2.7: with a list of fields it may be read as if without, and is.
    if b"private" in said:
        return "private"
    if says.vary is None:
        return "it varies by more than a request says"
    if not own and (ttl is None or says.status not in OVERRIDDEN):
        return "it says nothing about its freshness"
    if asked.authorized and not said.keys() & {b"public", b"s-maxage", b"must-revalidate"}:
        return "the request has credentials (section 3.5)"
    if says.cookie and b"public" not in said:
        return "it sets a cookie"
    if asked.private and not own:
        return "the request has a cookie"
    return ""


def stored(given: Iterable[bytes]) -> bytes:
    """The field lines to keep, each ending in CRLF."""
    return b"".join(
        line + b"\r\n"
        for line in b"\r\n".join(given).split(b"\r\n")
        if line and line.partition(b":")[0].lower() not in _NOT_STORED
    )


def freshened(old: bytes, new: Iterable[bytes]) -> bytes:
    """The stored fields, with those that a 304 told anew (RFC 9111 sections 3.2 and 4.3.4)."""
    told = stored(new)
    names = {name for name, _ in fields([told])}
    kept = [line for line in _lines(old) if line.partition(b":")[0].lower() not in names - _KEPT]
    added = [line for line in _lines(told) if line.partition(b":")[0].lower() not in _KEPT]
    return b"".join(line + b"\r\n" for line in (*kept, *added))


def of_a_304(kept: bytes) -> bytes:
    """Those of the stored fields that a 304 carries."""
    lines = (line for line in _lines(kept) if line.partition(b":")[0].lower() in OF_A_304)
    return b"".join(line + b"\r\n" for line in lines)


def _lines(block: bytes) -> list[bytes]:
    return block.split(b"\r\n")[:-1]
