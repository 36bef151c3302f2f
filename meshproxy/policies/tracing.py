"""Tracing: every request has an id and a place in a trace, and both travel on.

Decides who sampled (the caller, else a share of the trace ids) and writes the headers of each
attempt, with a span id of its own. What is noted for the export of spans, where that is on, is
`recording`'s. `b3` and `b3multi` say what is written; either reads both spellings, as receivers
of B3 should.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from meshproxy.core.exchange import Exchange, Telling
from meshproxy.core.explanation import TOLD, Step
from meshproxy.core.fields import Percent
from meshproxy.logic import trace
from meshproxy.logic.units import write_percent
from meshproxy.policies import told
from meshproxy.policies.contract import Scope, Spec
from meshproxy.policies.export import Export, ExportSpec, off_or_set

Format = Literal["tracecontext", "b3", "b3multi", "jaeger"]
Formats = Annotated[
    Annotated[Literal["off"], Tag("<off>")]
    | Annotated[tuple[Format, ...], Field(min_length=1), Tag("<set>")],
    Discriminator(off_or_set),
]
Trace = tuple[bytes, bytes, bool, "trace.Parent | None"]
"""`exchange.trace`: trace id, span id of the latest attempt (both hex), sampled, what came.

A tuple and no class: 0.2 us less per exchange. `recording` adds a fifth part to some.
"""

_WRITERS = {
    "tracecontext": trace.write_w3c,
    "b3": trace.write_b3,
    "b3multi": trace.write_b3_multi,
    "jaeger": trace.write_jaeger,
}
_W3C_NAMES = frozenset({b"traceparent", b"tracestate"})
_B3_NAMES = frozenset(
    {b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"}
)
_JAEGER_NAMES = frozenset({b"uber-trace-id"})
_REQUEST_ID = re.compile(rb"[!-~]{1,128}")
_TRACE_ID, _SPAN_ID = b"<trace-id>", b"<span-id>"
OURS = b"x-meshproxy-attempt: %d\r\nx-request-id: %b\r\n"


class Example:
    """Shows a sampled exchange to the metrics of its route when it ends: an exemplar of theirs.

    A release of the exchange, so that those that are not sampled pay nothing for it; it lets go
    of the exchange, which would else wait for the collector.
    """

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange: Exchange | None = exchange

    def __call__(self, now: float) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.route.series.sampled(exchange.route.row, exchange, now)


class TracingSpec(Spec):
    """Trace headers and request ids; a caller's sampling decision wins over `sample`."""

    key: ClassVar[str] = "tracing"
    always: ClassVar[bool] = True

    propagate: Formats = Field(
        ("tracecontext",), description="Reads any of these, writes all of these."
    )
    sample: Percent = Field(0.01, description="Share of the traces that begin here.")
    heed_callers: bool = Field(
        True, description="A caller's decision wins; false: sample decides for every request."
    )
    export: Export = Field("off", description="Where sampled requests are sent as spans.")

    @field_validator("propagate")
    @classmethod
    def _each_once(cls, formats: Any) -> Any:
        if formats != "off" and len(set(formats)) < len(formats):
            raise ValueError("name each format once")
        return formats

    @property
    def formats(self) -> tuple[Format, ...]:
        return () if self.propagate == "off" else self.propagate

    def build(self, scope: Scope) -> Tracing:
        identities = trace.identities(scope.random.getrandbits)
        if isinstance(self.export, ExportSpec):
            from meshproxy.policies.recording import Recording

            return Recording(self, identities, scope)
        return Tracing(self, identities)


class Tracing:
    """Ids at admission, headers at each departure, the request id on the answer."""

    __slots__ = (
        "_fresh",
        "_heeds",
        "_identities",
        "_is_sampled",
        "_reads_b3",
        "_reads_jaeger",
        "_reads_w3c",
        "_share",
        "_writers",
        "replaces",
    )

    def __init__(self, spec: TracingSpec, identities: Iterator[tuple[bytes, bytes, bytes]]) -> None:
        self._identities = identities
        self._is_sampled = trace.share_of(spec.sample)
        self._share = spec.sample
        self._heeds = spec.heed_callers
        self._reads_w3c = "tracecontext" in spec.formats
        self._reads_b3 = "b3" in spec.formats or "b3multi" in spec.formats
        self._reads_jaeger = "jaeger" in spec.formats
        self._writers = tuple(_WRITERS[name] for name in spec.formats)
        # All lines of the first attempt of a trace of our own, with gaps for the ids; of an
        # unsampled trace, and of a sampled one. A gap costs a third of a writer's call.
        self._fresh = tuple(
            b"".join(write(b"%b", b"%b", sampled, None) for write in self._writers)
            + OURS.replace(b"%d", b"1")
            for sampled in (False, True)
        )
        self.replaces = (
            frozenset({b"x-request-id", TOLD})
            | (_W3C_NAMES if self._reads_w3c else frozenset())
            | (_B3_NAMES if self._reads_b3 else frozenset())
            | (_JAEGER_NAMES if self._reads_jaeger else frozenset())
        )

    def admit(self, exchange: Exchange, now: float) -> None:  # noqa: ARG002  # a phase
        """Name the exchange, and continue its caller's trace or begin one. Never refuses."""
        if exchange.request_id:
            return  # it was named before another route took it over
        trace_id, span, request_id = next(self._identities)
        if not self.replaces.isdisjoint(exchange.taken):
            if TOLD in exchange.taken and told.asks(exchange):
                exchange.extras = Telling()
            given = exchange.header(b"x-request-id")
            if given is not None and _REQUEST_ID.fullmatch(given) is not None:
                request_id = given
            parent = self._parent(exchange)
            if parent is not None:
                exchange.request_id = request_id
                exchange.trace = continued = self._continued(parent, trace_id, span)
                if continued[2]:
                    exchange.deferred.append(Example(exchange))
                return
        exchange.request_id = request_id
        sampled = self._is_sampled(trace_id)
        exchange.trace = (trace_id, span, sampled, None)
        if sampled:
            exchange.deferred.append(Example(exchange))

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:  # noqa: ARG002  # a phase
        """Ids that would be drawn are told as `<...>`."""
        if exchange.request_id:
            return
        given, parent = exchange.header(b"x-request-id"), self._parent(exchange)
        taken = given is not None and _REQUEST_ID.fullmatch(given) is not None
        exchange.request_id = given if taken and given is not None else b"<request-id>"
        drawn = self._share >= 1.0  # of a new trace: its id decides, which is drawn
        exchange.trace = (_TRACE_ID, _SPAN_ID, drawn, None)
        if parent is not None:
            continued = self._continued(parent, _TRACE_ID, _SPAN_ID)
            hangs_on_id = not parent.trace_id and not (self._heeds and parent.sampled is not None)
            exchange.trace = (*continued[:2], drawn, continued[3]) if hangs_on_id else continued
        place = "continues the caller's" if parent is not None and parent.trace_id else "begins a"
        whose = "the caller's" if taken else "new"
        yield Step(f"{place} trace, {self._odds(parent)}; the request id is {whose}")

    def _odds(self, parent: trace.Parent | None) -> str:
        if parent is not None and parent.sampled is not None and self._heeds:
            return f"{'' if parent.sampled else 'not '}sampled, as the caller says"
        if parent is not None and parent.trace_id:
            return "sampled" if self._is_sampled(parent.trace_id) else "not sampled"
        return f"sampled with a chance of {write_percent(self._share)}"

    def departs(self, exchange: Exchange, now: float) -> Sequence[bytes]:  # noqa: ARG002  # a phase
        trace_id, span, sampled, parent = exchange.trace
        lines = [write(trace_id, span, sampled, parent) for write in self._writers]
        return [*lines, OURS % (1, exchange.request_id)]

    def _parent(self, exchange: Exchange) -> trace.Parent | None:
        if self._reads_w3c:
            traceparent = exchange.header(b"traceparent")
            if traceparent is not None:
                # Where both kinds came only this one counts, be it good or bad.
                return trace.read_w3c(traceparent, exchange.header(b"tracestate"))
        if self._reads_b3:
            single = exchange.header(b"b3")
            if single is not None:
                return trace.read_b3(single)
            parent = trace.read_b3_multi(exchange.header)
            if parent is not None:
                return parent
        if self._reads_jaeger:
            uber = exchange.header(b"uber-trace-id")
            return trace.read_jaeger(uber) if uber is not None else None
        return None

    def _continued(self, parent: trace.Parent, own_id: bytes, span: bytes) -> Trace:
        trace_id, sampled = parent.trace_id or own_id, parent.sampled
        if sampled is None:
            sampled = self._is_sampled(trace_id)
        elif not self._heeds:
            sampled, parent = self._is_sampled(trace_id), parent._replace(debug=False)
        return trace_id, span, sampled, parent

    def depart(self, exchange: Exchange, now: float) -> None:  # noqa: ARG002  # a phase
        """Add the headers of one attempt; from the second on it is a span of its own."""
        trace_id, span, sampled, parent = exchange.trace
        if parent is None and exchange.attempts == 1:
            ids = (trace_id, span) * len(self._writers)
            exchange.added.append(self._fresh[sampled] % (*ids, exchange.request_id))
            return
        if exchange.attempts > 1:
            _, span, _ = next(self._identities)
            exchange.trace = (trace_id, span, sampled, parent)
        lines = [write(trace_id, span, sampled, parent) for write in self._writers]
        lines.append(OURS % (exchange.attempts, exchange.request_id))
        exchange.added += lines

    def respond(self, exchange: Exchange, now: float) -> None:
        """Tell the caller the id by which to ask about this request; and why, if it asked."""
        exchange.answer_lines.append(b"x-request-id: " + exchange.request_id + b"\r\n")
        if exchange.extras is not None and exchange.extras.story is not None:
            exchange.answer_lines.append(told.line(exchange, now))
