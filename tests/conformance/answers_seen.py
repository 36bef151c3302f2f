"""What a client saw of an answer, and whether a case allows it.

The judge reads with the reader of the end-to-end harness, which shares no code with the proxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.conformance.answers_case import Case, Fate
from tests.e2e.harness import Message, TruncatedError
from tests.e2e.harness.message import Reader

_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")


@dataclass(frozen=True)
class Seen:
    """One answer, as far as it came."""

    fate: Fate
    status: int = 0
    reason: str | None = None
    body: bytes = b""
    interim: tuple[int, ...] = ()
    head: bytes = b""


def look(reader: Reader, method: str = "GET") -> Seen:
    """Read one answer. The reader's source raises TimeoutError when it would wait for ever."""
    try:
        return _seen(Fate.WHOLE, reader.response(method))
    except TruncatedError as cut:
        message = cut.message
        if message is None:
            return Seen(Fate.NOTHING, body=cut.partial)
        if message.framing != "chunked":
            message.body = cut.partial
        return _seen(Fate.CUT, message)
    except TimeoutError:
        return Seen(Fate.HUNG, body=reader.unread)


def _seen(fate: Fate, message: Message) -> Seen:
    reason = message.get("x-meshproxy-reason")
    if reason is not None and fate is Fate.WHOLE:
        fate = Fate.REFUSED
    interim = tuple(early.status for early in message.interim)
    return Seen(fate, message.status, reason, message.body, interim, message.head)


def check(case: Case, seen: Seen) -> None:
    """Fail unless this is a right answer or an honest failure."""
    assert seen.fate in case.fates, seen
    assert b"poison" not in seen.head + seen.body, seen
    assert not _CONTROLS.search(seen.head), seen
    assert len(seen.interim) <= case.interim, seen
    if seen.fate is Fate.REFUSED:
        assert (seen.status, seen.reason) in case.told, seen
    elif seen.fate is Fate.WHOLE:
        assert (seen.status, seen.body) == (case.status, case.body), seen
    else:
        assert seen.status == case.status, seen
        assert case.body.startswith(seen.body), seen


def whole(data: bytes) -> list[bytes]:
    return [data] if data else []


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def splits(data: bytes) -> Iterator[list[bytes]]:
    """The data in two reads, for every place where it can be cut."""
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


def thirds(data: bytes) -> list[bytes]:
    """The data in three reads."""
    edges = sorted({0, len(data) // 3, 2 * len(data) // 3, len(data)})
    return [data[a:b] for a, b in pairwise(edges)]
