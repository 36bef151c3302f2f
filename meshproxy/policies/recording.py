"""Tracing that notes what it sees: a record for each sampled exchange, an attempt for each try.

Stands in for `tracing` where spans are exported, so that nothing of it is paid where they are
not; of an exchange that is not sampled it notes nothing. Its headers name the spans that it
notes: an attempt's own span, below that of the exchange.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from meshproxy.core.ledger import Draft
from meshproxy.core.spans import Attempt, Delivery, Record, Spans
from meshproxy.logic.forwarded import client_address
from meshproxy.logic.trace import Parent
from meshproxy.policies.tracing import OURS, Tracing

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.policies.contract import Scope
    from meshproxy.policies.tracing import TracingSpec

CELL = ("spans",)
"""Where the ledger keeps the queue."""

Ends = tuple[Spans | None, Delivery | None]
"""What is exported, and where to."""

_FORWARDED_FOR = b"x-forwarded-for"

_admit, _depart = Tracing.admit, Tracing.depart


class Recording(Tracing):
    """The fifth part of `exchange.trace` is the record, of those that have one.

    The fourth is then the server span, as the parent of what is sent on.
    """

    __slots__ = ("_hops", "_spans", "reads")

    def __init__(
        self,
        spec: TracingSpec,
        identities: Iterator[tuple[bytes, bytes, bytes]],
        scope: Scope,
    ) -> None:
        super().__init__(spec, identities)
        self._hops = scope.hops
        self._spans = scope.draft.state(CELL, Spans)
        self.reads = frozenset({_FORWARDED_FOR}) if scope.hops else frozenset()

    def admit(self, exchange: Exchange, now: float) -> None:
        if exchange.request_id:
            return  # it was named before another route took it over
        _admit(self, exchange, now)
        if exchange.trace[2]:
            trace_id, span, _, parent = exchange.trace
            record = Record(exchange, self._spans, (trace_id, span, parent), self._client(exchange))
            here = Parent(b"", span, True) if parent is None else parent._replace(span_id=span)
            exchange.trace = (trace_id, span, True, here, record)
            exchange.defer(record.end)

    def _client(self, exchange: Exchange) -> str:
        peer, hops = exchange.peer, self._hops
        if not hops:
            return peer.address
        said = exchange.taken.get(_FORWARDED_FOR)
        return client_address(peer.address, peer.trusted, said, hops)

    def depart(self, exchange: Exchange, now: float) -> None:
        if not exchange.trace[2]:
            _depart(self, exchange, now)
            return
        trace_id, _, _, here, record = exchange.trace
        _, span, _ = next(self._identities)
        beside = False
        if record.exchange is not exchange:
            # Beside another one: its rival, which is of the same record, or one for the cache.
            leader = exchange.more().leader
            beside = leader is not None and leader.more().rival is exchange
            if not beside:
                record = self._alone(exchange, record)
        exchange.trace = (trace_id, span, True, here, record)
        record.attempts.append(Attempt(span, exchange, beside, now))
        lines = [write(trace_id, span, True, here) for write in self._writers]
        lines.append(OURS % (exchange.attempts, exchange.request_id))
        exchange.added += lines

    def departs(self, exchange: Exchange, now: float) -> Sequence[bytes]:
        """Of a sampled one the server span, drawn as well, is the parent of what is sent on."""
        trace_id, span, sampled, parent = exchange.trace
        if sampled:
            here = Parent(b"", span, True) if parent is None else parent._replace(span_id=span)
            exchange.trace = (trace_id, span, True, here)
        return super().departs(exchange, now)

    def _alone(self, exchange: Exchange, record: Record) -> Record:
        """A record without a server span: whom it was for is answered already."""
        ids = (record.trace_id, record.span_id, record.parent)
        made = Record(exchange, self._spans, ids, record.client, serves=False)
        exchange.defer(made.end)
        return made

    def settle(self, exchange: Exchange, now: float) -> None:
        """The attempt has an answer's head, or has failed."""
        trace = exchange.trace
        if trace[2]:
            attempt = trace[4].latest(trace[1])
            if attempt is not None:
                attempt.ended = now
                attempt.status = exchange.status
                attempt.failure = exchange.failure
                attempt.flags = exchange.flags

    def broke(self, exchange: Exchange, now: float) -> None:
        """The answer that had begun was never whole."""
        self.settle(exchange, now)


def ends(said: TracingSpec | None, draft: Draft) -> Ends:
    """The queue and where it leads, as the file says; nowhere where export is off."""
    if said is None or said.export == "off":
        return None, None
    return draft.state(CELL, Spans), said.export.delivery()
