"""Keys and words that the file will have one day, and what they will be.

Whoever writes one is told that it is not supported yet, instead of being told that it is a
typing error or, worse, nothing.
"""

from __future__ import annotations

KEYS = {
    "auth": "authentication of callers",
    "discovery": "discovery of endpoints",
    "jwt": "authentication of callers",
    "mirror": "mirroring of traffic",
    "mtls": "TLS",
    "outlier_detection": "outlier detection",
    "redirect": "redirects",
    "rewrite": "rewriting of requests",
    "split": "splitting of traffic",
    "tls": "TLS",
    "upgrade": "protocol upgrades",
    "upgrades": "protocol upgrades",
    "websocket": "protocol upgrades",
}
"""Unknown wherever they stand, so they need no place."""

VALUES = {
    ("load_balancer", "maglev"): "maglev",
    ("load_balancer", "consistent_hash"): "consistent hashing",
}
"""By the key they stand under."""


def key(path: tuple[str | int, ...]) -> str | None:
    """A sentence about the unknown key that ends `path`, if it will be known one day."""
    last = next((part for part in reversed(path) if isinstance(part, str)), "")
    what = KEYS.get(last)
    return f"not supported yet: {what}" if what else None


def value(path: tuple[str | int, ...], found: object) -> str | None:
    """A sentence about the word or number under `path`, if it will be known one day."""
    if not path or not isinstance(found, str):
        return None
    what = VALUES.get((str(path[-1]), found))
    return f"not supported yet: {what}" if what else None
