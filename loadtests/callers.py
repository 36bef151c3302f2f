"""The client of every scenario: keeps its connections, tries nothing twice, and says what it got.

What is asked, and what is right, is the scenarios' to know (`locustfile`).
"""

from __future__ import annotations

from typing import Any

from geventhttpclient import HTTPClient
from geventhttpclient.client import HTTPClientPool
from geventhttpclient.url import URL
from locust import FastHttpUser, constant_throughput
from locust.contrib.fasthttp import LocustUserAgent, ResponseContextManager
from locust.env import Environment

from loadtests.judging import CLOSED, note


class Once(HTTPClientPool):
    """Clients that send no request a second time when a connection dies under it.

    They note kept connections that were closed between two requests, with no word of it before.
    """

    def get_client(self, url: str | URL) -> HTTPClient:
        client = super().get_client(url)
        # An idempotent request is sent up to `size + 1` times more, and there is no option for
        # it; nothing else reads this number once the pool is made. Nor is there one to be told.
        pool = client._connection_pool  # noqa: SLF001 - see above
        if pool.size >= 0:
            pool.size = -1
            is_alive = pool._is_socket_alive  # noqa: SLF001 - see above
            pool._is_socket_alive = lambda sock: kept(is_alive(sock))  # type: ignore[method-assign]  # noqa: SLF001 - see above
        return client


def kept(is_alive: bool) -> bool:
    """Asked of a connection that is wanted again."""
    if not is_alive:
        note(CLOSED)
    return is_alive


class Agent(LocustUserAgent):
    """Takes each status for an answer and reads it to its end: what is right is ours to say."""

    valid_response_codes = frozenset(range(200, 600))


class Caller(FastHttpUser):
    """A client with kept-alive connections to both listeners; each call is one request."""

    abstract = True
    wait_time = constant_throughput(25)
    connection_timeout = 5.0
    network_timeout = 10.0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        made = self.client.client
        once = Once(**made.clientpool.client_args)
        self.client.client = Agent(once, max_retries=0, max_redirects=0)

    @classmethod
    def problems(cls, users: int, seconds: float) -> list[str]:  # most have none
        """What the scenario is about and did not see, although no single answer was wrong."""
        return []

    def outbound(self, path: str) -> str:
        return f"{self.environment.parsed_options.outbound}{path}"

    def expect(self, method: str, url: str, status: int, says: bytes = b"", **more: Any) -> None:
        """One request that must end with this status, and say this somewhere in its body."""
        with self.client.request(method, url, catch_response=True, **more) as reply:
            if reply.status_code != status:
                reply.failure(describe(reply))
            elif says not in (reply.content or b""):
                reply.failure(f"status {status} with another body: {reply.content!r:.80}")


def field(reply: ResponseContextManager, name: str) -> str | None:
    """A header of an answer; an answer that never came has none."""
    found = None if reply.headers is None else reply.headers.get(name)
    return None if found is None else str(found)


def describe(reply: ResponseContextManager) -> str:
    """An unexpected answer, in a line."""
    if reply.status_code == 0:
        return f"no answer: {getattr(reply, 'error', None)!r}"
    return f"status {reply.status_code}, reason {field(reply, 'x-meshproxy-reason')}"
