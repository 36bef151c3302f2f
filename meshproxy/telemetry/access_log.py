"""The access log: one line for an exchange that ended, if it is worth one.

Decides which exchanges get a line and what it says: fields for JSON, or a text that begins as
Envoy's does, so that tools for one read the other. No client can write into it: a line holds no
query, no user and password of a URL, no header but the host and the request id, and every byte
that is not printable ASCII is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from meshproxy.telemetry.log import FIELD, Clock, short

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

METHOD_BYTES = 32
FAILED = 500
"""Statuses from here on are failures, whoever asks for them."""

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
    def statuses(self) -> Iterable[str]: ...
    @property
    def slower_than(self) -> float: ...
    @property
    def sample(self) -> float: ...
    @property
    def format(self) -> str | None: ...


class LogsWithAccess(Protocol):
    """What the file says under `logs`."""

    @property
    def format(self) -> str: ...
    @property
    def access(self) -> AccessSettings | Literal["off"]: ...


class AccessLog:
    """Writes errors, slow ones, those of some statuses and a sample of the rest.

    `write` takes the fields of a line, or one as it is. `form` (`json` or `text`) wins over the
    file. `failed` takes the fields of every exchange that did not go well, written or not.
    """

    __slots__ = (
        "_clock", "_errors", "_failed", "_form", "_is_text", "_least", "_line", "_random",
        "_sample", "_slower_than", "_statuses", "_write",
    )  # fmt: skip

    def __init__(
        self,
        write: Callable[[Mapping[str, Any] | bytes], None],
        random: Callable[[], float],
        wall: Callable[[], float],
        form: str | None = None,
        failed: Callable[[Mapping[str, Any]], None] = lambda fields: None,  # noqa: ARG005
    ) -> None:
        self._write = write
        self._failed = failed
        self._random = random
        self._clock = Clock(wall)
        self._form = form
        self._line: Callable[[Exchange, float], Mapping[str, Any] | bytes] = self.fields
        self._is_text = False
        self._be_silent()

    def configure(self, settings: LogsWithAccess) -> None:
        """Take over what the file says now; `slower_than` 0.0 switches that one off."""
        access = settings.access
        if access == "off":
            self._be_silent()
            return
        self._errors = access.errors
        self._watch((*access.statuses, "5xx") if access.errors else access.statuses)
        self._slower_than = access.slower_than or float("inf")
        self._sample = access.sample
        form = self._form or access.format or settings.format
        self._is_text = form == "text"
        self._line = self._text if self._is_text else self.fields

    def _be_silent(self) -> None:
        self._errors = False
        self._watch(())
        self._slower_than = float("inf")
        self._sample = 0.0

    def _watch(self, words: Iterable[str]) -> None:
        self._statuses = statuses_of(words)
        # Looking into a set costs 10 ns, and most statuses lie below all of them.
        self._least = min((FAILED, *self._statuses))

    def record(self, exchange: Exchange, now: float) -> None:
        """Write the line of an exchange that has ended, or do not. Costs 0.2 us if not."""
        if exchange.flags or exchange.status >= self._least:
            self._record_odd(exchange, now)
        elif now - exchange.began > self._slower_than or (
            self._sample and self._random() < self._sample
        ):
            self._write(self._line(exchange, now))

    def _record_odd(self, exchange: Exchange, now: float) -> None:
        """One with a reason code, that failed, or of a status that may be asked for."""
        fields: Mapping[str, Any] | None = None
        if exchange.flags or exchange.status >= FAILED:
            fields = self.fields(exchange, now)
            self._failed(fields)
        if (
            exchange.status in self._statuses
            or (exchange.flags and self._errors)
            or now - exchange.began > self._slower_than
            or (self._sample and self._random() < self._sample)
        ):
            self._write(fields if fields and not self._is_text else self._line(exchange, now))

    def fields(self, exchange: Exchange, now: float) -> dict[str, Any]:
        """What the line of an exchange says."""
        route, began = exchange.route, exchange.began
        fields: dict[str, Any] = {
            "time": self._clock.text(),
            "level": _level(exchange),
            "event": "request",
            "direction": route.direction,
            "route": route.name,
            "upstream": route.cluster.name if route.cluster else "",
            "endpoint": endpoint_of(exchange),
            "method": plain(exchange.method[:METHOD_BYTES]),
            "path": path_of(exchange),
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

    def _text(self, exchange: Exchange, now: float) -> bytes:
        """Envoy's default format, field by field, and behind it what only we know.

        Where Envoy writes x-forwarded-for it has the client; the user agent is never read.
        """
        took = now - exchange.began
        asked = f"{_quoted(plain(exchange.method[:METHOD_BYTES]))} {_quoted(path_of(exchange))}"
        line = (
            f'[{self._clock.text(ago=took)}] "{asked} HTTP/1.{exchange.minor}"'
            f" {exchange.status} {exchange.flags or '-'} {exchange.bytes_in} {exchange.bytes_out}"
            f' {round(took * 1000)} {_upstream_ms(exchange)} "{_said(exchange.peer.address)}" "-"'
            f' "{_heard(exchange.request_id)}" "{_heard(exchange.host)}"'
            f' "{_said(endpoint_of(exchange))}" {_ours(exchange)}\n'
        )
        return line.encode()


def statuses_of(words: Iterable[str]) -> frozenset[int]:
    """Numbers for words such as `503` and `4xx`; what lies above 599 is as good as a 5xx."""
    found: set[int] = set()
    for word in words:
        first = int(word[0]) * 100
        all_of = range(first, 1000 if first == 500 else first + 100)
        found.update(all_of if word.endswith("xx") else (int(word),))
    return frozenset(found)


def plain(raw: bytes) -> str:
    """Bytes as printable ASCII: anything else as `\\xNN`, and so a backslash itself."""
    text = raw.decode("latin-1")
    # Translating costs 1.5 us, and hardly any text needs it.
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return text.translate(_ESCAPES)


def _quoted(escaped: str) -> str:
    """Between quotes, where another quote would end it; at most FIELD characters."""
    return short(escaped.replace('"', "\\x22")) if '"' in escaped else escaped or "-"


def _said(text: str) -> str:
    """Words of ours or of the file, in the same way."""
    return _quoted(short(plain(text.encode("utf-8", "backslashreplace"))))


def _heard(raw: bytes) -> str:
    """What a client said, in the same way."""
    return _quoted(short(plain(raw[: FIELD + 1])))


def _ours(exchange: Exchange) -> str:
    """Direction, route, upstream, attempts, trace id, what was wrong, the rule that says so."""
    route, refusal, failure = exchange.route, exchange.refusal, exchange.failure
    upstream = route.cluster.name if route.cluster is not None else "-"
    trace_id = exchange.trace[0].decode() if exchange.trace else "-"
    detail = refusal.detail if refusal is not None else failure.detail if failure else ""
    rule = refusal.rule if refusal is not None else ""
    return (
        f'{route.direction} "{_said(route.name)}" "{_said(upstream)}" {exchange.attempts}'
        f' {trace_id} "{_said(detail)}" "{_said(rule)}"'
    )


def _upstream_ms(exchange: Exchange) -> str:
    """From the head of the latest attempt to that of its answer."""
    if not exchange.answered:
        return "-"
    return str(max(0, round((exchange.first_byte - exchange.sent_at) * 1000)))


def _level(exchange: Exchange) -> str:
    if exchange.status >= 500:
        return "error"
    return "warning" if exchange.flags else "info"


def endpoint_of(exchange: Exchange) -> str:
    """Where the latest attempt went; "" if none was made."""
    endpoint = exchange.endpoint or (exchange.tried[-1] if exchange.tried else None)
    return endpoint.name if endpoint is not None else ""


def path_of(exchange: Exchange) -> str:
    """Without the query, where secrets are; at most 2 KiB of it."""
    return short(plain((exchange.path or unread_path(exchange.target))[: FIELD + 1]))


def unread_path(target: bytes) -> bytes:
    """Of a target that has no path: what is left without query, fragment and credentials."""
    left = _TAIL.sub(b"", target)
    return left if left.startswith(b"/") else _CREDENTIALS.sub(rb"\1", left)


def _milliseconds(seconds: float) -> float:
    return int(seconds * 1e6 + 0.5) / 1e3  # round() takes 0.3 us more
