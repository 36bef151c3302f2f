"""An upstream that follows a script, byte by byte, and remembers everything that it was sent.

A script is a function of one connection, written as a plain sequence: read, send, wait, cut.
It may be changed between requests; it decides nothing by itself.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .message import Message, Reader, TruncatedError
from .ports import LOOPBACK, free_port
from .waiting import eventually

Script = Callable[["Conversation"], None]
_AT_ONCE = 256 * 1024


def reply(
    status: int = 200,
    body: bytes = b"ok",
    headers: dict[str, str] | None = None,
    reason: str = "Fine",
) -> bytes:
    """The bytes of a response with a Content-Length."""
    given = {"Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode("latin-1") + body


def answering(answer: Callable[[Message], bytes] | bytes) -> Script:
    """A keep-alive server: each whole request gets the bytes, or what the function makes of it."""

    def script(peer: Conversation) -> None:
        while (message := peer.request()) is not None:
            peer.send(answer if isinstance(answer, bytes) else answer(message))

    return script


class Conversation:
    """One accepted connection, in the hands of the script."""

    def __init__(self, origin: Origin, accepted: socket.socket, number: int) -> None:
        self._origin = origin
        self._socket = accepted
        self.number = number
        self.received = 0
        self.sent = 0
        self.closed_by_peer = threading.Event()
        self.reader = Reader(self._receive)

    def request(self) -> Message | None:
        """The next whole request, recorded; None when the peer has left."""
        try:
            message = self.reader.request()
        except TruncatedError as cut:
            self._origin.cut_requests.append(cut)
            return None
        if message is not None:
            self._record(message)
        return message

    def head(self) -> Message | None:
        """The head of the next request, recorded with no body."""
        message = self.reader.request_head()
        if message is not None:
            self._record(message)
        return message

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), _AT_ONCE):
            piece = data[start : start + _AT_ONCE]
            self._socket.sendall(piece)
            self.sent += len(piece)

    def send_bytewise(self, data: bytes) -> None:
        for i in range(len(data)):
            self.send(data[i : i + 1])

    def finish(self) -> None:
        """Half-close: FIN after what was sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """RST at once."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def until_left(self) -> None:
        """Read and drop until the peer closes."""
        while self._receive():
            pass

    def close(self) -> None:
        self._socket.close()

    def part(self, how: int) -> None:
        """From another thread: half-close, or wake whatever blocks."""
        try:
            self._socket.shutdown(how)
        except OSError:
            pass

    def _record(self, message: Message) -> None:
        message.connection = self.number
        self._origin.requests.append(message)

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(_AT_ONCE)
        except ConnectionResetError:
            data = b""
        self.received += len(data)
        if not data:
            self.closed_by_peer.set()
        return data


class Origin:
    """A TCP server on loopback; every connection runs `script` in a thread of its own."""

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        self.script: Script = script or answering(reply())
        self.conversations: list[Conversation] = []
        self.requests: list[Message] = []
        self.cut_requests: list[TruncatedError] = []
        self._threads: list[threading.Thread] = []
        self._own: tuple[str, int] | None = None
        self._passed = threading.Event()
        self._listener = socket.create_server((LOOPBACK, port or free_port()), backlog=512)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @classmethod
    @contextmanager
    def running(cls, script: Script | None = None, port: int = 0) -> Iterator[Origin]:
        origin = cls(script, port)
        try:
            yield origin
        finally:
            origin.stop()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def received(self) -> int:
        """Bytes that reached this origin since it was last forgotten."""
        return sum(each.received for each in self.conversations)

    @property
    def last(self) -> Message:
        return self.requests[-1]

    def forget(self, script: Script | None = None) -> None:
        """End every connection, forget what was seen, and follow another script from here on.

        A half-close first, and then a wait for the peer's own: once this returns, the proxy
        cannot pick a connection that has ended.
        """
        self._accept_what_waits()
        for how, patience in ((socket.SHUT_WR, 1.0), (socket.SHUT_RDWR, 5.0)):
            for each in list(self.conversations):
                each.part(how)
            for thread in self._threads:
                thread.join(patience)
            self._threads = [each for each in self._threads if each.is_alive()]
        self.conversations.clear()
        self.requests.clear()
        self.cut_requests.clear()
        self.script = script or answering(reply())

    def _accept_what_waits(self) -> None:
        """A connection of our own is accepted after those that were made before it."""
        if not self._acceptor.is_alive():
            return
        with socket.socket() as own:
            own.bind((LOOPBACK, 0))
            self._own = own.getsockname()
            self._passed.clear()
            own.connect((LOOPBACK, self.port))
            assert self._passed.wait(5.0)

    def met(self) -> Conversation:
        """The latest connection, once there is one: a tunnel stands before it is accepted here."""
        return eventually(lambda: self.conversations, what="a connection")[-1]

    def saw(self, requests: int, within: float = 5.0) -> list[Message]:
        """Wait until so many requests have arrived."""
        eventually(lambda: len(self.requests) >= requests, within, f"request {requests}")
        return self.requests

    def stop(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._acceptor.join(5)
        self._listener.close()
        self.forget()

    def _accept(self) -> None:
        while True:
            try:
                accepted, peer = self._listener.accept()
            except OSError:
                return
            if peer == self._own:
                accepted.close()
                self._passed.set()
                continue
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conversation = Conversation(self, accepted, len(self.conversations))
            self.conversations.append(conversation)
            thread = threading.Thread(target=self._converse, args=(conversation,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _converse(self, conversation: Conversation) -> None:
        try:
            self.script(conversation)
        except OSError:
            pass  # the peer left in the middle: what was received says when
        finally:
            conversation.close()
