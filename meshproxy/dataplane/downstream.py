"""A client's connection: cuts its bytes into requests and lets them through one at a time.

One exchange is in flight; whatever comes before it has ended waits as raw bytes, with reading
stopped. Decides nothing about an exchange; the conductor does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from meshproxy.core.exchange import CHUNKED, Exchange, Peer
from meshproxy.core.verdict import Refusal
from meshproxy.dataplane import flow, heads, refusals, requests
from meshproxy.dataplane.chunks import Dechunker
from meshproxy.dataplane.parting import Parting
from meshproxy.dataplane.stalls import Stalls

if TYPE_CHECKING:
    from meshproxy.dataplane.listener import Listener
    from meshproxy.dataplane.tunnel import Tunnel

LINGER_BYTES = 64 * 1024
LINGER_SECONDS = 1.0
"""How much of an unwanted body is still read, so that its sender can see the answer."""
LONG = 4096
"""A read of more bytes than this has a part of a body in it, or requests that wait."""


class Downstream(Parting):
    """Protocol shell: find the next head, begin its exchange, stream its body."""

    __slots__ = (
        "_at", "_bounded", "_dechunker", "_eof", "_held", "_left", "_linger", "_narrow",
        "_now", "_peer", "_running", "_seen", "_stalls", "idle_since",
    )  # fmt: skip

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connected
        self._peer: Peer = None  # type: ignore[assignment]  # until connected
        self._bounded = False
        self._closing = False
        self._eof = False
        self._held = False
        self._linger = 0
        self._narrow = False
        self._running = False
        self._now = 0.0
        self.idle_since = 0.0
        self.busy_since = 0.0
        # What has come and is not used yet, from `_at` on.
        self._backlog = b""
        self._at = 0
        self._seen = 0
        # The exchange in flight, and how its body ends.
        self._current: Exchange | None = None
        self._left = 0
        self._dechunker: Dechunker | None = None
        self._stalls = Stalls()

    # ---- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        flow.prepare(self._transport)
        self.idle_since = self._listener.clock()
        address = transport.get_extra_info("peername")
        self._peer = self._listener.welcome(self, address[0] if address else "unknown")

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._linger -= len(data)
            if self._linger < 0:
                self._transport.abort()
            return
        current = self._current
        if current is not None and not current.complete:
            self._now = self._listener.clock()
            self._body_received(current, data)
            self._listener.conductor.intake.took(len(data))
            return
        self._backlog = self._backlog[self._at :] + data if self._backlog else data
        self._at = 0
        if current is None:
            self._now = self._listener.clock()
            self._advance()
            if len(data) > LONG:
                self._listener.conductor.intake.took(len(data))
        else:
            self.hold()

    def eof_received(self) -> bool:
        """A client may close its sending side and still wait for its answers."""
        current = self._current
        if current is None:
            return False
        if not current.complete or (
            # Who closes half of a connection on an endless answer has left it.
            current.answered and current.upstream and current.upstream.is_stream()
        ):
            if current.answered:
                self.cut(current)
            return False
        self._eof = True
        if not self._backlog:
            current.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # FIN or RST alike
        self._closing = True
        self._listener.farewell(self, self._peer.address)
        if self._current is not None:
            self._listener.conductor.client_gone(self._current, self._listener.clock())

    def pause_writing(self) -> None:
        if self._current is not None and self._current.upstream is not None:
            self._current.upstream.hold()

    def resume_writing(self) -> None:
        if self._current is not None and self._current.upstream is not None:
            self._current.upstream.resume()

    # ---- one request after the other

    def _advance(self) -> None:
        """Begin what can begin; an exchange that is refused at once makes room for the next."""
        if self._running:
            return
        self._running = True
        while self._current is None and self._backlog and not self._closing:
            if not self._begin_next():
                break
        self._running = False
        if self._current is not None:
            if self._backlog:
                self.hold()
        elif self._eof:
            self._transport.close()
        elif self._held:
            self.resume()

    def _begin_next(self) -> bool:
        """Begin the exchange at the front of the backlog; False if its head is not whole yet."""
        data, at = self._backlog, self._at
        if data[at : at + 2] == b"\r\n":
            at += 2  # RFC 9112 section 2.2: one empty line before a request is forgiven
        end = data.find(heads.END, at) + 4
        if end < 4:
            return self._wait_for_head(at)
        self.busy_since = 0.0
        size = len(data)
        head = data if at == 0 and end == size else data[at:end]
        listener = self._listener
        plan = listener.plan
        self._current = exchange = Exchange(self, self._peer, plan, self._now)
        try:
            refusal = requests.read_request(exchange, head, plan)
            if listener.draining:
                exchange.keep_alive = False
            if refusal is not None:
                # What is no head at all is told so, however many reads it came in.
                if not (head[:1].isalpha() and heads.may_go_on(head)):
                    refusal = refusals.BAD_SYNTAX
            else:
                length = exchange.length
                if length == 0:
                    exchange.complete = True
                elif length > 0 and end + length <= size:
                    # All of a counted body is here: it is checked, and sent, along with its head.
                    exchange.complete = True
                    exchange.body.append(data[end : end + length])
                    exchange.held = exchange.bytes_in = length
                    end += length
                    head = data if at == 0 and end == size else data[at:end]
                if not listener.check.passes(head):
                    refusal = refusals.BAD_SYNTAX
            if end < size:
                self._at = end
            else:
                self._backlog, self._at = b"", 0
            if refusal is None and not exchange.complete:
                refusal = self._begin_body(exchange)
        except Exception as error:  # noqa: BLE001  # it is this request alone that is not read
            listener.conductor.tell_bug(error)
            refusal = refusals.BUG
        if refusal is not None:
            # Nothing after a head like this one can be trusted to be a request.
            exchange.refusal = refusal
            self.deafen()
        listener.conductor.begin(exchange, self._now)
        return True

    def _wait_for_head(self, at: int) -> bool:
        """Go on waiting, unless what has come is too much or cannot become a head."""
        part = self._backlog[at:]
        if not self.busy_since:
            self.busy_since = self._now
            self._seen = 0
        seen, self._seen = self._seen, len(part)
        limits = self._listener.plan.limits
        refusal: Refusal | None = None
        if len(part) > limits.header_bytes:
            refusal = refusals.LONG_HEAD if b"\r\n" in part else refusals.LONG_TARGET
        elif b"\n" in part[seen:] and part.count(b"\r\n") > limits.headers + 1:
            refusal = refusals.MANY_FIELDS
        elif part == b"\r" and at == self._at:
            pass  # half of the one empty line
        elif part and not (part[:1].isalpha() and heads.may_go_on(part, seen=seen)):
            refusal = refusals.BAD_SYNTAX
        if refusal is not None:
            self._refuse(refusal)
        return False

    def _refuse(self, refusal: Refusal) -> None:
        """Answer something that never became an exchange."""
        self._current = exchange = Exchange(self, self._peer, self._listener.plan, self._now)
        exchange.refusal = refusal
        exchange.keep_alive = False
        self.deafen()
        self._listener.conductor.begin(exchange, self._now)

    def deafen(self) -> None:
        """Read nothing more of this connection."""
        self._closing = True
        self._backlog, self._at = b"", 0

    # ---- the body of the request in flight

    def _begin_body(self, exchange: Exchange) -> Refusal | None:
        """Take what came of the body with its head, and remember how the rest ends."""
        self._stalls.begin_body(exchange, self._now)
        if not self._bounded:
            self._bounded = True
            flow.bound(self._transport, self)
        if exchange.length == CHUNKED:
            self._dechunker = Dechunker(thrifty=True)
        else:
            self._left = exchange.length
        rest = self._backlog[self._at :]
        self._backlog, self._at = b"", 0
        if rest:
            pieces = self._body_of(exchange, rest)
            if pieces is None:
                return refusals.BAD_SYNTAX
            exchange.body = pieces
            exchange.held = exchange.bytes_in
        if self._held:
            self.resume()  # this was behind another request, and the rest of it was not read
        return None

    def _body_received(self, exchange: Exchange, data: bytes) -> None:
        try:
            pieces = self._body_of(exchange, data)
            if pieces is None:
                self.deafen()
                self._listener.conductor.unreadable(exchange, refusals.BAD_SYNTAX, self._now)
            elif not exchange.concluded:
                if self._backlog:
                    self.hold()
                self._listener.conductor.body(exchange, pieces, self._now)
        except Exception as error:  # noqa: BLE001  # this exchange ends, the process goes on
            self._listener.conductor.bug(exchange, error, self._now)

    def _body_of(self, exchange: Exchange, data: bytes) -> list[bytes] | None:
        """What of `data` is body; what follows its end waits. None if it is no body at all."""
        if self._dechunker is not None:
            taken = self._dechunker.feed(data)
            if taken is None:
                return None
            pieces, self._backlog = taken
            if self._dechunker.done:
                exchange.complete = True
                self._dechunker = None
        else:
            # A counted body is not scanned, and not copied unless something follows it.
            if len(data) > self._left:
                data, self._backlog = data[: self._left], data[self._left :]
            self._left -= len(data)
            exchange.complete = self._left == 0
            pieces = [data]
        exchange.bytes_in += sum(map(len, pieces))
        return pieces

    # ---- the conductor's side

    def reply(self, data: bytes) -> None:
        """Write a whole answer, or an interim one."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def relay(self, pieces: list[bytes], size: int) -> None:
        """Write a part of an answer; `size` is that of the body in it."""
        if not self._transport.is_closing():
            if size > flow.COPY_LIMIT and not self._narrow:
                self._narrow = True
                flow.narrow(self._transport)
            flow.write(self._transport, pieces, size)

    def hand_over(self, tunnel: Tunnel, head: bytes) -> bytes:
        """Give up the transport to a tunnel, after its head; returns what came too early."""
        early, self._backlog, self._at = self._backlog[self._at :], b"", 0
        self.reply(head)
        tunnel.end(self._transport, lambda: self._listener.farewell(self, self._peer.address))
        return early

    def listens(self) -> bool:
        """Whether nothing says that the client has left."""
        return not self._eof

    def is_held(self) -> bool:
        """Whether it is we who do not read."""
        return self._held

    def hold(self) -> None:
        self._held = True
        flow.hold(self._transport)

    def resume(self) -> None:
        if self._held and (
            self._current is None or not self._current.complete or not self._backlog
        ):
            self._held = False
            flow.release(self._transport)

    def cut(self, exchange: Exchange) -> None:
        """The answer stays incomplete: make sure that it cannot be taken for a whole one."""
        exchange.keep_alive = False
        if exchange.minor == 0:
            flow.reset(self._transport)

    def reset(self) -> None:
        """End the connection as if it had been lost."""
        flow.reset(self._transport)

    def ended(self, exchange: Exchange, now: float) -> None:
        """An exchange is over: close, or go on with the next one."""
        self._current = None
        self._now = now
        last = self._closing or (self._eof and not self._backlog)
        if last or not exchange.keep_alive:
            self._close(exchange)
            return
        self.idle_since = now
        if self._backlog:
            self._advance()
        elif self._held:
            self.resume()

    def _close(self, exchange: Exchange) -> None:
        self.deafen()
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
        """Close what has been idle, lingering, stuck, or slow with a head, for too long."""
        limits = self._listener.plan.limits
        current = self._current
        if self._transport.get_write_buffer_size():
            self.idle_since = now  # an unwanted body is read on for a moment after the answer left
            if self._stalls.takes_nothing(self._transport, now, limits.write_timeout):
                if current is not None:
                    current.flag("SI")
                self._transport.abort()
            return
        self._stalls.nothing_unsent()
        if self._closing:
            if self._linger and current is None and now - self.idle_since >= LINGER_SECONDS:
                self._transport.abort()
        elif current is not None:
            if not current.complete and self._stalls.sends_too_slowly(
                current, now, limits.body_rate, held=self._held
            ):
                self.deafen()
                self._listener.conductor.unreadable(current, refusals.SLOW_BODY, now)
        elif self.busy_since:
            if now - self.busy_since >= limits.head_timeout:
                self._now = now
                self._refuse(refusals.SLOW_HEAD)
        elif now - self.idle_since >= limits.keep_alive:
            self._transport.close()
