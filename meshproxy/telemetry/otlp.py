"""Records as OTLP/JSON: what the spans of an exchange are called and what they say.

Names and attributes are those of OpenTelemetry's conventions for HTTP; what is ours alone is
under `meshproxy.`. No span holds a query, credentials or a header but the user agent. Written
long after the exchange, off the path of traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from meshproxy import __version__
from meshproxy.core.verdict import Failure
from meshproxy.telemetry.access_log import METHOD_BYTES, plain, unread_path
from meshproxy.telemetry.story import events

if TYPE_CHECKING:
    from meshproxy.core.route import Endpoint, Route
    from meshproxy.core.spans import Attempt, Record

Span = dict[str, Any]

SERVER, CLIENT = 2, 3
ERROR = 2
_SAMPLED, _RANDOM, _KNOWS_REMOTE, _IS_REMOTE = 0x01, 0x02, 0x100, 0x200
_METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"}
)
_LEFT = "DC"
_CONDITIONS = {failure.reason: failure.condition for failure in Failure if failure.upstream_fault}
"""What the reason code of an answer that broke off means."""

TAIL = b"]}]}]}"


def head(service: str, version: str, resource: Mapping[str, str]) -> bytes:
    """What stands before the spans of every batch; `TAIL` stands after them."""
    said = {"service.name": service, **({"service.version": version} if version else {})}
    return (
        b'{"resourceSpans":[{"resource":{"attributes":%b},"scopeSpans":[{"scope":%b,"spans":['
        % (
            orjson.dumps(_pairs({**resource, **said})),
            orjson.dumps({"name": "meshproxy", "version": __version__}),
        )
    )


def pieces(records: Sequence[Record], start: bytes, epoch: int) -> Iterator[bytes]:
    """The bytes of one batch, a piece per exchange and one at either end.

    `start` is what `head` gave, `epoch` the nanoseconds since 1970 at which the monotonic
    clock stood at zero.
    """
    yield start
    comma = b""
    for record in records:
        spans = orjson.dumps(spans_of(record, epoch))[1:-1]
        if spans:
            yield comma + spans
            comma = b","
    yield TAIL


def spans_of(record: Record, epoch: int) -> list[Span]:
    """The server span, if there is one, and a client span for each attempt."""
    made = [_server(record, epoch)] if record.serves else []
    return made + [
        _client(record, attempt, number, epoch) for number, attempt in enumerate(record.attempts)
    ]


def _server(record: Record, epoch: int) -> Span:
    template = _template(record.route)
    method = _method(record.method)
    error = _server_error(record)
    path = plain(record.path or unread_path(record.target))
    host, port = _host(record.host)
    parent = record.parent
    flags = _KNOWS_REMOTE | (_IS_REMOTE if parent and parent.span_id else 0)
    span = _span(record, record.span_id, epoch, record.began, record.ended, flags)
    span |= {
        "parentSpanId": parent.span_id.decode() if parent else "",
        "name": _name(method, template),
        "kind": SERVER,
        "attributes": _pairs(
            {
                **method,
                "url.scheme": "http",
                "url.path": path,
                "http.route": template,
                "http.response.status_code": _status_told(record),
                "server.address": host,
                "server.port": port,
                "client.address": record.client,
                "network.peer.address": record.peer,
                "network.protocol.version": f"1.{record.minor}",
                "user_agent.original": plain(record.agent),
                "error.type": error,
                "meshproxy.direction": record.route.direction,
                "meshproxy.route": record.route.name,
                "meshproxy.reason": record.flags,
                "meshproxy.request_id": plain(record.request_id),
            }
        ),
        "events": [
            {"timeUnixNano": _nano(at, epoch), "name": name, "attributes": _pairs(more)}
            for at, name, more in events(record)
        ],
    }
    if error:
        span["status"] = {"code": ERROR}
        if record.refusal is not None:
            span["status"]["message"] = record.refusal.detail
    return span


def _client(record: Record, attempt: Attempt, number: int, epoch: int) -> Span:
    endpoint, failure = attempt.endpoint, attempt.failure
    method = _method(record.method)
    error = _client_error(attempt)
    ended = attempt.ended or record.ended
    span = _span(record, attempt.span_id, epoch, attempt.began, ended, _KNOWS_REMOTE)
    span |= {
        "parentSpanId": record.span_id.decode(),
        "name": _name(method, ""),
        "kind": CLIENT,
        "attributes": _pairs(
            {
                **method,
                **(_called(record, attempt.route, endpoint) if endpoint is not None else {}),
                "network.protocol.version": "1.1",
                "http.request.resend_count": number,
                "http.response.status_code": attempt.status,
                "error.type": error,
                "meshproxy.upstream": attempt.route.cluster.name if attempt.route.cluster else "",
                "meshproxy.result": failure.condition if failure else attempt.broke,
            }
        ),
    }
    if error:
        span["status"] = {"code": ERROR}
        if failure is not None:
            span["status"]["message"] = failure.detail
    return span


def _span(
    record: Record, span_id: bytes, epoch: int, began: float, ended: float, flags: int
) -> Span:
    """What both kinds have."""
    parent = record.parent
    is_random = parent is None or not parent.trace_id or parent.random
    return {
        "traceId": record.trace_id.decode(),
        "spanId": span_id.decode(),
        "traceState": parent.state.decode() if parent else "",
        "flags": flags | _SAMPLED | (_RANDOM if is_random else 0),
        "startTimeUnixNano": _nano(began, epoch),
        "endTimeUnixNano": _nano(ended, epoch),
    }


def _method(method: bytes) -> dict[str, str]:
    if method in _METHODS:
        return {"http.request.method": method.decode()}
    original = plain(method[:METHOD_BYTES])
    return {"http.request.method": "_OTHER", "http.request.method_original": original}


def _name(method: Mapping[str, str], template: str) -> str:
    """Never with the path itself, of which there are too many."""
    known = method["http.request.method"]
    word = "HTTP" if known == "_OTHER" else known
    return f"{word} {template}" if template else word


def _template(route: Route) -> str:
    """The pattern of a path that the file gives the route; empty where it takes the rest."""
    match = route.about.get("match")
    return str(match.get("path", "")) if isinstance(match, Mapping) else ""


def _host(host: bytes) -> tuple[str, int]:
    """Name and port that the client asked for; a port of 80 is not written."""
    text = plain(host)
    name, colon, port = text.rpartition(":")
    if colon and port.isdigit():
        return name.strip("[]"), int(port)
    return text.strip("[]"), 80 if text else 0


def _called(record: Record, route: Route, endpoint: Endpoint) -> dict[str, Any]:
    path = plain(record.path[route.strip :])
    if not path.startswith("/"):
        path = f"/{path}" if record.path != b"*" and record.path else ""
    ip = endpoint.host if endpoint.host.replace(".", "").isdigit() or ":" in endpoint.host else ""
    return {
        "url.full": f"http://{endpoint.name}{path}",
        "server.address": endpoint.host,
        "server.port": endpoint.port,
        "network.peer.address": ip,
        "network.peer.port": endpoint.port if ip else 0,
    }


def _status_told(record: Record) -> int:
    """The status that the client was given; none where it had left before."""
    gone = _LEFT in record.flags.split(",") and not record.answered
    return 0 if gone else record.status


def _server_error(record: Record) -> str:
    """`error.type`; empty for what is no error of this server."""
    if record.status >= 500:
        ours = record.refusal is not None and record.failure is not None
        return record.failure.condition if ours and record.failure else str(record.status)
    if record.answered:
        broke = [attempt.broke for attempt in record.attempts if attempt.broke]
        return _CONDITIONS.get(broke[-1], "") if broke else ""
    return "" if record.status else record.flags  # an end without an answer


def _client_error(attempt: Attempt) -> str:
    """`error.type`; that a caller left, or another attempt was faster, is no error."""
    failure = attempt.failure
    if failure is not None:
        harmless = (Failure.CLIENT_GONE, Failure.CLIENT_STALLED, Failure.OUTRUN)
        return "" if failure in harmless else failure.condition
    if attempt.broke:
        return _CONDITIONS.get(attempt.broke, "")
    return str(attempt.status) if attempt.status >= 400 else ""


def _nano(moment: float, epoch: int) -> str:
    # A double holds a monotonic clock's nanoseconds, but not those since 1970.
    return str(epoch + int(moment * 1e9))


def _pairs(fields: Mapping[str, str | int]) -> list[dict[str, Any]]:
    """Attributes; what is empty or 0 is left out. OTLP/JSON writes 64 bits as text."""
    return [
        {"key": key, "value": {"stringValue": value}}
        if isinstance(value, str)
        else {"key": key, "value": {"intValue": str(value)}}
        for key, value in fields.items()
        if value
    ]
