"""A receiver of OTLP/HTTP, reached by aiohttp: one POST of a batch, and what it said.

Connects by itself and never through a proxy of the environment, which may be this very sidecar.
Follows no redirect, keeps no cookie and reads little of an answer. When to try again is the
courier's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from yarl import URL

from meshproxy import __version__
from meshproxy.control.courier import Body, Verdict
from meshproxy.core.spans import Delivery

AGAIN = frozenset({429, 502, 503, 504})
"""Statuses after which OTLP has the same batch sent again."""
MOST = 64 * 1024
"""Bytes of an answer that are read."""
LONGEST_WHY = 200


class HttpCollector:
    """One connection, kept as long as the receiver keeps it."""

    __slots__ = ("_session", "_wall")

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._session: ClientSession | None = None

    async def post(self, delivery: Delivery, body: Body) -> Verdict:
        """One try. Raises nothing for what the network or the receiver does."""
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=1),
                cookie_jar=DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
            )
        headers = {
            "user-agent": f"meshproxy/{__version__}",
            "accept-encoding": "identity",
            **delivery.headers,
            "content-type": "application/json",
            **({"content-encoding": "gzip"} if body.gzip else {}),
        }
        try:
            async with self._session.post(
                URL(delivery.url, encoded=True),
                data=body.data,
                headers=headers,
                timeout=ClientTimeout(total=delivery.timeout),
                allow_redirects=False,
            ) as response:
                said = await response.content.read(MOST)
                wait = response.headers.get("Retry-After")
                return self._verdict(response.status, wait, said)
        except TimeoutError:
            return Verdict(f"no answer within {delivery.timeout:g}s", again=True)
        except ClientConnectorError as error:
            return Verdict(f"cannot connect: {error.strerror or error.os_error}", again=True)
        except (ClientError, OSError, ValueError) as error:
            return Verdict(f"{type(error).__name__}: {error}"[:LONGEST_WHY], again=True)

    def _verdict(self, status: int, wait: str | None, said: bytes) -> Verdict:
        if 200 <= status < 300:
            return Verdict(rejected=rejected_of(said))
        why = f"it answered {status}"
        if status in AGAIN:
            return Verdict(why, again=True, retry_after=seconds_of(wait, self._wall()))
        return Verdict(why)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def seconds_of(retry_after: str | None, wall: float) -> float:
    """RFC 9110 section 10.2.3: seconds or a date; below zero where it says neither."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, OverflowError):
        return -1.0


def rejected_of(said: bytes) -> int:
    """`partialSuccess.rejectedSpans` of an answer; 0 where it says nothing of the kind."""
    try:
        answer = orjson.loads(said)
    except orjson.JSONDecodeError:
        return 0
    partial = answer.get("partialSuccess") if isinstance(answer, dict) else None
    count = partial.get("rejectedSpans") if isinstance(partial, dict) else None
    text = str(count)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
