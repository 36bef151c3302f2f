"""Records made by hand, and a reader of OTLP/JSON that is not ours."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any, cast

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.route import Endpoint
from meshproxy.core.spans import Attempt, Record, Spans
from meshproxy.core.verdict import Failure
from meshproxy.logic.trace import Parent

TRACE, SERVER = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def route_of(name: str = "default", path: str = "", upstream: str = "app", strip: int = 0) -> Any:
    about = {"match": {"methods": [], "path": path}} if path else {}
    cluster = SimpleNamespace(name=upstream)
    return SimpleNamespace(
        name=name, direction="inbound", about=about, cluster=cluster, strip=strip
    )


def record_of(parent: Parent | None = None, route: Any = None, **said: Any) -> Record:
    """A record of an exchange that has ended after a second; `said` overrides what it says."""
    plan = cast(Any, SimpleNamespace(unmatched=route or route_of()))
    exchange = Exchange(None, Peer("10.1.2.3", trusted=False, forwarded=b""), plan, 10.0)
    exchange.method, exchange.path, exchange.host = b"GET", b"/a", b"shop"
    exchange.status, exchange.request_id = 200, b"id-1"
    exchange.trace = (TRACE, SERVER, True, None)
    record = Record(exchange, Spans(), (TRACE, SERVER, parent), "10.9.9.9")
    record.end(11.0)
    for name, value in said.items():
        setattr(record, name, value)
    return record


def attempt_of(
    record: Record,
    status: int = 0,
    failure: Failure | None = None,
    host: str = "10.0.0.1",
    began: float = 10.25,
    **said: Any,
) -> Attempt:
    """An attempt of it, already noted on it."""
    exchange = cast(
        Any, SimpleNamespace(route=record.route, endpoint=Endpoint(f"{host}:80", host, 80))
    )
    attempt = Attempt(b"%016x" % (len(record.attempts) + 1), exchange, False, began)
    attempt.status, attempt.failure, attempt.ended = status, failure, began + 0.5
    for name, value in said.items():
        setattr(attempt, name, value)
    record.attempts.append(attempt)
    record.size += 1
    return attempt


def parsed(body: bytes) -> ExportTraceServiceRequest:
    """By opentelemetry-proto, which refuses what it does not know.

    OTLP/JSON differs from protobuf's own JSON in that ids are hex and no base64.
    """
    tree = json.loads(body, object_hook=_with_base64_ids)
    request = ExportTraceServiceRequest()
    json_format.ParseDict(tree, request)
    return request


def _with_base64_ids(node: dict[str, Any]) -> dict[str, Any]:
    for key in IDS & node.keys():
        assert node[key] == node[key].lower()
        node[key] = base64.b64encode(bytes.fromhex(node[key])).decode()
    return node


def spans_in(request: ExportTraceServiceRequest) -> list[trace_pb2.Span]:
    return [
        span
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def attributes(node: Any) -> dict[str, str | int]:
    """Attributes of a span, an event or a resource; none may come twice."""
    found = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in node.attributes}
    assert len(found) == len(node.attributes)
    return found
