"""What is noted of a sampled exchange while it runs, and the queue in which it waits for export.

A `Record` is one exchange: the server span, and an `Attempt` for each client span. Whoever
notes it appends and never formats; what a span looks like is telemetry's, where it goes control's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from meshproxy.core.report import Sample

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Endpoint, Route
    from meshproxy.core.verdict import Failure, Refusal
    from meshproxy.logic.trace import Parent

QUEUE = 2048
BATCH = 512
"""Spans, as OpenTelemetry's own batches have them."""
LONGEST = 2048
"""Bytes of a path that are kept."""
LONGEST_AGENT = 256
BREAKS = frozenset({"DC", "SI", "UC", "UPE", "UT"})
"""Reason codes of an answer that ended before it was whole."""

_AGENT = b"user-agent:"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where finished spans go and how; durations in seconds. `headers` are secret."""

    url: str
    headers: Mapping[str, str]
    resource: Mapping[str, str]
    gzip: bool = True
    timeout: float = 10.0
    interval: float = 1.0
    queue: int = QUEUE
    batch: int = BATCH


class Attempt:
    """One client span. `flags` are the exchange's reason codes when its answer began.

    `beside` says that it was sent beside another one that was still under way.
    """

    __slots__ = ("began", "beside", "broke", "ended", "endpoint", "failure", "flags", "route",
                 "span_id", "status")  # fmt: skip

    def __init__(self, span_id: bytes, exchange: Exchange, beside: bool, now: float) -> None:
        self.span_id = span_id
        self.began = now
        self.ended = 0.0
        self.route: Route = exchange.route
        self.endpoint: Endpoint | None = exchange.endpoint
        self.beside = beside
        self.status = 0
        self.failure: Failure | None = None
        self.flags = ""
        self.broke = ""


class Record:
    """One exchange under way, then what is left of it. `serves` is off where no client waits.

    `client` is the address for whom the request was made. It lets go of the exchange when that
    ends, and holds no body and no header but the user agent.
    """

    __slots__ = (
        "agent", "answered", "attempts", "began", "client", "ended", "exchange", "failure", "flags",
        "host", "method", "minor", "notes", "parent", "path", "peer", "refusal", "request_id",
        "rescued", "route", "serves", "size", "span_id", "spans", "status", "target", "trace_id",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        spans: Spans,
        ids: tuple[bytes, bytes, Parent | None],
        client: str,
        serves: bool = True,
    ) -> None:
        self.exchange: Exchange | None = exchange
        self.spans = spans
        self.trace_id, self.span_id, self.parent = ids
        self.client = client
        self.serves = serves
        self.route: Route = exchange.route
        self.began = exchange.began
        self.ended = 0.0
        self.attempts: list[Attempt] = []
        self.notes: list[tuple[float, str, Mapping[str, str]]] = []

    def latest(self, span_id: bytes) -> Attempt | None:
        """The attempt that was sent under this id."""
        for attempt in reversed(self.attempts):
            if attempt.span_id == span_id:
                return attempt
        return None

    def end(self, now: float) -> None:
        """The exchange is over: take what its spans will say, and join the queue."""
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        self.ended = now
        self.method, self.minor = exchange.method, exchange.minor
        self.path = exchange.path[:LONGEST]
        self.target = b"" if self.path else exchange.target[:LONGEST]
        self.host = exchange.host
        self.peer = exchange.peer.address
        self.request_id = exchange.request_id
        self.status, self.flags = exchange.status, exchange.flags
        self.refusal: Refusal | None = exchange.refusal
        self.failure: Failure | None = exchange.failure
        self.answered = exchange.answered
        self.rescued = exchange.extras is not None and exchange.extras.rescued
        self.agent = _agent_of(exchange.lines) if self.serves else b""
        if exchange.answered:
            self._end_answer(exchange, now)
        self.size = self.serves + len(self.attempts)
        self.spans.add(self)

    def _end_answer(self, exchange: Exchange, now: float) -> None:
        """The attempt whose answer was passed on ends with it, whole or not."""
        attempt = self.latest(exchange.trace[1])
        if attempt is None:
            return
        attempt.ended = now
        for code in exchange.flags[len(attempt.flags) :].split(","):
            if code in BREAKS:
                attempt.broke = code


class Spans:
    """Records that wait, at most `bound` spans of them; what finds no room is counted and lost.

    `wake` is called when there is a batch to be sent.
    """

    __slots__ = ("_waiting", "batch", "bound", "held", "lost", "wake")

    def __init__(self) -> None:
        self._waiting: deque[Record] = deque()
        self.bound = QUEUE
        self.batch = BATCH
        self.held = 0
        self.lost = 0
        self.wake: Callable[[], Any] = _nobody

    def add(self, record: Record) -> None:
        """Keep it if there is room; never waits."""
        if self.held + record.size > self.bound:
            self.lost += record.size
            return
        self.held += record.size
        self._waiting.append(record)
        if self.held >= self.batch:
            self.wake()

    def first(self) -> Sequence[Record]:
        """The oldest, about a batch of spans; they keep their room until they are forgotten."""
        room, count = self.batch, 0
        for record in self._waiting:
            room -= record.size
            if room < 0 and count:
                break
            count += 1
        return tuple(islice(self._waiting, count))

    def forget(self, records: Sequence[Record]) -> int:
        """Those that `first` gave are dealt with; how many spans that were."""
        size = sum(self._waiting.popleft().size for _ in records)
        self.held -= size
        return size

    def samples(self) -> Iterable[Sample]:
        """What found no room, and what waits."""
        yield Sample("meshproxy_spans_total", (("outcome", "queue_full"),), float(self.lost))
        yield Sample("meshproxy_spans_queued", (), float(self.held))


def _agent_of(lines: Sequence[bytes]) -> bytes:
    """The user agent among blocks of field lines; looked for in sampled exchanges alone."""
    for block in lines:
        lower = block.lower()
        at = 0 if lower.startswith(_AGENT) else lower.find(b"\n" + _AGENT) + 1
        if at or lower.startswith(_AGENT):
            end = block.find(b"\r", at)
            value = block[at + len(_AGENT) : end if end > 0 else len(block)]
            return value.strip(b" \t")[:LONGEST_AGENT]
    return b""


def _nobody() -> None:
    """Nobody exports yet."""
