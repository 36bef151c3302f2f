"""A stream of server-sent events from the admin port, over one raw socket.

Reads what /live tells and nothing more of the format than that needs. Whatever goes wrong is an
OSError in words for people.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Generator
from typing import Any

from meshproxy.commands.remote import Address, spelled

MAX_EVENT = 16 * 1024 * 1024
"""More than a thousand routes and as many endpoints take."""


def events(address: Address, path: str, patience: float) -> Generator[dict[str, Any], None, None]:
    """Each event's data, until the sidecar ends it; `patience` seconds bound every silence."""
    where = spelled(address)
    try:
        with socket.create_connection(address, patience) as connection:
            # HTTP/1.0, so that there are no chunks. The name is the one the port insists on.
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            yield from _read(connection, where)
    except TimeoutError:
        raise OSError(f"no word from the sidecar at {where} for {patience:g} s") from None
    except ConnectionRefusedError:
        raise OSError(f"cannot reach the sidecar at {where}: nobody listens there") from None
    except ConnectionError as error:
        raise OSError(f"the sidecar at {where} has gone: {error.strerror or error}") from None


def _read(connection: socket.socket, where: str) -> Generator[dict[str, Any], None, None]:
    head, rest = _until(connection, b"", b"\r\n\r\n", where)
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", head)
    if found is None:
        raise OSError(f"what listens at {where} does not speak HTTP")
    if found[1] != b"200":
        raise OSError(_refusal(connection, rest) or f"{where} answered {found[1].decode()}")
    while True:
        event, rest = _until(connection, rest, b"\n\n", where)
        for line in event.split(b"\n"):
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def _until(connection: socket.socket, begun: bytes, end: bytes, where: str) -> tuple[bytes, bytes]:
    """Everything up to `end`, and what came after it."""
    pieces = bytearray(begun)
    looked = 0
    while (place := pieces.find(end, looked)) < 0:
        looked = max(0, len(pieces) - len(end))
        piece = connection.recv(262144)
        if not piece:
            raise OSError(f"the sidecar at {where} has ended")
        pieces += piece
        if len(pieces) > MAX_EVENT:
            raise OSError(f"what {where} tells has no end")
    return bytes(pieces[:place]), bytes(pieces[place + len(end) :])


def _refusal(connection: socket.socket, rest: bytes) -> str:
    """What a body says that is no stream."""
    while len(rest) < 65536 and (piece := connection.recv(65536)):
        rest += piece
    try:
        told = json.loads(rest)
    except ValueError:
        return ""
    return str(told.get("error", "")) if isinstance(told, dict) else ""
