"""What a walk can be told instead of "go on": refuse, wait, or that an attempt failed.

Verdicts are values; nothing on the data plane raises them. The one table from a failed
attempt to the status and reason code that a caller sees is the `Failure` enum below.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that the proxy makes itself.

    `reason` is the public reason code (`RL`, `UO`, ...), `detail` a sentence for people,
    `rule` the place in the file that decided, `retry_after` seconds (0.0: say nothing),
    `headers` ready-made field lines, each ending in CRLF. `close` ends the connection
    after the answer, as every framing error must. `why` is a word for the counter of bad
    requests, where this is one. `body` replaces the problem details that are made of all this.
    """

    status: int
    reason: str
    detail: str
    rule: str = ""
    retry_after: float = 0.0
    headers: bytes = b""
    close: bool = False
    why: str = ""
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Park the exchange for at most `seconds`; then `expired` decides (None: go on).

    Whoever parks it may end the wait early by calling `exchange.wake(now)`. With `again` it is
    asked a second time then, instead of those after it.
    """

    seconds: float
    expired: Refusal | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """A whole answer that comes from here instead of an upstream: from a cache, or from the file.

    `fields` are ready-made field lines, each ending in CRLF, without framing and connection.
    `flag` is a reason code for the log. With `refresh` the same request is then made again for
    the cache alone, with these field lines in place of the client's own conditions.
    """

    status: int
    fields: bytes
    body: bytes
    flag: str = ""
    refresh: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """End the client's connection as if it had been lost (fault injection)."""

    reason: str = "FI"


class Failure(Enum):
    """Why an attempt brought no usable answer: (condition, status, reason, detail).

    The condition is the word of `retry.when`, `failures` and the `result` label. Statuses
    follow the proposal that connect failures and lost connections are 503, garbage is 502
    and time is 504. A failure that this proxy made itself never counts against an upstream.
    """

    CONNECT = ("connect-failure", 503, "UF", "could not connect to the upstream")
    CONNECT_TIMEOUT = ("connect-failure", 503, "UF", "the upstream did not accept in time")
    RESET = ("reset", 503, "UC", "the upstream closed the connection before it answered")
    STALE = ("stale", 503, "UC", "a reused connection had been closed by the upstream")
    TRUNCATED = ("reset", 503, "UC", "the upstream closed the connection within its answer")
    TRY_TIMEOUT = ("timeout", 504, "UT", "the upstream did not answer this try in time")
    TIMEOUT = ("timeout", 504, "UT", "the call took longer than its timeout")
    DEADLINE = ("deadline", 504, "UT", "the caller's deadline passed before the upstream answered")
    IDLE = ("timeout", 504, "SI", "nothing moved for longer than the idle timeout")
    GARBAGE = ("bad-response", 502, "UPE", "the upstream's answer was not valid HTTP")
    FORBIDDEN = ("forbidden", 403, "FB", "this destination must not be called from here")
    OUTRUN = ("outrun", 499, "", "another attempt answered first")
    CLIENT_GONE = ("client-gone", 499, "DC", "the client left before the answer was complete")
    CLIENT_STALLED = ("client-stalled", 408, "SI", "the client stopped sending its request")
    BUG = ("bug", 500, "IE", "an error of meshproxy itself: its log and /debug/bugs say more")

    def __init__(self, condition: str, status: int, reason: str, detail: str) -> None:
        self.condition = condition
        self.status = status
        self.reason = reason
        self.detail = detail

    @property
    def upstream_fault(self) -> bool:
        """Whether the upstream is to blame; only such a failure teaches a breaker anything."""
        return self.condition not in (
            "bug", "client-gone", "client-stalled", "deadline", "forbidden", "outrun", "stale",
        )  # fmt: skip
