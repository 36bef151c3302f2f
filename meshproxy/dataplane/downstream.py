"""A client's connection: feeds request bytes to the parser and queues what it finds.

One exchange is in flight at a time; pipelined requests wait in order, first as parsed
exchanges of the same read, then as raw bytes with reading stopped. Decides nothing about an
exchange; the conductor does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from meshproxy.core.exchange import CHUNKED, Exchange, Peer
from meshproxy.core.verdict import Refusal
from meshproxy.dataplane import flow, requests

if TYPE_CHECKING:
    from meshproxy.dataplane.listener import Listener

READ_AHEAD = 16 * 1024
"""Bytes parsed at a time while a head is read: bounds how many pipelined requests wait."""

MAX_TRAILERS = 8 * 1024
LINGER_BYTES = 64 * 1024
LINGER_SECONDS = 1.0
"""How much of an unwanted body is still read, so that its sender can see the answer."""


class Downstream(asyncio.Protocol):
    """Protocol shell: feed the parser, then dispatch what one read brought."""

    __slots__ = (
        "_arrived", "_backlog", "_closing", "_current", "_eof", "_fields", "_head_bytes", "_held",
        "_left", "_linger", "_listener", "_now", "_parser", "_parsing", "_peer", "_queue",
        "_running", "_target", "_transport", "busy_since", "idle_since",
    )  # fmt: skip

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connected
        self._peer: Peer = None  # type: ignore[assignment]  # until connected
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()
        self._backlog = b""
        self._current: Exchange | None = None
        self._running = False
        self._closing = False
        self._eof = False
        self._held = False
        self._linger = -1
        self._now = 0.0
        self.idle_since = 0.0
        self.busy_since = 0.0
        # The request being parsed.
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._parsing: Exchange | None = None
        self._arrived: list[bytes] = []
        self._left = -1

    # ---- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=flow.HIGH_WATER)
        self.idle_since = self._listener.clock()
        address = transport.get_extra_info("peername")
        self._peer = self._listener.welcome(self, address[0] if address else "unknown")

    def data_received(self, data: bytes) -> None:
        if self._linger >= 0:
            self._linger -= len(data)
            if self._linger < 0:
                self._transport.abort()
            return
        if self._closing:
            return
        self._now = self._listener.clock()
        current = self._current
        if current is not None and current is not self._parsing:
            self._backlog += data
            self.hold()
            return
        if self._left >= 0:
            data = self._raw_body(data)
            if not data:
                return
        self._feed(data)
        self._advance()

    def eof_received(self) -> bool:
        """A client may close its sending side and still wait for its answers."""
        current = self._current
        if current is None or not current.complete:
            return False
        self._eof = True
        if not self._queue and not self._backlog:
            current.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # FIN or RST alike
        self._closing = True
        self._queue.clear()
        self._listener.farewell(self)
        if self._current is not None:
            self._listener.conductor.client_gone(self._current, self._listener.clock())

    def pause_writing(self) -> None:
        if self._current is not None and self._current.upstream is not None:
            self._current.upstream.hold()

    def resume_writing(self) -> None:
        if self._current is not None and self._current.upstream is not None:
            self._current.upstream.resume()

    # ---- feeding

    def _feed(self, data: bytes) -> None:
        """Parse, a bounded piece at a time; what a full queue leaves over stays raw."""
        if len(data) > READ_AHEAD and self._parsing is None:
            data, self._backlog = data[:READ_AHEAD], data[READ_AHEAD:] + self._backlog
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # We take no upgrade: the request stands, and what follows is the next one.
            self._parser = httptools.HttpRequestParser(self)
            self._backlog = data[upgrade.args[0] :] + self._backlog
        except httptools.HttpParserError as error:
            flow.raise_bug(error)
            self._unreadable()
            return
        if self._target or self._fields:
            self._check_sizes(len(data))

    def _check_sizes(self, size: int) -> None:
        """llhttp bounds nothing, so heads and trailers that do not end are ended here."""
        self._head_bytes += size
        parsing = self._parsing
        if parsing is None:
            if not self.busy_since:
                self.busy_since = self._now
            refusal = self._oversize()
            if refusal is not None:
                self._refuse(refusal)
        elif self._head_bytes > MAX_TRAILERS and parsing.length == CHUNKED:
            self._unreadable()

    def _oversize(self) -> Refusal | None:
        limits = self._listener.plan.limits
        if len(self._target) > limits.uri_bytes:
            return requests.LONG_TARGET
        if len(self._fields) > limits.headers:
            return requests.MANY_FIELDS
        return requests.LONG_HEAD if self._head_bytes > limits.header_bytes else None

    def _raw_body(self, data: bytes) -> bytes:
        """A counted body goes past the parser; returns what follows it."""
        parsing = self._parsing
        size = min(len(data), self._left)
        self._left -= size
        rest = b""
        if size < len(data):
            data, rest = data[:size], data[size:]
        if parsing is not None:
            if self._left == 0:
                self._end_of_request(parsing)
                self._left = -1
                self._parser = httptools.HttpRequestParser(self)
            self._arrived = [data]
            self._hand_over(parsing)
        return rest

    # ---- parser

    def on_url(self, piece: bytes) -> None:
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self._closing:
            raise flow.NotHTTPError
        plan = self._listener.plan
        parser = self._parser
        exchange = Exchange(self, self._peer, plan, self._now)
        exchange.method = parser.get_method()
        version = parser.get_http_version()
        if version != "1.1":
            exchange.minor = 0
            exchange.keep_alive = False
        elif self._listener.draining:
            exchange.keep_alive = False
        fields, target = self._fields, self._target
        self._fields, self._target = [], b""
        refusal: Refusal | None
        if version not in ("1.1", "1.0"):
            refusal = requests.BAD_VERSION
        elif len(target) > plan.limits.uri_bytes:
            refusal = requests.LONG_TARGET
        elif len(fields) > plan.limits.headers:
            refusal = requests.MANY_FIELDS
        elif self._head_bytes and _size(target, fields) > plan.limits.header_bytes:
            refusal = requests.LONG_HEAD
        else:
            refusal = requests.read_request(exchange, target, fields, plan)
        self._head_bytes = 0
        self.busy_since = 0.0
        self._parsing = exchange
        self._queue.append(exchange)
        if refusal is not None:
            exchange.refusal = refusal
            if refusal.close:
                # Nothing after a head like this one can be trusted to be a request.
                raise flow.NotHTTPError

    def on_body(self, piece: bytes) -> None:
        self._arrived.append(piece)

    def on_message_complete(self) -> None:
        parsing = self._parsing
        if parsing is None:
            return
        self._end_of_request(parsing)
        if self._arrived or parsing is self._current:
            self._hand_over(parsing)

    def _end_of_request(self, parsing: Exchange) -> None:
        parsing.complete = True
        self._parsing = None
        self._head_bytes = 0
        if self._fields:
            self._fields = []  # RFC 9110 section 6.5.1: trailers may be dropped, and are

    def _hand_over(self, parsing: Exchange) -> None:
        """Give what has arrived of a body to its exchange, wherever that stands."""
        arrived, self._arrived = self._arrived, []
        size = sum(map(len, arrived)) if arrived else 0
        parsing.bytes_in += size
        if parsing is not self._current:
            parsing.body += arrived
            parsing.held += size
        elif not parsing.concluded:
            self._listener.conductor.body(parsing, arrived, self._now)

    # ---- dispatch

    def _advance(self) -> None:
        """Start whatever can start; a refused exchange makes room for the next at once."""
        if self._running:
            return
        self._running = True
        while True:
            parsing = self._parsing
            if parsing is not None and (self._arrived or parsing is not self._current):
                self._hand_over(parsing)
                self._skip_parser(parsing)
            if self._current is not None:
                if self._backlog and not self._current.complete:
                    self._feed_backlog()
                    continue
                break
            if self._queue:
                self._current = exchange = self._queue.popleft()
                self._listener.conductor.begin(exchange, self._now)
            elif self._backlog and not self._closing:
                self._feed_backlog()
            else:
                break
        self._running = False
        if self._eof and self._current is None:
            self._transport.close()
        elif self._current is not None and (self._queue or self._backlog):
            self.hold()
        elif self._current is None and not self._closing:
            self.resume()

    def _feed_backlog(self) -> None:
        data, self._backlog = self._backlog, b""
        if self._left >= 0:
            data = self._raw_body(data)
        if data:
            self._feed(data)

    def _skip_parser(self, parsing: Exchange) -> None:
        """The rest of a counted body needs no parser: nothing is copied or scanned."""
        if parsing.length > 0 and not parsing.complete and self._left < 0:
            self._left = parsing.length - parsing.bytes_in

    def _unreadable(self) -> None:
        """Not HTTP: answer 400 in its turn, unless its head has been refused already."""
        self._backlog = b""
        parsing = self._parsing
        self._parsing = None
        if parsing is None:
            self._refuse(requests.BAD_SYNTAX)
        elif parsing.refusal is None:
            # The head was fine and its body is not: if nothing began, refuse; else give it up.
            if parsing is self._current:
                self._give_up(parsing)
            else:
                parsing.refusal = requests.BAD_SYNTAX
                parsing.keep_alive = False
                self._deafen()
        else:
            self._deafen()

    def _refuse(self, refusal: Refusal) -> None:
        """Queue an answer to something that never became an exchange."""
        exchange = Exchange(self, self._peer, self._listener.plan, self._now)
        exchange.refusal = refusal
        exchange.keep_alive = False
        self._fields, self._target = [], b""
        self._queue.append(exchange)
        self._deafen()

    def _give_up(self, exchange: Exchange) -> None:
        self._deafen()
        self._listener.conductor.unreadable(exchange, requests.BAD_SYNTAX, self._now)

    def _deafen(self) -> None:
        """Read nothing more of this connection; what is queued is still answered."""
        self._closing = True
        self._backlog = b""

    # ---- the conductor's side

    def reply(self, data: bytes) -> None:
        """Write a whole answer, or an interim one."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def relay(self, pieces: list[bytes], size: int) -> None:
        """Write a part of an answer; `size` is that of the body in it."""
        if not self._transport.is_closing():
            flow.write(self._transport, pieces, size)

    def hold(self) -> None:
        self._held = True
        flow.hold(self._transport)

    def resume(self) -> None:
        if self._held and not self._queue and not self._backlog:
            self._held = False
            flow.release(self._transport)

    def cut(self, exchange: Exchange) -> None:
        """The answer stays incomplete: make sure that it cannot be taken for a whole one."""
        exchange.keep_alive = False
        if exchange.minor == 0:
            flow.reset(self._transport)

    def ended(self, exchange: Exchange, now: float) -> None:
        """An exchange is over: close, or go on with the next one."""
        self._current = None
        self._now = now
        last = (self._closing or self._eof) and not self._queue and not self._backlog
        if last or not exchange.keep_alive:
            self._close(exchange)
            return
        self.idle_since = now
        if self._queue or self._backlog:
            self._advance()
        elif self._held:
            self.resume()

    def _close(self, exchange: Exchange) -> None:
        self._closing = True
        self._queue.clear()
        self._backlog = b""
        transport = self._transport
        if transport.is_closing():
            return
        if exchange.complete or not transport.can_write_eof():
            transport.close()
            return
        # RFC 9112 section 9.6: closing with bytes unread would reset the connection, and the
        # client might lose the answer. Say that we are done, then read on for a moment.
        self._linger = LINGER_BYTES
        self.idle_since = self._listener.clock()
        transport.write_eof()
        flow.release(transport)

    # ---- time, called by the listener's sweep

    def sweep(self, now: float) -> None:
        """Close what has been idle, lingering, or sending one head, for too long."""
        limits = self._listener.plan.limits
        if self._linger >= 0:
            if now - self.idle_since >= LINGER_SECONDS:
                self._transport.abort()
        elif self._current is None and not self._queue:
            if self.busy_since:
                if now - self.busy_since >= limits.head_timeout:
                    self._now = now
                    self._refuse(requests.SLOW_HEAD)
                    self._advance()
            elif now - self.idle_since >= limits.keep_alive:
                self._transport.close()

    def turn_away(self) -> None:
        """Close after what has been written; nothing that still comes is read."""
        self._closing = True
        self._transport.close()

    def drain(self) -> None:
        """Close now if nothing is in flight; else after the answer."""
        if self._current is None and not self._queue and not self.busy_since:
            self._transport.close()
        elif self._current is not None:
            self._current.keep_alive = False


def _size(target: bytes, fields: list[tuple[bytes, bytes]]) -> int:
    return len(target) + sum(len(name) + len(value) + 4 for name, value in fields)
