"""`tap`: what passes through a running sidecar, one line per request, as it passes.

The sidecar chooses, redacts and formats; this reads lines and prints them: requests on standard
output, what is said about them on standard error.
"""

from __future__ import annotations

import json
import re
import socket
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from meshproxy.commands.remote import Address, admin_address, spelled

SILENCE = 20.0
"""Seconds without a sign of life after which the sidecar is given up; it gives one every 5."""
MOST_PENDING = 1024 * 1024
"""Bytes of a line that does not end."""

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAID = (b"#", b'{"event":"tap"')
"""How a line begins that is no request."""


class GoneError(OSError):
    """The sidecar has ended, or ended this; told without a traceback."""


def tap(options: Namespace) -> int:
    """Print requests until Ctrl-C, until `--limit`, or until the sidecar ends."""
    address = admin_address(options)
    form = options.format or ("text" if sys.stdout.isatty() else "json")
    path = "/tap" + _query(
        {
            "filter": options.filter,
            "sample": options.sample,
            "rate": options.rate,
            "limit": options.limit,
            "format": form,
        }
    )
    try:
        with _connected(address, options.timeout) as connection:
            return _follow(connection, address, path, options)
    except KeyboardInterrupt:
        return 0


def _follow(connection: socket.socket, address: Address, path: str, options: Namespace) -> int:
    # The name the admin port insists on, wherever the tunnel to it begins.
    connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    pieces = _pieces(connection, address)
    head, rest = b"", b""
    for piece in pieces:
        head, end, rest = (head + piece).partition(b"\r\n\r\n")
        if end or len(head) > MOST_PENDING:
            break
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", head)
    if not head:
        raise GoneError(f"the sidecar at {spelled(address)} has gone without an answer")
    if found is None:
        raise GoneError(f"what listens at {spelled(address)} does not speak HTTP")
    if found[1] != b"200":
        return _refused(rest + b"".join(pieces), found[1].decode(), options.filter or "")
    connection.settimeout(SILENCE)
    count = _print_all(rest, pieces)
    if options.limit and count >= int(options.limit):
        return 0
    raise GoneError(f"the sidecar at {spelled(address)} has ended this after {count} requests")


def _print_all(rest: bytes, pieces: Iterator[bytes]) -> int:
    """Print lines as they come, and count those that are requests."""
    count = 0
    while True:
        whole, end, rest = rest.rpartition(b"\n")
        requests = []
        for line in whole.split(b"\n") if end else ():
            if line.startswith(_SAID):
                print(_said(line), file=sys.stderr, flush=True)
            elif line:
                requests.append(line)
        if requests:
            count += len(requests)
            sys.stdout.write(b"\n".join([*requests, b""]).decode("ascii", "backslashreplace"))
            sys.stdout.flush()
        piece = next(pieces, b"") if len(rest) <= MOST_PENDING else b""
        if not piece:
            return count
        rest += piece


def _said(line: bytes) -> str:
    return line.decode("ascii", "backslashreplace")


def _refused(body: bytes, status: str, text: str) -> int:
    """Tell why not; where in the filter, if it is that."""
    try:
        told: Any = json.loads(body)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    print(f"meshproxy tap: {told.get('error') or f'status {status}'}", file=sys.stderr)
    if isinstance(told.get("position"), int):
        shown = text.replace("\n", " ").replace("\t", " ")
        print(f"  {shown}\n  {' ' * told['position']}^", file=sys.stderr)
    return 2 if status == "422" else 1


def _connected(address: Address, timeout: float) -> socket.socket:
    try:
        return socket.create_connection(address, timeout)
    except TimeoutError:
        raise GoneError(f"no answer from {spelled(address)} in {timeout:g} s") from None
    except OSError as error:
        why = error.strerror or error
        raise GoneError(f"cannot reach the sidecar at {spelled(address)}: {why}") from None


def _pieces(connection: socket.socket, address: Address) -> Iterator[bytes]:
    """What comes, as it comes; ends when the other side does, however it does."""
    while True:
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            waited = connection.gettimeout()
            raise GoneError(f"nothing from {spelled(address)} in {waited:g} s") from None
        except ConnectionError:
            return
        if not piece:
            return
        yield piece


def _query(words: dict[str, str | None]) -> str:
    pairs = [f"{name}={_escaped(value)}" for name, value in words.items() if value is not None]
    return "?" + "&".join(pairs)


def _escaped(text: str) -> str:
    """As RFC 3986 has it, without the 8 ms that importing a library for it takes."""
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw)
