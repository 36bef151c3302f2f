"""What the tests of the cache stand on: a stage with the policy, and an upstream played by hand.

No socket, no loop, and a clock that moves when told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from meshproxy.core.exchange import Peer
from meshproxy.policies.cache import CacheSpec
from meshproxy.policies.cache_store import Counts, Store
from meshproxy.policies.fallback import FallbackSpec
from tests.fakes import Client, FakeTransport, Stage

from .limits_scene import Scene

FRESH = "Cache-Control: max-age=60"
TAGGED = 'ETag: "a"'


def get(target: str = "/", *fields: str, method: str = "GET") -> bytes:
    lines = "".join(f"{field}\r\n" for field in ("Host: host", *fields))
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()


def answer(*fields: str, status: int = 200, body: str = "one") -> bytes:
    length = () if status in (204, 304) else (f"Content-Length: {len(body)}",)
    lines = "".join(f"{field}\r\n" for field in (*fields, *length))
    return f"HTTP/1.1 {status} Fine\r\n{lines}\r\n{'' if status in (204, 304) else body}".encode()


class Told:
    """An answer as a caller heard it."""

    def __init__(self, data: bytes) -> None:
        head, _, body = data.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        self.status = int(start.split()[1]) if data else 0
        self.body = body.decode()
        pairs = [line.split(":", 1) for line in lines]
        self.fields = {name.lower(): value.strip() for name, value in pairs}
        assert len(self.fields) == len(pairs), f"a field twice: {lines}"

    def __eq__(self, other: object) -> bool:
        return (self.status, self.cache, self.body) == other

    def __hash__(self) -> int:
        return hash(self.body)

    def __repr__(self) -> str:
        return repr((self.status, self.cache, self.body, self.fields))

    @property
    def cache(self) -> str | None:
        return self.fields.get("x-cache")


class Play:
    """One route with a cache."""

    def __init__(
        self, trusted: bool = True, beside: tuple[Any, ...] = (), endpoints: int = 1,
        fallback: dict[str, Any] | None = None, **spec: Any,
    ) -> None:  # fmt: skip
        self.scene = Scene()
        other = fallback and {"fallback": FallbackSpec.model_validate(fallback)}
        scope = replace(self.scene.scope(), beside=(other or {}).get)
        self.policy = CacheSpec.model_validate(spec).build(scope)
        self.stage = Stage([self.policy, *beside], endpoints=endpoints)
        if not trusted:
            self.stage.listener.peer = Peer("127.0.0.1", False, b"")
        self.time = self.stage.time

    @property
    def store(self) -> Store:
        return self._cell(Store)

    @property
    def counts(self) -> dict[str, int]:
        return {key[2]: count for key, count in self._cell(Counts).counts.items()}

    def _cell(self, kind: type[Any]) -> Any:
        return next(cell for cell in self.scene.draft.used.values() if isinstance(cell, kind))

    def ask(self, *request: str, method: str = "GET") -> Client:
        client = self.stage.client()
        client.says(get(*(request or ("/",)), method=method))
        return client

    def asked(self) -> bytes:
        """The next request that the upstream gets; empty if there is none."""
        self._connect()
        for up in self.stage.connections:
            if up.written and not up.closed:
                self.up: FakeTransport = up
                return up.take()
        return b""

    def _connect(self) -> None:
        while self.stage.dials:
            self.stage.connect()

    def answers(self, data: bytes) -> None:
        """What the upstream says to that request."""
        self.stage.answer(self.up, data)

    def fetch(self, data: bytes, *request: str, method: str = "GET") -> Told:
        """A request that must reach the upstream, its answer, and what the caller hears."""
        client = self.ask(*request, method=method)
        assert self.asked(), "the upstream was not asked"
        self.answers(data)
        return Told(client.hears())

    def hit(self, *request: str, method: str = "GET") -> Told:
        """What the caller hears of a request that must not reach the upstream."""
        client = self.ask(*request, method=method)
        assert not self.asked(), "the upstream was asked"
        return Told(client.hears())

    def at_rest(self) -> bool:
        """Nothing is remembered of exchanges that have ended."""
        policy: Any = self.policy
        flights = policy._flights
        return not any(
            (
                self.stage.counts.in_flight,
                policy._asking,
                policy._renewals,
                policy._renewed_for,
                flights._by_key,
                flights._leads,
                flights._held,
                self.store.pending,
            )
        )
