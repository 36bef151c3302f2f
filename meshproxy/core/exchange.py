"""One request and its answer, from the first byte of the head to the log line.

An exchange is filled by the data plane and read by policies. It pins the route that was in
force when it began, so a reload never changes the rules in the middle of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from meshproxy.core.route import Endpoint, Keeper, Plan, Route, RouteTable
    from meshproxy.core.verdict import Failure, Refusal

CHUNKED = -1
"""`length` of a body whose size is told chunk by chunk."""


RECORD = 4
"""Where in `trace` the `core.spans.Record` stands, for exchanges that have one."""

NORMAL = 1
"""The priority of whom nobody gave another; 0 is more important."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who sits at the other end of a downstream connection; made once per connection.

    `trusted` peers may speak for others (`x-forwarded-*`, control headers). `forwarded` is
    the ready-made block of `x-forwarded-*` fields for a request of its own, up to the host.
    `key` is the address as bytes.
    """

    address: str
    trusted: bool
    forwarded: bytes
    key: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.address.encode())


class Start:
    """A request line up to its query, of one meaning, kept so that it need not be read again.

    `table` is the last table of routes that was asked for it, and `route` what it gave: None
    where header fields have a say.
    """

    __slots__ = ("method", "minor", "path", "route", "table")

    def __init__(self, method: bytes, path: bytes, minor: int) -> None:
        self.method = method
        self.path = path
        self.minor = minor
        self.table: RouteTable | None = None
        self.route: Route | None = None


class Extras:
    """What few exchanges have; made when somebody asks for it, so that the rest pay nothing.

    `latest` is when a caller stops waiting and `hedge_due` when a second attempt goes out
    (absolute, 0.0: never). `throttle` is bytes per second of the answer (0.0: no bound).
    `leader` is the exchange beside which this one is an attempt, `rival` such an attempt.
    `story` is what earlier attempts came to, where the client asked to be told.
    """

    story: ClassVar[list[str] | None] = None

    __slots__ = (
        "hedge_due", "keeper", "latest", "leader", "priority", "rescued", "rival", "throttle",
    )  # fmt: skip

    def __init__(self) -> None:
        self.keeper: Keeper | None = None
        self.latest = 0.0
        self.priority = NORMAL
        self.throttle = 0.0
        self.rescued = False
        self.hedge_due = 0.0
        self.leader: Exchange | None = None
        self.rival: Exchange | None = None


class Telling(Extras):
    """Those of an exchange whose client asked to be told; `story` is its own."""

    __slots__ = ("story",)

    def __init__(self) -> None:
        super().__init__()
        self.story = []  # type: ignore[misc]  # a slot, where others have the class's None


class Exchange:
    """Request head, route, attempts, outcome. All times are seconds of the monotonic clock."""

    __slots__ = (
        "added", "answer_lines", "answered", "attempts", "base", "began", "body", "bytes_in",
        "bytes_out", "client", "complete", "concluded", "deadline", "deferred", "due", "endpoint",
        "extras", "failure", "first_byte", "flags", "fresh", "held", "host", "idle_due",
        "keep_alive", "length", "lines", "method", "minor", "path", "peer", "plan", "progress",
        "refusal", "replayable", "request_id", "retry_after", "route", "sent_at", "sent_upstream",
        "start", "status", "taken", "target", "trace", "tried", "try_due", "tunnel", "upstream",
        "waiting", "wake",
    )  # fmt: skip

    def __init__(self, client: Any, peer: Peer, plan: Plan, now: float) -> None:
        # The request, as the data plane read it.
        self.client = client
        self.peer = peer
        self.plan = plan
        self.began = now
        self.method = b""
        self.target = b""
        self.path = b""
        self.host = b""
        self.minor = 1
        self.start: Start | None = None  # where its first line is one that is remembered
        self.keep_alive = True
        self.length = 0
        self.lines: list[bytes] = []
        self.taken: dict[bytes, bytes] = {}
        # Its body: what is held of it for another attempt.
        self.body: list[bytes] = []
        self.held = 0
        self.complete = False
        self.tunnel = False  # CONNECT, or a switch to another protocol that was asked for
        self.replayable = True
        # The walk.
        self.route: Route = plan.unmatched
        self.base = b""
        self.added: list[bytes] = []
        self.attempts = 0
        self.fresh = False  # only a connection that nobody used before will do
        self.endpoint: Endpoint | None = None
        self.tried: Sequence[Endpoint] = ()
        self.upstream: Any = None
        self.waiting = False
        self.wake: Callable[[float], None] | None = None
        self.deferred: list[Callable[[float], None]] = []
        # Its clocks: absolute, 0.0 when not running.
        self.deadline = 0.0
        self.due = 0.0
        self.try_due = 0.0
        self.idle_due = 0.0
        self.progress = -1
        # The outcome: of the latest attempt, then of the whole.
        self.sent_at = 0.0
        self.sent_upstream = False
        self.status = 0
        self.failure: Failure | None = None
        self.refusal: Refusal | None = None
        self.retry_after = -1.0
        self.answer_lines: list[bytes] = []
        self.answered = False
        self.first_byte = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.flags = ""
        self.concluded = False
        self.extras: Extras | None = None
        # Identity, filled by the tracing policy.
        self.request_id = b""
        self.trace: Any = None

    def header(self, name: bytes) -> bytes | None:
        """A request field that some policy declared in `reads` or `replaces`; lower-case name.

        Several lines of one name are joined by ", " (RFC 9110 section 5.3).
        """
        return self.taken.get(name)

    def drop(self, names: Collection[bytes]) -> None:
        """Do not pass on these fields that a policy declared in `reads`; lower-case names."""
        if not self.taken.keys().isdisjoint(names):
            self.lines = [one for one in self.lines if one.partition(b":")[0].lower() not in names]

    def more(self) -> Extras:
        """What it has besides; made now if it is not there yet."""
        if self.extras is None:
            self.extras = Extras()
        return self.extras

    @property
    def priority(self) -> int:
        """How important it is: 0 most, NORMAL if nobody said."""
        return NORMAL if self.extras is None else self.extras.priority

    def limit_deadline(self, when: float) -> None:
        """The call ends then at the latest, however long its route would wait."""
        extras = self.more()
        extras.latest = min(when, extras.latest or when)
        if not self.deadline or when < self.deadline:
            self.deadline = when

    def defer(self, release: Callable[[float], None]) -> None:
        """Run `release(now)` when the exchange ends, however it ends."""
        self.deferred.append(release)

    def note(self, event: str, now: float, **fields: str) -> None:
        """Something happened that its span should tell of; for rare things, as it may be unheard.

        What is noted is an event of that name, with these attributes.
        """
        if self.trace is not None and len(self.trace) > RECORD:
            self.trace[RECORD].notes.append((now, event, fields))

    def flag(self, code: str) -> None:
        """Add a reason code to those of this exchange; each is listed once."""
        if not self.flags:
            self.flags = code
        elif code not in self.flags.split(","):
            self.flags = f"{self.flags},{code}"
