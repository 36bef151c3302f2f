"""What a bad upstream says and does, and what a client may see of it.

A case is data: the bytes of an answer, how the connection ends, what comes late. It knows
nothing about how it is played; tests play it without sockets and with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

GET_OK = b"HTTP/1.1 200 OK\r\n"
SECOND = GET_OK + b"Content-Length: 6\r\n\r\npoison"
"""A whole answer that nobody asked for: whoever hears of it has been poisoned."""


class End(Enum):
    """What the upstream does after its last byte."""

    STAYS = "stays"
    FIN = "fin"
    RST = "rst"


class Fate(Enum):
    """What an answer looks like to a client that knows HTTP."""

    WHOLE = "a whole answer"
    REFUSED = "a failure that the proxy tells"
    CUT = "an answer that is visibly incomplete"
    NOTHING = "no answer"
    HUNG = "no end"


GARBAGE = frozenset({(502, "UPE")})
LOST = frozenset({(503, "UC")})
LATE = frozenset({(504, "UT"), (504, "SI")})

WHOLE = frozenset({Fate.WHOLE})
REFUSED = frozenset({Fate.REFUSED})
BROKEN = frozenset({Fate.REFUSED, Fate.CUT})
"""Which of the two depends on how much had come before the fault."""


@dataclass(frozen=True)
class Case:
    """One behaviour. `rfc` is the section that it breaks, `threat` its number among ours."""

    name: str
    data: bytes
    fates: frozenset[Fate]
    rfc: str
    threat: str
    end: End = End.STAYS
    late: bytes = b""
    """Said once the client has its answer."""
    method: str = "GET"
    status: int = 200
    body: bytes = b""
    """Of a whole answer; a cut one shows a beginning of it."""
    interim: int = 0
    """1xx answers that the client may see."""
    told: frozenset[tuple[int, str]] = GARBAGE
    """Statuses and reason codes of a failure."""
    waits: bool = False
    """Nothing happens until a timeout of ours does."""

    @property
    def is_silent(self) -> bool:
        """It hangs up without a word: on a reused connection, a GET goes out again."""
        return not self.data and self.end is not End.STAYS

    @property
    def is_small(self) -> bool:
        """Worth being cut at every byte."""
        return len(self.data) < 600
