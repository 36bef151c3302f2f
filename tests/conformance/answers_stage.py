"""Plays a case without sockets: a client asks, the upstream misbehaves, another client asks.

Real protocols on fake transports. A play keeps what the first client saw and says whether the
next requests, on new and on kept connections, got their own right answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshproxy.core.route import Limits
from tests.conformance.answers_case import Case, End
from tests.conformance.answers_seen import Fate, Seen, look
from tests.e2e.harness.message import Reader
from tests.fakes import Client, FakeTransport, Stage

PATIENCE = 60.0
"""Virtual seconds; longer than every timeout."""


def asking(target: str, method: str = "GET", minor: int = 1) -> bytes:
    return f"{method} {target} HTTP/1.{minor}\r\nHost: a\r\n\r\n".encode()


def own_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Ear:
    """What a client hears, as a reader of whole answers; it never waits."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.reader = Reader(self._receive)

    def look(self, method: str = "GET") -> Seen:
        return look(self.reader, method)

    def _receive(self) -> bytes:
        transport = self.client.transport
        data = transport.take()
        if data:
            return data
        if transport.aborted:
            raise ConnectionResetError
        if transport.closed or transport.eof:
            return b""
        raise TimeoutError


class Play:
    """One stage, and the connection that misbehaves on it."""

    def __init__(
        self,
        *,
        reused: bool = False,
        minor: int = 1,
        method: str = "GET",
        behind: bytes = b"",
        policies: Sequence[object] = (),
    ) -> None:
        self.stage = Stage(policies, limits=Limits(), timeout=5.0, idle_timeout=5.0)
        self.method = method
        self.reused = reused
        if reused:
            assert self.ask_well("/before").fate is Fate.WHOLE
        self.client = self.stage.client()
        self.ear = Ear(self.client)
        self.client.says(asking("/faulty", method, minor) + behind)
        self.up = self.stage.connections[0] if reused else self.stage.connect()
        self.up.take()
        self.ended = False

    def says(self, pieces: Sequence[bytes]) -> None:
        """The upstream sends the pieces, as long as anyone reads them."""
        for piece in pieces:
            if not self.up.closed:
                self.stage.answer(self.up, piece)
        self._settle()

    def ends(self, end: End) -> None:
        if end is End.STAYS or self.ended:
            return
        self.ended = True
        error = ConnectionResetError() if end is End.RST and not self.up.closed else None
        if end is End.FIN and not self.up.closed:
            self.up.protocol.eof_received()
        self.stage.hang_up(self.up, error)

    def plays(self, case: Case, pieces: Sequence[bytes]) -> Seen:
        """All of a case; what the client saw."""
        self.says(pieces)
        self.ends(case.end)
        if case.is_silent and self.reused:  # the GET goes out again
            self.serve(self.stage.connect(), case.body)
        if case.waits:
            self.stage.time.pass_by(PATIENCE)
            self._settle()
        seen = self.ear.look(self.method)
        if case.late:
            self.says([case.late])
        return seen

    def ask_well(self, target: str, client: Client | None = None) -> Seen:
        """A request that the upstream answers as it should; on which connection is the pool's."""
        client = client or self.stage.client()
        written = {id(each): len(each.written) for each in self.stage.connections}
        client.says(asking(target))
        if self.stage.dials:
            self.serve(self.stage.connect(), target.encode())
        else:
            for each in self.stage.connections:
                if len(each.written) > written[id(each)]:
                    self.serve(each, target.encode())
        return Ear(client).look()

    def next_answers(self) -> list[Seen]:
        """What another client gets next, and the same one, if it is still connected."""
        seen = [self.ask_well("/next")]
        if not self.client.transport.closed and not self.client.transport.eof:
            seen.append(self.ask_well("/next", self.client))
        return seen

    def serve(self, up: FakeTransport, body: bytes) -> None:
        """The upstream answers whatever it was asked last."""
        up.take()
        self.stage.answer(up, own_answer(body))

    def _settle(self) -> None:
        """A loop would tell a connection that was closed on our side of its end."""
        if self.up.closed and not self.ended:
            self.ended = True
            self.stage.hang_up(self.up)
