"""Messages between the supervisor and its workers: plain data, and sockets if need be.

A message is a length, JSON, and perhaps open descriptors beside its first byte. One side waits
for nobody: what does not fit into the socket is kept and goes with the next `flush`.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

MOST = 64 * 1024 * 1024
"""Bytes of one message; a larger one means that the other side is not what it seems."""

MOST_FILES = 64
"""Descriptors with one message; Linux takes up to 253."""

_LENGTH = struct.Struct("<IB")
_READ = 256 * 1024


class ClosedError(Exception):
    """The other side is gone."""


class Channel:
    """One end. `fileno` is for whoever waits until it can be read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(False)
        self._inbox = bytearray()
        self._files: list[int] = []
        self._outbox: list[tuple[bytes, Sequence[int]]] = []

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(here), cls(there)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()
        for fd in self._files:
            os.close(fd)
        self._files.clear()

    @property
    def unsent(self) -> int:
        return len(self._outbox)

    # Out

    def send(self, message: dict[str, Any], files: Sequence[int] = ()) -> None:
        """Put a message on its way. The files stay open here until it has left: `flush` says so."""
        data = orjson.dumps(message)
        self._outbox.append((_LENGTH.pack(len(data), len(files)) + data, tuple(files)))
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes. Raises ClosedError."""
        while self._outbox:
            data, files = self._outbox[0]
            rights = []
            if files:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
            try:
                sent = self._sock.sendmsg([data], rights)
            except BlockingIOError:
                return
            except OSError as error:
                raise ClosedError from error
            if sent < len(data):
                self._outbox[0] = (data[sent:], ())
            else:
                self._outbox.pop(0)

    # In

    def receive(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Every whole message that is here, with its descriptors, now ours. Raises ClosedError."""
        open_ = self._read()
        while len(self._inbox) >= _LENGTH.size:
            length, files = _LENGTH.unpack_from(self._inbox)
            if length > MOST:
                raise ClosedError
            end = _LENGTH.size + length
            if len(self._inbox) < end:
                break
            message = orjson.loads(self._inbox[_LENGTH.size : end])
            del self._inbox[:end]
            taken, self._files = self._files[:files], self._files[files:]
            yield message, taken
        if not open_:
            raise ClosedError

    def _read(self) -> bool:
        """Everything there is to read; False at the end."""
        room = socket.CMSG_SPACE(MOST_FILES * array.array("i").itemsize)
        while True:
            try:
                data, rights, _, _ = self._sock.recvmsg(_READ, room, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return True
            except OSError:
                return False
            for level, kind, payload in rights:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    files = array.array("i")
                    files.frombytes(payload[: len(payload) - len(payload) % files.itemsize])
                    self._files += files
            if not data:
                return False
            self._inbox += data
