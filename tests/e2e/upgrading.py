"""Raw halves of a WebSocket upgrade, for tests that send no real frame."""

from __future__ import annotations

from .harness import Client, Conversation
from .harness.origin import Script

AT_ONCE = 1024 * 1024
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def ask(path: str = "/", version: str = "1.1", method: str = "GET", **changed: str | None) -> bytes:
    """The head of an upgrade; `changed` fields have `_` for `-`, and None takes one away."""
    fields = {**UPGRADE, **{name.replace("_", "-"): value for name, value in changed.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n{lines}\r\n".encode()


def switching(then: Script, before: bytes = b"") -> Script:
    """The origin's part: agree to the upgrade, and talk."""

    def script(peer: Conversation) -> None:
        if peer.head() is not None:
            peer.send(before + SWITCH)
            then(peer)

    return script


def echo(peer: Conversation) -> None:
    while said := peer.reader.take(AT_ONCE):
        peer.send(said)


def exactly(client: Client, size: int) -> bytes:
    got = b""
    while len(got) < size and (piece := client.reader.take(size - len(got))):
        got += piece
    return got
