"""The access log: one line for an exchange that ended, if it is worth one.

Decides which exchanges get a line and what it says. No client can write into it: a line
holds no query, no user and password of a URL, no header but the request id, and every byte
that is not printable ASCII is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from meshproxy.telemetry.log import FIELD, Clock, short

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

METHOD_BYTES = 32

_TAIL = re.compile(rb"[?#].*", re.DOTALL)
_CREDENTIALS = re.compile(rb"^((?:[A-Za-z][A-Za-z0-9+.-]*://)?).*@", re.DOTALL)

_ESCAPES = {
    code: f"\\x{code:02x}" for code in range(256) if not (0x20 <= code < 0x7F and code != 0x5C)
}


class AccessSettings(Protocol):
    """What the file says under `logs.access`; seconds, and a share from 0 to 1."""

    @property
    def errors(self) -> bool: ...
    @property
    def slower_than(self) -> float: ...
    @property
    def sample(self) -> float: ...


class LogsWithAccess(Protocol):
    """What the file says under `logs`."""

    @property
    def access(self) -> AccessSettings: ...


class AccessLog:
    """Writes errors, slow ones and a sample of the rest; `write` takes the fields of a line.

    `failed` takes those of every exchange that did not go well, written or not.
    """

    __slots__ = ("_clock", "_errors", "_failed", "_random", "_sample", "_slower_than", "_write")

    def __init__(
        self,
        write: Callable[[Mapping[str, Any]], None],
        random: Callable[[], float],
        wall: Callable[[], float],
        failed: Callable[[Mapping[str, Any]], None] = lambda fields: None,  # noqa: ARG005
    ) -> None:
        self._write = write
        self._failed = failed
        self._random = random
        self._clock = Clock(wall)
        self._errors = True
        self._slower_than = 0.0
        self._sample = 0.0

    def configure(self, settings: LogsWithAccess) -> None:
        """Take over what the file says now; `slower_than` 0.0 switches that one off."""
        access = settings.access
        self._errors = access.errors
        self._slower_than = access.slower_than or float("inf")
        self._sample = access.sample

    def record(self, exchange: Exchange, now: float) -> None:
        """Write the line of an exchange that has ended, or do not. Costs 0.2 us if not."""
        if exchange.flags or exchange.status >= 500:
            fields = self._fields(exchange, now)
            self._failed(fields)
            if self._errors or self._is_picked(exchange, now):
                self._write(fields)
        elif now - exchange.began > self._slower_than or (
            self._sample and self._random() < self._sample
        ):
            self._write(self._fields(exchange, now))

    def _is_picked(self, exchange: Exchange, now: float) -> bool:
        """Whether it gets a line for a reason other than that it failed."""
        if now - exchange.began > self._slower_than:
            return True
        return bool(self._sample) and self._random() < self._sample

    def _fields(self, exchange: Exchange, now: float) -> dict[str, Any]:
        route, began = exchange.route, exchange.began
        fields: dict[str, Any] = {
            "time": self._clock.text(),
            "level": _level(exchange),
            "event": "request",
            "direction": route.direction,
            "route": route.name,
            "upstream": route.cluster.name if route.cluster else "",
            "endpoint": _endpoint(exchange),
            "method": plain(exchange.method[:METHOD_BYTES]),
            "path": _path(exchange),
            "status": exchange.status,
            "reason": exchange.flags,
            "duration_ms": _milliseconds(now - began),
            "first_byte_ms": _milliseconds(exchange.first_byte - began)
            if exchange.first_byte
            else None,
            "attempts": exchange.attempts,
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
            "client": exchange.peer.address,
            "request_id": short(plain(exchange.request_id[: FIELD + 1])),
            "trace_id": exchange.trace[0].decode() if exchange.trace else "",
        }
        refusal = exchange.refusal
        if refusal is not None:
            fields["detail"], fields["rule"] = refusal.detail, refusal.rule
            if refusal.why:
                fields["why"] = refusal.why
        elif exchange.failure is not None:
            fields["detail"] = exchange.failure.detail
        return fields


def plain(raw: bytes) -> str:
    """Bytes as printable ASCII: anything else as `\\xNN`, and so a backslash itself."""
    text = raw.decode("latin-1")
    # Translating costs 1.5 us, and hardly any text needs it.
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return text.translate(_ESCAPES)


def _level(exchange: Exchange) -> str:
    if exchange.status >= 500:
        return "error"
    return "warning" if exchange.flags else "info"


def _endpoint(exchange: Exchange) -> str:
    """Where the latest attempt went; "" if none was made."""
    endpoint = exchange.endpoint or (exchange.tried[-1] if exchange.tried else None)
    return endpoint.name if endpoint is not None else ""


def _path(exchange: Exchange) -> str:
    """Without the query, where secrets are; at most 2 KiB of it."""
    return short(plain((exchange.path or _unread_path(exchange.target))[: FIELD + 1]))


def _unread_path(target: bytes) -> bytes:
    """Of a target that has no path: what is left without query, fragment and credentials."""
    left = _TAIL.sub(b"", target)
    return left if left.startswith(b"/") else _CREDENTIALS.sub(rb"\1", left)


def _milliseconds(seconds: float) -> float:
    return int(seconds * 1e6 + 0.5) / 1e3  # round() takes 0.3 us more
