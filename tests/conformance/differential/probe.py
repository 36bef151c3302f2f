"""One case on a connection of its own, a canary behind it, and all the traces they left.

The canary is a request with a target of its own, sent in the same write: its answer must be its
own too. A sentinel on another connection comes last; once the origin has told of it, it has
told of everything before.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from tests.e2e.harness import Message, TruncatedError, eventually, fetch
from tests.e2e.harness.message import Reader
from tests.e2e.harness.ports import Address

from .witness import Understood, Witness

CANARY = b"/canary-"
SENTINEL = b"/sentinel-"
_AT_ONCE = 256 * 1024
_SENTINELS = 5
_MOST_ANSWERS = 20
_numbers = count(1)


@dataclass
class Trace:
    """What one case left: at the client, at the origin, and on the connections in between."""

    received: bytes
    closed: bool
    target: bytes
    """The canary's."""
    understood: list[Understood] = field(default_factory=list)
    """Whole requests at the origin, without the canary."""
    canaries: int = 0
    strange: list[bytes] = field(default_factory=list)
    """Bodies that answered a sentinel, and were not its own."""

    def answers(self, *methods: str) -> list[Message]:
        """The final answers, as far as they are whole; `methods` are those of the requests."""
        pieces = iter((self.received,))
        reader = Reader(lambda: next(pieces, b""))
        asked = (*methods, *("GET",) * _MOST_ANSWERS)
        return list(_whole(reader, asked[:_MOST_ANSWERS]))

    @property
    def status(self) -> int | None:
        """Of the first answer, if there is one."""
        start = self.received.partition(b"\r\n")[0].split(b" ")
        if not start[0].startswith(b"HTTP/1.") or len(start) < 2 or not start[1].isdigit():
            return None
        return int(start[1])


def _whole(reader: Reader, methods: Iterable[str]) -> Iterator[Message]:
    try:
        for method in methods:
            yield reader.response(method)
    except (TruncatedError, AssertionError, ValueError, IndexError):
        return


class Probe:
    """Sends cases to one address, and asks one witness about them.

    A connection on which nothing comes for `quiet` seconds is taken for silent. With `hangs_up`
    the client half-closes once it is refused: some proxies wait a second for that.
    """

    def __init__(
        self, address: Address, witness: Witness, quiet: float, *, hangs_up: bool = False
    ) -> None:
        self._address = address
        self._witness = witness
        self._quiet = quiet
        self._hangs_up = hangs_up

    def send(self, data: bytes) -> Trace:
        number = b"%d" % next(_numbers)
        before = len(self._witness.seen())
        trace = self._talk(data, CANARY + number)
        self._settle(trace, SENTINEL + number)
        for each in self._witness.seen()[before:]:
            if each.target == trace.target:
                trace.canaries += 1
            elif not each.target.startswith(SENTINEL):
                trace.understood.append(each)
        return trace

    def _talk(self, data: bytes, canary: bytes) -> Trace:
        trace = Trace(b"", False, canary)
        with socket.create_connection(self._address, self._quiet) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                client.sendall(data + b"GET " + canary + b" HTTP/1.1\r\nHost: canary\r\n\r\n")
            except OSError:
                pass  # refused before all was sent: the answer may be there
            try:
                self._read(client, trace)
            except TimeoutError:
                pass
            except ConnectionError:
                trace.closed = True
        return trace

    def _read(self, client: socket.socket, trace: Trace) -> None:
        """Until the canary's answer or the end."""
        while trace.target not in trace.received:
            piece = client.recv(_AT_ONCE)
            if not piece:
                trace.closed = True
                return
            trace.received += piece
            if self._hangs_up and (trace.status or 0) >= 400:
                _half_close(client)

    def _settle(self, trace: Trace, sentinel: bytes) -> None:
        """Wait until the origin has told everything; a stale pooled connection may cost a try."""
        for attempt in range(_SENTINELS):
            target = sentinel + b"-%d" % attempt
            body = self._answer_to(target)
            if body == target:
                eventually(partial(self._told, target), what="the sentinel's report")
                return
            if body is None:
                time.sleep(0.05)
            else:
                trace.strange.append(body)
        raise AssertionError(f"no sentinel came through after {trace!r}")

    def _answer_to(self, target: bytes) -> bytes | None:
        """The body of a 200; None where a connection of the proxy's had gone."""
        try:
            answer = fetch(self._address, target.decode())
        except (TruncatedError, OSError):
            return None
        return answer.body if answer.status == 200 else None

    def _told(self, target: bytes) -> bool:
        return any(seen.target == target for seen in reversed(self._witness.seen()))


def _half_close(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the peer has closed already
