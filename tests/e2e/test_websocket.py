"""WebSocket as its users have it: a real client and a real server, and the sidecar unseen.

Every test goes inbound and outbound. What the proxy must not understand (frames, compression,
fragments) is the library's to judge; what only raw bytes can show is in test_upgrades.py.
"""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from .harness import Sidecar, eventually, free_port

websockets = pytest.importorskip("websockets", reason="websockets is missing: pip install it")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import ClientConnection, connect  # noqa: E402
from websockets.sync.server import ServerConnection, serve  # noqa: E402

CONFIG = """
inbound: {listen: <inbound>, app: http://<app>, timeout: 300ms}
outbound: {listen: <outbound>, services: {chat: {endpoints: [<app>], timeout: 300ms}}}
"""
MIB = 1024 * 1024
GIB = 1024 * MIB
GROWTH = 16 * MIB
PATIENCE = 10

Talk = Callable[[ServerConnection], None]


def echo(peer: ServerConnection) -> None:
    for message in peer:
        peer.send(message)


class Server:
    """The library's server; `talk` may be changed between connections."""

    def __init__(self) -> None:
        self.talk: Talk = echo
        self.refusal: int | None = None
        self.peers: list[ServerConnection] = []
        self.port = free_port()
        self._server = serve(
            self._converse,
            "127.0.0.1",
            self.port,
            process_request=self._judge,
            select_subprotocol=self._choose,
            max_size=None,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _judge(self, peer: ServerConnection, _: object) -> Any:
        if self.refusal is None:
            return None
        return peer.respond(self.refusal, f"no: {self.refusal}")

    def _choose(self, _: object, offered: Sequence[Any]) -> Any:
        return max(offered, default=None)

    def _converse(self, peer: ServerConnection) -> None:
        self.peers.append(peer)
        self.talk(peer)

    def forget(self) -> None:
        self.talk, self.refusal = echo, None
        self.peers.clear()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Server, Sidecar]]:
    server = Server()
    try:
        with Sidecar.running(CONFIG, app=f"127.0.0.1:{server.port}") as sidecar:
            yield server, sidecar
    finally:
        server.stop()


@pytest.fixture
def server(running: tuple[Server, Sidecar]) -> Iterator[Server]:
    yield running[0]
    running[0].forget()


@pytest.fixture
def sidecar(running: tuple[Server, Sidecar]) -> Sidecar:
    return running[1]


Dial = Callable[..., Any]


@pytest.fixture(params=["inbound", "outbound"])
def dial(request: pytest.FixtureRequest, sidecar: Sidecar, server: Server) -> Dial:
    """How a client reaches the server: `with dial(option=...) as chat`."""
    address = getattr(sidecar, request.param)

    @contextmanager
    def connected(**options: Any) -> Iterator[ClientConnection]:
        raw = socket.create_connection(address, PATIENCE)
        raw.settimeout(None)
        with connect("ws://chat/room", sock=raw, proxy=None, max_size=None, **options) as chat:
            yield chat

    return connected


def seen(server: Server) -> ServerConnection:
    return eventually(lambda: server.peers, what="a connection")[-1]


def test_what_is_said_comes_back(dial: Dial) -> None:
    with dial() as chat:
        for message in ("hello", "", "\N{SNOWMAN}" * 1000, b"", bytes(range(256)) * 4000):
            chat.send(message)
            assert chat.recv(PATIENCE) == message


def test_compression_is_agreed_on_and_works(dial: Dial, server: Server) -> None:
    with dial(compression="deflate") as chat:
        text = "compress me " * 10_000
        chat.send(text)
        assert chat.recv(PATIENCE) == text
        agreed = chat.response.headers["Sec-WebSocket-Extensions"]
        assert agreed.startswith("permessage-deflate")
        assert len(seen(server).protocol.extensions) == 1


def test_without_compression_none_is_agreed_on(dial: Dial, server: Server) -> None:
    with dial(compression=None) as chat:
        assert "Sec-WebSocket-Extensions" not in chat.response.headers
        assert "Sec-WebSocket-Extensions" not in seen(server).request.headers


def test_the_subprotocol_is_the_servers_choice(dial: Dial, server: Server) -> None:
    with dial(subprotocols=["chat.v1", "chat.v2", "chat.v0"]) as chat:
        assert chat.subprotocol == seen(server).subprotocol == "chat.v2"


def test_fragments_stay_fragments(dial: Dial, server: Server) -> None:
    heard: list[list[bytes]] = []
    done = threading.Event()

    def listen(peer: ServerConnection) -> None:
        heard.append(list(peer.recv_streaming()))
        done.set()
        peer.send(iter([b"x", b"", b"yz" * 100_000]))

    server.talk = listen
    with dial(compression=None) as chat:
        chat.send(iter([b"a", b"bc", b"d" * 100_000]))
        assert done.wait(PATIENCE)
        assert [len(part) for part in heard[0] if part] == [1, 2, 100_000]
        assert b"".join(chat.recv_streaming()) == b"x" + b"yz" * 100_000


def test_pings_are_answered_by_the_far_side_both_ways(dial: Dial, server: Server) -> None:
    with dial() as chat:
        assert chat.ping(b"from the client").wait(PATIENCE)
        assert seen(server).ping(b"from the server").wait(PATIENCE)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4999])
def test_the_clients_close_code_reaches_the_server(dial: Dial, server: Server, code: int) -> None:
    with dial() as chat:
        peer = seen(server)
        chat.close(code, f"because {code}")
    eventually(lambda: peer.close_code is not None, what="the close")
    assert (peer.close_code, peer.close_reason) == (code, f"because {code}")


@pytest.mark.parametrize("code", [1000, 1003, 1012, 3999, 4000])
def test_the_servers_close_code_reaches_the_client(dial: Dial, server: Server, code: int) -> None:
    server.talk = lambda peer: peer.close(code, f"because {code}")
    with dial() as chat:
        with pytest.raises(ConnectionClosed):
            chat.recv(PATIENCE)
        assert (chat.close_code, chat.close_reason) == (code, f"because {code}")


@pytest.mark.parametrize("status", [200, 401, 403, 404, 426, 503])
def test_a_refused_upgrade_is_the_servers_own_answer(
    dial: Dial, server: Server, status: int
) -> None:
    server.refusal = status
    with pytest.raises(InvalidStatus) as refused, dial():
        pass
    answer = refused.value.response
    assert (answer.status_code, answer.body.strip()) == (status, f"no: {status}".encode())


def test_the_server_sees_where_the_client_comes_from(dial: Dial, server: Server) -> None:
    with dial() as chat:
        headers = seen(server).request.headers
        assert headers["X-Forwarded-For"] == "127.0.0.1"
        assert headers["Traceparent"]
        assert headers["X-Request-Id"] == chat.response.headers["X-Request-Id"]


def test_a_tunnel_outlives_the_timeout_of_a_call(dial: Dial) -> None:
    with dial() as chat:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                chat.recv(0.3)  # nothing is said for as long as a whole call may take
            chat.send("still there")
            assert chat.recv(PATIENCE) == "still there"


def test_a_tunnel_survives_a_reload(dial: Dial, sidecar: Sidecar) -> None:
    with dial() as chat:
        chat.send("before")
        assert chat.recv(PATIENCE) == "before"
        sidecar.write(CONFIG.replace("300ms", "301ms"))
        assert sidecar.reload().status == 200
        sidecar.write(CONFIG)
        assert sidecar.reload().status == 200
        chat.send("after")
        assert chat.recv(PATIENCE) == "after"


def test_a_tunnel_survives_the_end_of_its_service(sidecar: Sidecar, server: Server) -> None:
    raw = socket.create_connection(sidecar.outbound, PATIENCE)
    with connect("ws://chat/", sock=raw, proxy=None) as chat:
        sidecar.write(CONFIG.replace("chat: {endpoints: [<app>]", "gone: {endpoints: [<other>]"))
        assert sidecar.reload().status == 200
        try:
            chat.send("after")
            assert chat.recv(PATIENCE) == "after"
        finally:
            sidecar.write(CONFIG)
            assert sidecar.reload().status == 200


def test_many_tunnels_at_once_do_not_mix(dial: Dial) -> None:
    def chatter(number: int) -> None:
        with dial() as chat:
            for turn in range(20):
                chat.send(f"{number} says {turn}")
                heard.append(chat.recv(PATIENCE) == f"{number} says {turn}")

    heard: list[bool] = []
    threads = [threading.Thread(target=chatter, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == [True] * 400


@pytest.fixture
def flat(sidecar: Sidecar) -> Iterator[None]:
    """The proxy's memory does not grow during the test."""
    sidecar.forget_peak()
    before = sidecar.rss()
    yield
    grown = sidecar.peak_rss() - before
    assert grown < GROWTH, f"it grew by {grown / MIB:.1f} MiB"


@pytest.mark.slow
def test_a_gibibyte_passes_one_tunnel_unchanged(
    sidecar: Sidecar, server: Server, flat: None
) -> None:
    sent, received = hashlib.sha256(), hashlib.sha256()
    pieces = [bytes(i * step % 251 for i in range(MIB)) for step in (3, 5, 7, 11)]

    def pour(peer: ServerConnection) -> None:
        for number in range(GIB // MIB):
            piece = pieces[number % 4]
            sent.update(piece)
            peer.send(piece)

    server.talk = pour
    raw = socket.create_connection(sidecar.inbound, PATIENCE)
    count = 0
    with connect(
        "ws://chat/", sock=raw, proxy=None, max_size=None, compression=None, ping_interval=None
    ) as chat:
        for message in chat:
            received.update(message)
            count += len(message)
    assert (count, received.digest()) == (GIB, sent.digest())
