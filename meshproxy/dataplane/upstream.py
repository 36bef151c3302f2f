"""A connection to an endpoint: cuts the answer's bytes into head and body and hands them on.

Carries one exchange at a time. Trusts nothing of the answer but what `answers` and llhttp
took; a connection that said one byte too many, or too few, is never used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from meshproxy.core.exchange import CHUNKED, Exchange
from meshproxy.core.verdict import Failure
from meshproxy.dataplane import answers, flow, heads, keeping, requests
from meshproxy.dataplane.answers import UNTIL_CLOSE, Answer
from meshproxy.dataplane.chunks import Dechunker
from meshproxy.dataplane.link import Link
from meshproxy.dataplane.tunnel import Tunnel

if TYPE_CHECKING:
    from meshproxy.core.route import Endpoint
    from meshproxy.dataplane.conductor import Conductor
    from meshproxy.dataplane.pool import Pool

MAX_INTERIM = 8
"""1xx answers passed on before a final one; more is a flood, not a hint."""

MAX_HEAD = 64 * 1024
"""Bytes of an answer's head."""

START = b"HTTP/1."
LONG_HEAD = "a head longer than 64 KiB"
BAD_HEAD = "a head that is not HTTP/1"
BAD_CHUNKS = "a body that is not chunked as it says"


class Upstream(Link):
    """Protocol shell: one read in, at most one write out on the client's side."""

    __slots__ = (
        "_answer", "_bounded", "_chunked", "_clock", "_conductor", "_dechunker", "_done", "_excess",
        "_exchange", "_head", "_interim", "_left", "_pool", "below", "endpoint", "idle_since",
        "reused", "settled",
    )  # fmt: skip

    def __init__(
        self, endpoint: Endpoint, pool: Pool, conductor: Conductor, clock: Callable[[], float]
    ) -> None:
        self.endpoint = endpoint
        self.reused = self.settled = False
        self.idle_since = 0.0
        self.below: Upstream | None = None  # idle, too, and used before this one
        self._pool, self._conductor, self._clock = pool, conductor, clock
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connected
        self._held = self._bounded = False
        self._exchange: Exchange | None = None
        # The answer under way: its head, then how much is left of its body.
        self._head = b""
        self._interim = 0
        self._answer: Answer | None = None
        self._left = 0
        self._dechunker: Dechunker | None = None
        self._chunked = self._done = self._excess = False

    # ---- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self.settled:  # too late, and whoever waited for it was told so
            self._transport.set_protocol(asyncio.Protocol())
            self._transport.abort()
            return
        flow.prepare(self._transport)
        self.endpoint.connections += 1
        # Before anything is read: a server behind a tunnel may be the first to speak.
        self._pool.arrived(self)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # RFC 9112 section 9.2: nobody asked; whatever this is, it poisons the next answer.
            self._pool.lost(self)
            self._transport.abort()
            return
        try:
            if self._answer is None:
                self._head_received(exchange, self._head + data if self._head else data)
            else:
                self._body_received(exchange, self._answer, data)
                self._conductor.intake.took(len(data))
        except Exception as error:  # noqa: BLE001  # this exchange ends, the process goes on
            self.drop()
            self._conductor.bug(exchange, error, self._clock())

    def eof_received(self) -> bool:
        """The end, in good order: nobody waits for what we may still have to send."""
        self._ended(None)
        self._transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        if exc is not None and self._exchange is not None:
            self._read_what_came()
        self._ended(exc)

    def _read_what_came(self) -> None:
        """A failed write ends a connection at once, but an answer may stand before the reset.

        It does where a server refuses an upload and closes without reading it.
        """
        for data in flow.left_over(self._transport):
            if self._exchange is not None:
                self.data_received(data)

    def _ended(self, exc: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            self._pool.lost(self)
            return
        answer, now = self._answer, self._clock()
        if answer is None:
            if self._head:
                failure = Failure.GARBAGE
            else:
                failure = Failure.STALE if self.reused and not self._interim else Failure.RESET
            self._conductor.failed(exchange, failure, now)
        elif answer.length == UNTIL_CLOSE and exc is None:
            # RFC 9112 section 6.3 rule 8: such a body is whole only if it ended in good order.
            if self._chunked:
                exchange.client.relay([answers.LAST_CHUNK], 0)
            exchange.upstream = None
            if exchange.extras is not None:
                keeping.copy(exchange, [], done=True, now=now)
            self._conductor.conclude(exchange, now)
        else:
            self._conductor.failed(exchange, Failure.TRUNCATED, now)

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.client.hold()

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.client.resume()

    # ---- the answer on its way to the client

    def _head_received(self, exchange: Exchange, data: bytes) -> None:
        """Wait for a whole head; pass on interim ones, and act on the final one."""
        while data:
            end = data.find(heads.END) + 4
            if end < 4:
                if len(data) > MAX_HEAD:
                    self._broken(exchange, LONG_HEAD)
                elif not heads.may_go_on(data, START, len(self._head)):
                    self._broken(exchange, BAD_HEAD)
                break
            head = data[:end] if end < len(data) else data
            answer = answers.read_answer(exchange, head) if end <= MAX_HEAD else LONG_HEAD
            if isinstance(answer, str):
                # What is no head at all is called so, however many reads it came in.
                whole = heads.may_go_on(head, START)
                self._broken(exchange, answer if whole else BAD_HEAD)
                return
            if answer.status >= 200:
                self._head = b""
                self._begin(exchange, answer, head, data)
                return
            if answer.status == 101:
                self._head = b""
                self._switch(exchange, answer, head, data[end:])
                return
            why_not = self._pass_interim(exchange, answer, head)
            if why_not:
                self._broken(exchange, why_not)
                return
            data, self._head = data[end:], b""
        self._head = data

    def _pass_interim(self, exchange: Exchange, answer: Answer, head: bytes) -> str:
        """Pass an interim answer on, or say why not."""
        self._interim += 1
        if self._interim > MAX_INTERIM:
            return f"more than {MAX_INTERIM} interim answers"
        if not self._pool.check.passes(head):
            return BAD_HEAD
        if exchange.minor:
            exchange.client.reply(answers.interim_head(answer))
        return ""

    def _switch(self, exchange: Exchange, answer: Answer, head: bytes, rest: bytes) -> None:
        """101: to what was asked for, or to something that nobody wants to be a party to."""
        if exchange.tunnel and self._pool.check.passes(head) and answers.switches(head):
            self._join(exchange, answer, rest)
        else:
            self._broken(exchange, "a switch of protocols that was not asked for")

    def _join(self, exchange: Exchange, answer: Answer, rest: bytes) -> None:
        self._exchange = None
        out = self._conductor.switched(exchange, answer, self._clock())
        if exchange.concluded:  # by a bug
            return
        tunnel = Tunnel(exchange, self._conductor, self._clock)
        early = exchange.client.hand_over(tunnel, out)
        tunnel.end(self._transport, self._gone)
        tunnel.join(early, rest)

    def _gone(self) -> None:
        self.endpoint.connections -= 1

    def _begin(self, exchange: Exchange, answer: Answer, head: bytes, data: bytes) -> None:
        """A final head, and as much of its body as came with it, leave in one write."""
        length = answer.length
        size = len(data) - len(head)
        if not self._pool.check.passes(data if length == size else head):
            self._broken(exchange, BAD_HEAD)
            return
        self._answer = answer
        if length == size:
            self._whole(exchange, answer, data[len(head) :])
            return
        if length == CHUNKED:
            self._dechunker = Dechunker()
        self._left = length
        self._done = length == 0
        if not (self._done or self._bounded):
            self._bounded = True
            flow.bound(self._transport, self)
        pieces = self._body_of(answer, data[len(head) :]) if size else []
        if pieces is None:
            self._broken(exchange, BAD_CHUNKS)
            return
        now = self._clock()
        verdict = self._conductor.answered(exchange, answer, now)
        if verdict is not None and self._exchange is not None:
            out, self._chunked = verdict
            self._send_on(self._exchange, [out], pieces, now)

    def _whole(self, exchange: Exchange, answer: Answer, body: bytes) -> None:
        """Head and counted body came in one read, as most answers do."""
        self._done = True
        now = self._clock()
        verdict = self._conductor.answered(exchange, answer, now)
        if verdict is None or self._exchange is None:
            return
        exchange = self._exchange  # another one, if this answer came first of two
        exchange.bytes_out += len(body)
        if exchange.extras is not None:
            keeping.copy(exchange, [body], done=True, now=now)
        exchange.client.reply(verdict[0] + body)
        self._part(exchange, now)
        self._conductor.conclude(exchange, now)

    def _body_received(self, exchange: Exchange, answer: Answer, data: bytes) -> None:
        pieces = self._body_of(answer, data)
        if pieces is None:
            self._broken(exchange, BAD_CHUNKS)
        else:
            self._send_on(exchange, [], pieces, self._clock() if self._done else 0.0)

    def _body_of(self, answer: Answer, data: bytes) -> list[bytes] | None:
        """What of `data` is body; notes whether it ends there and whether something follows."""
        if self._dechunker is not None:
            taken = self._dechunker.feed(data)
            if taken is None:
                return None
            pieces, rest = taken
            self._done = self._dechunker.done
            self._excess = bool(rest)
            return pieces
        if answer.length == UNTIL_CLOSE:
            return [data]
        # A counted body is not scanned, and not copied unless something follows it.
        if len(data) > self._left:
            self._excess = True
            data = data[: self._left]
        self._left -= len(data)
        self._done = self._left == 0
        return [data] if data else []

    def _send_on(
        self, exchange: Exchange, out: list[bytes], pieces: list[bytes], now: float
    ) -> None:
        if pieces:
            size = sum(map(len, pieces))
            exchange.bytes_out += size
            out += answers.chunk(pieces) if self._chunked else pieces
        else:
            size = 0
        if exchange.extras is not None:
            keeping.copy(exchange, pieces, done=self._done, now=now)
        if self._done and self._chunked:
            out.append(answers.LAST_CHUNK)
        if out:
            exchange.client.relay(out, size)
        if self._done:
            self._part(exchange, now)
            self._conductor.conclude(exchange, now)

    def _part(self, exchange: Exchange, now: float) -> None:
        """Back to the pool, if request and answer both ended where they said they would."""
        exchange.upstream = self._exchange = None
        answer, self._answer = self._answer, None
        if not exchange.complete:
            # The rest of the request is not wanted: closing would wait until it was sent.
            self._transport.abort()
            return
        if (
            answer is None
            or not answer.keep_alive
            or self._excess
            or self._transport.is_closing()
            or self._transport.get_write_buffer_size()
        ):
            self.close()
            return
        if answer.idle_for:
            self._pool.learned(self.endpoint, answer.idle_for)
        if self._held:
            self.resume()
        self._interim = 0
        self._dechunker = None
        self._chunked = self._done = False
        self.reused = True
        self._pool.give(self, now)

    def _broken(self, exchange: Exchange, why: str) -> None:
        self._exchange = None
        self._transport.abort()
        failure = Failure.TRUNCATED if exchange.answered else Failure.GARBAGE
        self._conductor.failed(exchange, failure, self._clock(), why)

    # ---- the conductor's side

    def send(self, exchange: Exchange) -> None:
        """Write the head, and what there is of the body, in one go."""
        self._exchange = exchange
        exchange.sent_upstream = True
        head = requests.request_head(exchange)
        if exchange.length == 0:
            self._transport.write(head)
            return
        out = [head]
        if exchange.length == CHUNKED:
            if exchange.body:
                out += answers.chunk(exchange.body)
            if exchange.complete:
                out.append(answers.LAST_CHUNK)
        else:
            out += exchange.body
        flow.write(self._transport, out, exchange.held)

    def connect(self, exchange: Exchange) -> None:
        """CONNECT: the connection itself is what was asked for (RFC 9110 section 9.3.6)."""
        self._join(exchange, Answer(answers.ESTABLISHED), b"")

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

    def rebind(self, exchange: Exchange) -> None:
        """What it carries is another exchange's from now on."""
        self._exchange = exchange

    def discard(self, now: float) -> None:
        """Another attempt replaces this answer; keep the connection only if it is all here."""
        exchange, self._exchange = self._exchange, None
        if self._done and exchange is not None:
            self._part(exchange, now)
        else:
            self._transport.abort()

    def is_stream(self) -> bool:
        """Whether the answer under way has no end of its own."""
        return self._answer is not None and answers.is_events(self._answer)
