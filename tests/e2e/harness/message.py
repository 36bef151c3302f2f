"""HTTP/1.1 messages as they came, byte for byte, with no opinion on their fields.

It reads heads and bodies from a blocking source and says when a message is cut; it is written
apart from the proxy's own parser so that the two cannot share a mistake. RFC 9112 sections 2-7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Fields = list[tuple[bytes, bytes]]


class TruncatedError(Exception):
    """The peer ended or reset the connection inside a message."""

    def __init__(self, message: Message | None, partial: bytes, reset: bool) -> None:
        super().__init__(f"cut after {partial[-200:]!r} (reset={reset})")
        self.message = message
        self.partial = partial
        self.reset = reset


@dataclass
class Message:
    """One request or response: its first line, its fields in order, its body, how it ended."""

    start: bytes
    fields: Fields
    head: bytes
    body: bytes = b""
    framing: str = "none"
    trailers: bytes = b""
    interim: list[Message] = field(default_factory=list)
    connection: int = 0

    @property
    def status(self) -> int:
        return int(self.start.split(b" ", 2)[1])

    @property
    def reason(self) -> bytes:
        return self.start.split(b" ", 2)[2]

    @property
    def method(self) -> str:
        return self.start.split(b" ")[0].decode()

    @property
    def target(self) -> str:
        return self.start.split(b" ")[1].decode()

    def all(self, name: str) -> list[str]:
        """Every value of the field, in order."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.fields if key.lower() == wanted]

    def get(self, name: str) -> str | None:
        """The only value of the field, or None; two are a failure."""
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def names(self) -> list[bytes]:
        return [name for name, _ in self.fields]


class Reader:
    """Reads messages from a function that gives the next bytes, b"" at the end.

    `receive` may raise ConnectionResetError; both ends of a cut are told apart in TruncatedError.
    """

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._buffer = bytearray()
        self._ended = False

    @property
    def unread(self) -> bytes:
        return bytes(self._buffer)

    def request(self) -> Message | None:
        """The next whole request, or None when the peer closed between two."""
        head = self.request_head()
        if head is not None:
            self.body_of_request(head)
        return head

    def request_head(self) -> Message | None:
        if not self._buffer and not self._more():
            return None
        return self._head()

    def body_of_request(self, message: Message) -> Message:
        self._read_body(message, close_delimited=False)
        return message

    def response(self, method: str = "GET") -> Message:
        """The next final response to a request of `method`; interim ones are kept beside it."""
        interim: list[Message] = []
        while True:
            message = self.response_head()
            if message.status >= 200 or message.status == 101:
                break
            interim.append(message)
        message.interim = interim
        if method != "HEAD" and message.status not in (101, 204, 304):
            self._read_body(message, close_delimited=True)
        return message

    def response_head(self) -> Message:
        if not self._buffer and not self._more():
            raise TruncatedError(None, b"", reset=False)
        return self._head()

    def take(self, most: int) -> bytes:
        """Up to `most` bytes as they come; b"" at the end."""
        if not self._buffer:
            self._more()
        piece = bytes(self._buffer[:most])
        del self._buffer[:most]
        return piece

    def ended(self) -> bool:
        """Whether the peer closes here: waits for one more read."""
        return not self._buffer and not self._more()

    def _head(self) -> Message:
        while b"\r\n\r\n" not in self._buffer:
            self._need(None)
        raw, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer[:] = rest
        start, *lines = raw.split(b"\r\n")
        fields = [_field(line) for line in lines]
        return Message(start, fields, raw + b"\r\n\r\n")

    def _read_body(self, message: Message, close_delimited: bool) -> None:
        coding = message.get("transfer-encoding")
        length = message.get("content-length")
        assert not (coding and length), f"both framings: {message.head!r}"
        if coding is not None:
            assert coding.lower() == "chunked", f"unknown coding: {message.head!r}"
            self._chunked(message)
        elif length is not None:
            self._exactly(message, int(length))
        elif close_delimited:
            self._until_close(message)

    def _exactly(self, message: Message, length: int) -> None:
        message.framing = "length"
        while len(self._buffer) < length:
            self._need(message)
        message.body = bytes(self._buffer[:length])
        del self._buffer[:length]

    def _until_close(self, message: Message) -> None:
        message.framing = "close"
        try:
            while self._more():
                pass
        except ConnectionError as reset:
            raise TruncatedError(message, bytes(self._buffer), reset=True) from reset
        message.body = bytes(self._buffer)
        self._buffer.clear()

    def _chunked(self, message: Message) -> None:
        message.framing = "chunked"
        parts: list[bytes] = []
        while size := int(self._line(message).partition(b";")[0], 16):
            while len(self._buffer) < size + 2:
                message.body = b"".join(parts)
                self._need(message)
            parts.append(bytes(self._buffer[:size]))
            assert self._buffer[size : size + 2] == b"\r\n", "chunk without its CRLF"
            del self._buffer[: size + 2]
        message.body = b"".join(parts)
        while line := self._line(message):
            message.trailers += line + b"\r\n"

    def _line(self, message: Message) -> bytes:
        while b"\r\n" not in self._buffer:
            self._need(message)
        line, _, rest = bytes(self._buffer).partition(b"\r\n")
        self._buffer[:] = rest
        return line

    def _need(self, message: Message | None) -> None:
        try:
            if self._more():
                return
        except ConnectionError as reset:
            raise TruncatedError(message, bytes(self._buffer), reset=True) from reset
        raise TruncatedError(message, bytes(self._buffer), reset=False)

    def _more(self) -> bool:
        if self._ended:
            return False
        received = self._receive()
        self._buffer += received
        self._ended = not received
        return bool(received)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    assert colon, f"a field line without a colon: {line!r}"
    return name, value.strip(b" \t")
