"""Bad requests are refused and closed, and no origin ever sees one; good ones arrive as meant.

Both corpora on real sockets, whole and byte by byte; tests/conformance cuts them in every other
way. RFC 9112 sections 3-7 and 11.2.
"""

from __future__ import annotations

import pytest

from tests.conformance import requests_refused, requests_taken
from tests.conformance.case import Case
from tests.conformance.taken import Taken

from .harness import Client, Message, Origin, Sidecar, answering, reply

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
"""
TAKEN = pytest.mark.parametrize("case", requests_taken.ALL, ids=lambda case: case.name)
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


def goes_on(case: Taken, pieces: list[bytes], sidecar: Sidecar, origin: Origin) -> None:
    """Every request that was meant arrives, each is answered, and no other arrives."""
    with Client(sidecar.inbound, timeout=5) as client:
        client.send_pieces(pieces)
        for seen in case.sees:
            method = seen.start.split(b" ")[0].decode()
            assert client.response(method).status == 200
    arrived = [(message.start, message.body, message.trailers) for message in origin.requests]
    assert arrived == [(seen.start, seen.body, b"") for seen in case.sees]
    assert origin.cut_requests == []


@TAKEN
def test_a_good_request_arrives_as_meant(case: Taken, sidecar: Sidecar, origin: Origin) -> None:
    answer_each(origin)
    goes_on(case, [case.data], sidecar, origin)


@pytest.mark.parametrize(
    "case", [c for c in requests_taken.ALL if len(c.data) < 8_000], ids=lambda case: case.name
)
def test_it_arrives_byte_by_byte_too(case: Taken, sidecar: Sidecar, origin: Origin) -> None:
    answer_each(origin)
    goes_on(case, [case.data[i : i + 1] for i in range(len(case.data))], sidecar, origin)


def answer_each(origin: Origin) -> None:
    """A HEAD is answered without a body."""
    origin.script = answering(lambda seen: reply(body=b"" if seen.method == "HEAD" else b"ok"))
