"""A receiver of spans that is an Origin: what it was sent, read by opentelemetry-proto."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Any

from tests.telemetry.spans_scene import attributes, parsed, spans_in

from .harness import Message, Origin, eventually


@dataclass(frozen=True)
class Span:
    """One span as a test asks about it."""

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    error: bool
    began: int
    ended: int
    said: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]


def spans_of(message: Message) -> list[Span]:
    """The spans of one request to the receiver."""
    body = message.body
    if message.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return [
        Span(
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            name=span.name,
            kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
            error=span.status.code == span.status.STATUS_CODE_ERROR,
            began=span.start_time_unix_nano,
            ended=span.end_time_unix_nano,
            said=attributes(span),
            events=[(event.name, attributes(event)) for event in span.events],
        )
        for span in spans_in(parsed(body))
    ]


def received(collector: Origin) -> list[Span]:
    """All that it was sent since it was last forgotten."""
    return [span for message in list(collector.requests) for span in spans_of(message)]


def trace_of(collector: Origin, request_id: str, spans: int = 1) -> list[Span]:
    """The spans of the request that was answered with this id, once there are so many.

    The server span comes first, then its attempts by their beginning.
    """

    def look() -> list[Span]:
        found = received(collector)
        servers = [one for one in found if one.said.get("meshproxy.request_id") == request_id]
        if not servers:
            return []
        below = [one for one in found if one.parent == servers[0].id]
        together = [servers[0], *sorted(below, key=lambda one: one.began)]
        return together if len(together) >= spans else []

    return eventually(look, 10.0, f"spans of {request_id}")
