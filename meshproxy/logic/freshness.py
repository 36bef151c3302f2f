"""Whether what a shared cache stores is good enough for a request (RFC 9111 section 4).

Pure: ages in, answers out. What an answer says of itself was read by `caching`; what the
operator adds is a lifetime of his own (`ttl`) and how long stale answers will do.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from meshproxy.logic.caching import (
    FOREVER,
    OVERRIDDEN,
    Control,
    Says,
    control,
    date,
    seconds,
    split,
)


def lifetime(says: Says, ttl: float | None) -> float:
    """Up to which age it is fresh: 0.0 for what asks to be validated each time.

    The operator's lifetime counts from when it came, whatever its age was then.
    """
    if b"no-cache" in says.control:
        return 0.0
    if ttl is not None and says.status in OVERRIDDEN:
        return says.age + ttl
    return says.lifetime or 0.0


def may_be_stale(says: Says) -> bool:
    """RFC 9111 section 4.2.4: whether it may ever be given when it is not fresh any more."""
    forbids = {b"must-revalidate", b"no-cache", b"proxy-revalidate"}
    return not says.control.keys() & forbids


def stale_for(says: Says, directive: bytes, ours: float) -> float:
    """Seconds for which it may be given stale: its own word (RFC 5861), or else the operator's.

    s-maxage asks a shared cache to validate (RFC 9111 section 5.2.2.10): only its own word counts.
    """
    if not may_be_stale(says):
        return 0.0
    own = seconds(says.control, directive)
    if own is not None:
        return own
    return 0.0 if b"s-maxage" in says.control else ours


_MOMENT = 1e-9
"""An answer that is over at this very moment is over."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """A request's Cache-Control: how old an answer may be, how fresh it must stay.

    `stale` is how long after its time an answer will still do.
    """

    age: float = FOREVER
    fresh: float = 0.0
    stale: float = 0.0
    no_store: bool = False
    only_if_cached: bool = False

    def takes_any(self) -> bool:
        """Whether it takes whatever is fresh, and lets its own be stored."""
        return self.age == FOREVER and not self.fresh and not self.no_store


NONE = Wishes()


def wishes(value: bytes, trusted: bool) -> Wishes:
    """A request's Cache-Control, which is advice (RFC 9111 section 5.2.1).

    What would send each request of a caller to the upstream is taken from trusted ones alone.
    """
    said = control(value)
    stale = said.get(b"max-stale")
    return Wishes(
        age=_oldest(said) if trusted else FOREVER,
        fresh=seconds(said, b"min-fresh") or 0.0 if trusted else 0.0,
        stale=FOREVER if stale == b"" else seconds(said, b"max-stale") or 0.0,
        no_store=b"no-store" in said,
        only_if_cached=b"only-if-cached" in said,
    )


def _oldest(said: Control) -> float:
    if b"no-cache" in said:
        return -1.0
    oldest = seconds(said, b"max-age")
    return FOREVER if oldest is None else oldest


def staleness(says: Says, age: float, ttl: float | None, wished: Wishes) -> float:
    """Seconds for which it has not been fresh; 0.0: it is, and this caller takes it as it is.

    Infinite where the caller asked for something fresher. RFC 9111 section 4.2: fresh is what
    has a lifetime greater than its age.
    """
    left = lifetime(says, ttl) - age
    if age > wished.age or (wished.fresh and left < wished.fresh):
        return inf
    return 0.0 if left > 0.0 else max(-left, _MOMENT)


def not_modified(says: Says, if_none_match: bytes, if_modified_since: bytes) -> bool:
    """Whether a caller's conditions are answered 304 (RFC 9111 section 4.3.2)."""
    if says.status not in (200, 203):  # RFC 9110 section 13.2.1
        return False
    if if_none_match:
        # RFC 9110 section 13.1.2: a weak comparison; and If-Modified-Since is then ignored.
        asked = {_strong(tag.strip()) for tag in split(if_none_match)}
        return b"*" in asked or (says.etag != b"" and _strong(says.etag) in asked)
    since, changed = date(if_modified_since), date(says.modified or says.date)
    return since is not None and changed is not None and changed <= since


def same(stored: Says, told: Says) -> bool:
    """Whether a 304 with these fields speaks of this stored answer (RFC 9111 section 4.3.4)."""
    if told.etag:
        return _strong(told.etag) == _strong(stored.etag)
    return not told.modified or told.modified == stored.modified


def _strong(tag: bytes) -> bytes:
    return tag.removeprefix(b"W/")
