"""A raw origin that takes anything for a request, remembers it whole, and answers its target.

It stands behind the proxies that are compared, so it must see what even they let through: it
has no opinion on fields, the last of two framings wins, and what makes no sense ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.e2e.harness import Conversation, Origin, reply

from .witness import Understood

_AT_ONCE = 65536


class Recorder:
    """The origin and its list of whole requests."""

    def __init__(self) -> None:
        self._seen: list[Understood] = []
        self._origin = Origin(self._converse)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Recorder]:
        recorder = cls()
        try:
            yield recorder
        finally:
            recorder._origin.stop()

    @property
    def port(self) -> int:
        return self._origin.port

    @property
    def address(self) -> str:
        return self._origin.address

    def seen(self) -> list[Understood]:
        return list(self._seen)

    def _converse(self, peer: Conversation) -> None:
        reader = _Reader(lambda: peer.reader.take(_AT_ONCE), peer.send)
        while (request := reader.request()) is not None:
            self._seen.append(request)
            answer = reply(200, request.target)
            # RFC 9112 section 6.3: no body follows an answer to HEAD, whatever its length says.
            peer.send(answer if request.method != "HEAD" else answer.removesuffix(request.target))


class _Reader:
    """Requests out of bytes, as leniently as can be."""

    def __init__(self, more: Callable[[], bytes], send: Callable[[bytes], None]) -> None:
        self._more = more
        self._send = send
        self._buffer = b""

    def request(self) -> Understood | None:
        """The next whole request; None when the peer ends, or when nothing can be made of it."""
        try:
            start, *lines = self._until(b"\r\n\r\n").split(b"\r\n")
            fields = dict(_field(line) for line in lines)
            if fields.get(b"expect", b"").lower() == b"100-continue":
                self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self._body(fields)
        except (EOFError, ValueError):
            return None
        method, target, *_ = (*start.split(b" "), b"")
        return Understood(method.decode("latin-1"), target, fields.get(b"host", b""), body)

    def _body(self, fields: dict[bytes, bytes]) -> bytes:
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            return b"".join(self._chunks())
        return self._exactly(int(fields.get(b"content-length", b"0")))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n").partition(b";")[0], 16):
            yield self._exactly(size)
            self._exactly(2)
        while self._until(b"\r\n"):
            pass  # a trailer

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._need()
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._need()
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found

    def _need(self) -> None:
        piece = self._more()
        if not piece:
            raise EOFError
        self._buffer += piece


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()
