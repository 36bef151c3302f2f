"""Requests with bad framing are refused and closed, and no origin ever sees one of them.

The corpus on real sockets, whole and byte by byte; tests/conformance cuts it in every other way.
RFC 9112 sections 3-7 and 11.2.
"""

from __future__ import annotations

import pytest

from tests.conformance import requests_refused
from tests.conformance.case import Case

from .harness import Client, Message, Origin, Sidecar

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
"""
SHORT = [case for case in requests_refused.ALL if len(case.data) < 4_000]


def refused(sidecar: Sidecar, pieces: list[bytes]) -> Message:
    """Send the pieces; the answer, after which the connection must be closed."""
    with Client(sidecar.inbound, timeout=5) as client:
        client.send_pieces(pieces)
        answer = client.response()
        assert client.closed_by_peer(), f"still open after {answer.start!r}"
    return answer


def check(case: Case, answer: Message, origin: Origin) -> None:
    assert answer.status in case.statuses, answer.head
    assert answer.get("x-meshproxy-reason") is not None
    assert answer.get("connection") == "close"
    assert origin.requests == []
    if not case.in_body:
        assert origin.received == 0


@pytest.mark.parametrize("case", requests_refused.ALL, ids=lambda case: case.name)
def test_a_bad_request_is_refused_and_closed(case: Case, sidecar: Sidecar, origin: Origin) -> None:
    check(case, refused(sidecar, [case.data]), origin)


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_it_is_refused_byte_by_byte_too(case: Case, sidecar: Sidecar, origin: Origin) -> None:
    pieces = [case.data[i : i + 1] for i in range(len(case.data))]
    check(case, refused(sidecar, pieces), origin)


def test_a_bad_request_behind_a_good_one_is_refused_alone(sidecar: Sidecar, origin: Origin) -> None:
    good = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
    bad = b"POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"
    with Client(sidecar.inbound) as client:
        client.send(good + bad + good)
        assert client.response().status == 200
        assert client.response().status == 400
        assert client.closed_by_peer()
    assert [seen.target for seen in origin.requests] == ["/good"]
