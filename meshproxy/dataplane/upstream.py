"""A connection to an endpoint: feeds the answer's bytes to the parser and hands on what comes.

Carries one exchange at a time. Trusts nothing of the answer but what `answers` accepted; a
connection that said one byte too many, or too few, is never used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import httptools

from meshproxy.core.exchange import CHUNKED, Exchange
from meshproxy.core.verdict import Failure
from meshproxy.dataplane import answers, flow, requests
from meshproxy.dataplane.answers import UNTIL_CLOSE, Answer

if TYPE_CHECKING:
    from meshproxy.core.route import Endpoint
    from meshproxy.dataplane.conductor import Conductor
    from meshproxy.dataplane.pool import Pool

MAX_INTERIM = 8
"""1xx answers passed on before a final one; more is a flood, not a hint."""

MAX_HEAD = 64 * 1024
MAX_FIELDS = 256
"""Bounds on an answer's head, in bytes and fields."""

UNREAD = -3
"""`_left` while the parser still has to say where the answer ends."""


class Upstream(asyncio.Protocol):
    """Protocol shell: feed the parser, then flush what one read brought in one write."""

    __slots__ = (
        "_answer", "_chunked", "_clock", "_conductor", "_done", "_excess", "_exchange", "_fields",
        "_head_bytes", "_heard", "_held", "_interim", "_left", "_parser", "_pieces", "_pool",
        "_reason", "_relaying", "_transport", "endpoint", "idle_since", "reused",
    )  # fmt: skip

    def __init__(
        self, endpoint: Endpoint, pool: Pool, conductor: Conductor, clock: Callable[[], float]
    ) -> None:
        self.endpoint = endpoint
        self.reused = False
        self.idle_since = 0.0
        self._pool = pool
        self._conductor = conductor
        self._clock = clock
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connected
        self._parser: httptools.HttpResponseParser | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._exchange: Exchange | None = None
        self._held = False
        self._reset()

    def _reset(self) -> None:
        self._answer: Answer | None = None
        self._reason = b""
        self._pieces: list[bytes] = []
        self._head_bytes = 0
        self._interim = 0
        self._left = UNREAD
        self._heard = False
        self._relaying = False
        self._chunked = False
        self._done = False
        self._excess = False

    # ---- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=flow.HIGH_WATER)
        self.endpoint.connections += 1

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # RFC 9112 section 9.2: nobody asked; whatever this is, it poisons the next answer.
            self._pool.lost(self)
            self._transport.abort()
            return
        self._heard = True
        if self._left >= 0:
            self._raw_body(exchange, data)
            return
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            flow.raise_bug(error)
            self._broken(exchange)
            return
        answer = self._answer
        if answer is None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD or len(self._fields) > MAX_FIELDS:
                self._broken(exchange)
            return
        if len(self._fields) > MAX_FIELDS:
            self._broken(exchange)
            return
        self._flush(exchange, answer)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.endpoint.connections -= 1
        exchange = self._exchange
        if exchange is None:
            self._pool.lost(self)
            return
        self._exchange = None
        answer = self._answer
        now = self._clock()
        if answer is not None and answer.length == UNTIL_CLOSE and exc is None:
            # RFC 9112 section 6.3 rule 8: such a body is whole only if it ended in good order.
            self._finish(exchange, now)
            return
        if answer is not None:
            failure = Failure.TRUNCATED
        elif self._heard:
            failure = Failure.GARBAGE
        else:
            failure = Failure.STALE if self.reused else Failure.RESET
        self._conductor.failed(exchange, failure, now)

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.client.hold()

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.client.resume()

    # ---- parser

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None or self._answer is not None:
            self._excess = True
            return
        fields, self._fields = self._fields, []
        version = parser.get_http_version()
        answer = Answer(parser.get_status_code(), 1 if version == "1.1" else 0, self._reason)
        self._reason = b""
        if not answers.read_answer(exchange, answer, fields) or version not in ("1.1", "1.0"):
            raise flow.NotHTTPError
        if answer.status < 200:
            self._pass_interim(exchange, answer)
            return
        self._answer = answer
        if answer.length == 0:
            self._done = True

    def on_body(self, piece: bytes) -> None:
        if self._done:
            self._excess = True
        else:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._answer is not None:
            self._done = True
            self._fields = []  # trailers end here

    def _pass_interim(self, exchange: Exchange, answer: Answer) -> None:
        self._interim += 1
        # A switch that nobody asked for would turn the connection into something else.
        if answer.status == 101 or self._interim > MAX_INTERIM:
            raise flow.NotHTTPError
        if exchange.minor and not exchange.answered:
            exchange.client.reply(answers.interim_head(answer))

    # ---- the answer on its way to the client

    def _flush(self, exchange: Exchange, answer: Answer) -> None:
        """Everything that one read brought leaves in one write."""
        now = self._clock()
        pieces, self._pieces = self._pieces, []
        size = sum(map(len, pieces)) if pieces else 0
        out: list[bytes] = []
        if not self._relaying:
            verdict = self._conductor.answered(exchange, answer, now)
            if verdict is None:
                return
            self._relaying = True
            head, self._chunked = verdict
            out.append(head)
            if answer.length > 0 and not self._done:
                # Past this point a counted body needs no parser: nothing is copied or scanned.
                self._left = answer.length - size
                self._parser = None
        if size:
            out += answers.chunk(pieces) if self._chunked else pieces
        if self._done and self._chunked:
            out.append(answers.LAST_CHUNK)
        if out:
            exchange.bytes_out += size
            exchange.client.relay(out, size)
        if self._done:
            self._exchange = None
            self._finish(exchange, now)

    def _raw_body(self, exchange: Exchange, data: bytes) -> None:
        size = len(data)
        if size > self._left:
            self._excess = True
            data = data[: self._left]
            size = self._left
        self._left -= size
        exchange.bytes_out += size
        exchange.client.relay([data], size)
        if self._left == 0:
            self._exchange = None
            self._finish(exchange, self._clock())

    def _finish(self, exchange: Exchange, now: float) -> None:
        """The answer is whole: see to the connection first, then to the exchange."""
        if self._answer is not None and self._answer.length == UNTIL_CLOSE and self._chunked:
            exchange.client.relay([answers.LAST_CHUNK], 0)
        exchange.upstream = None
        self._part(exchange, now)
        self._conductor.conclude(exchange, now)

    def _part(self, exchange: Exchange, now: float) -> None:
        """Back to the pool, if request and answer both ended where they said they would."""
        answer = self._answer
        transport = self._transport
        if (
            answer is None
            or not answer.keep_alive
            or self._excess
            or not exchange.complete
            or transport.is_closing()
        ):
            if not transport.is_closing():
                transport.close()
            return
        if answer.idle_for:
            self._pool.learned(self.endpoint, answer.idle_for)
        if exchange.method == b"HEAD" or self._left == 0:
            self._parser = None  # it believes that a body is still to come
        if self._held:
            self.resume()
        self._reset()
        self.reused = True
        self._pool.give(self, now)

    def _broken(self, exchange: Exchange) -> None:
        self._exchange = None
        self._transport.abort()
        failure = Failure.TRUNCATED if self._relaying else Failure.GARBAGE
        self._conductor.failed(exchange, failure, self._clock())

    # ---- the conductor's side

    def send(self, exchange: Exchange) -> None:
        """Write the head, and what there is of the body, in one go."""
        self._exchange = exchange
        exchange.sent_upstream = True
        out = [requests.request_head(exchange)]
        if exchange.body:
            out += answers.chunk(exchange.body) if exchange.length == CHUNKED else exchange.body
        if exchange.complete and exchange.length == CHUNKED:
            out.append(answers.LAST_CHUNK)
        flow.write(self._transport, out, exchange.held)

    def stream(self, exchange: Exchange, pieces: list[bytes]) -> None:
        """Write more of the body, or its end."""
        out = pieces
        if exchange.length == CHUNKED:
            out = answers.chunk(pieces) if pieces else []
            if exchange.complete:
                out.append(answers.LAST_CHUNK)
        if out and not self._transport.is_closing():
            flow.write(self._transport, out, sum(map(len, out)))

    def drop(self) -> None:
        """The exchange is over for us; whatever still comes is of no use."""
        self._exchange = None
        self._transport.abort()

    def discard(self, now: float) -> None:
        """Another attempt replaces this answer; keep the connection only if it is all here."""
        exchange, self._exchange = self._exchange, None
        if self._done and exchange is not None:
            self._part(exchange, now)
        else:
            self._transport.abort()

    def hold(self) -> None:
        self._held = True
        flow.hold(self._transport)

    def resume(self) -> None:
        self._held = False
        flow.release(self._transport)

    def is_usable(self, now: float) -> bool:
        """Whether an idle connection may carry one more exchange."""
        return now - self.idle_since < self.endpoint.idle_for and not self._transport.is_closing()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        """Close an idle connection."""
        if not self._transport.is_closing():
            self._transport.close()
