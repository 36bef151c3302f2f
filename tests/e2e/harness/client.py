"""A raw client: sends the bytes it is given, in the pieces it is told, and reads what comes.

It knows no rule of HTTP about what may be sent; what it reads is judged by message.Reader.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from .message import Message, Reader, TruncatedError
from .ports import Address

_AT_ONCE = 256 * 1024


class Client:
    """One connection to the proxy; closes with the `with` block.

    `timeout` seconds bound every single read and write, so a hung proxy fails the test; `source`
    is the loopback address that it comes from.
    """

    def __init__(
        self,
        address: Address,
        timeout: float = 10.0,
        receive_buffer: int = 0,
        source: str = "127.0.0.1",
    ) -> None:
        self._socket = socket.socket()
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(timeout)
        try:
            if source != "127.0.0.1":
                self._socket.bind((source, 0))
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(lambda: self._socket.recv(_AT_ONCE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def local(self) -> Address:
        host, port = self._socket.getsockname()
        return host, port

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_pieces(self, pieces: Iterable[bytes]) -> None:
        """Send each piece in a write of its own; stop quietly when either side has closed."""
        try:
            for piece in pieces:
                self._socket.sendall(piece)
        except OSError:
            pass

    def send_bytewise(self, data: bytes) -> None:
        self.send_pieces(data[i : i + 1] for i in range(len(data)))

    def response(self, method: str = "GET") -> Message:
        return self.reader.response(method)

    def ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Message:
        """One plain request and its response on this connection."""
        self.send(request(method, target, headers, body))
        return self.response(method)

    def closed_by_peer(self) -> bool:
        """Whether the peer ends (or resets) the connection here, with no byte before it."""
        try:
            return self.reader.ended()
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave with RST instead of FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._socket.close()


def request(
    method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    """The bytes of a well-formed request; a Host and a Content-Length are added when missing."""
    given = dict(headers or {})
    names = {name.lower() for name in given}
    if "host" not in names:
        given = {"Host": "service.test", **given}
    if body and not names & {"content-length", "transfer-encoding"}:
        given["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def fetch(
    address: Address,
    target: str = "/",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    timeout: float = 10.0,
) -> Message:
    """One request on a connection of its own."""
    with Client(address, timeout) as client:
        return client.ask(method, target, headers, body)


__all__ = ["Client", "TruncatedError", "fetch", "request"]
