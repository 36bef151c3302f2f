"""What the end-to-end tests are built from: a sidecar, a scripted origin, a raw client.

All of it is threads and blocking sockets, so that a test reads from top to bottom; nothing here
knows how the proxy works inside.
"""

from __future__ import annotations

from .client import Client, fetch
from .message import Message, TruncatedError
from .origin import Conversation, Origin, answering, reply
from .ports import BlackHole, closed_port, free_port
from .sidecar import Sidecar
from .waiting import eventually, lasting

__all__ = [
    "BlackHole",
    "Client",
    "Conversation",
    "Message",
    "Origin",
    "Sidecar",
    "TruncatedError",
    "answering",
    "closed_port",
    "eventually",
    "fetch",
    "free_port",
    "lasting",
    "reply",
]
