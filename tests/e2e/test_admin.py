"""The control ports of a running sidecar, asked as nobody should ask them.

What a page may show is in tests/control; here are crowds, silence, raw bytes and browsers.
"""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .harness import Client, Origin, Sidecar, TruncatedError, eventually, fetch
from .harness.ports import Address

CONFIG = """
inbound: {listen: <inbound>, app: "http://<app>"}
"""
SECURITY = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "server": "meshproxy",
    "connection": "close",
}
DRAIN = b"POST /drain HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture(params=["admin", "metrics"])
def port(request: pytest.FixtureRequest, sidecar: Sidecar, origin: Origin) -> Iterator[Address]:
    """Each of the two control ports; whatever was done to it, the sidecar goes on."""
    before = fetch(sidecar.admin, "/info", headers={"Host": "localhost"}).body
    yield sidecar.where(request.param)
    after = json.loads(fetch(sidecar.admin, "/info", headers={"Host": "localhost"}).body)
    assert after["draining"] is False
    assert after["config"] == json.loads(before)["config"]
    assert fetch(sidecar.inbound, "/").status == 200


def page_of(port: Address, sidecar: Sidecar) -> str:
    return "/info" if port == sidecar.admin else "/livez"


def status(port: Address, raw: bytes) -> int:
    """The status of the only answer to these bytes, which must be well-mannered."""
    with Client(port) as client:
        client.send_pieces([raw])
        answer = client.response()
        told = {name.decode().lower(): value.decode() for name, value in answer.fields}
        assert {name: told.get(name) for name in SECURITY} == SECURITY
        assert not [name for name in told if name.startswith("access-control-")]
        assert client.closed_by_peer()
    return answer.status


STRANGE_HOSTS = [
    "evil.test", "localhost.evil.com", "127.0.0.1.nip.io", "evil@127.0.0.1", "127.0.0.1@evil.test",
    "[::ffff:127.0.0.1]", "[::2]", "0.0.0.0", "2130706433", "0x7f.1", "127.1", "localhost.", "",
    "169.254.169.254", "metadata.google.internal", "127.0.0.1, evil.test",
]  # fmt: skip


@pytest.mark.parametrize("host", STRANGE_HOSTS)
def test_a_host_that_is_not_ours_is_refused(sidecar: Sidecar, port: Address, host: str) -> None:
    for line in (f"GET {page_of(port, sidecar)}", "POST /drain", "GET /nothing"):
        assert status(port, f"{line} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()) == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.1:1", "[::1]:15000"])
def test_a_loopback_name_is_heard(sidecar: Sidecar, port: Address, host: str) -> None:
    raw = f"GET {page_of(port, sidecar)} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert status(port, raw) == 200


@pytest.mark.parametrize(
    "more", ["", "Host: localhost\r\nHost: localhost\r\n", "Host : localhost\r\n"]
)
def test_a_host_is_needed_once(sidecar: Sidecar, port: Address, more: str) -> None:
    raw = f"GET {page_of(port, sidecar)} HTTP/1.1\r\n{more}\r\n".encode()
    assert status(port, raw) in (400, 403)


@pytest.mark.parametrize(
    "field",
    ["Origin: http://evil.test", "Origin: null", "Origin: http://127.0.0.1:1", "Origin:",
     "Origin: http://127.0.0.1\r\nOrigin: http://evil.test", "Sec-Fetch-Site: cross-site",
     "Sec-Fetch-Site: same-site"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_page_of_another_origin_is_refused(
    sidecar: Sidecar, port: Address, field: str, kind: str
) -> None:
    for line in (f"GET {page_of(port, sidecar)}", "POST /drain", "OPTIONS /drain"):
        raw = f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{field}\r\nContent-Type: {kind}\r\n\r\n"
        assert status(port, raw.encode()) in (400, 403)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/drain", "/reload", "/logging?level=error"])
def test_only_post_changes_anything(
    sidecar: Sidecar, origin: Origin, method: str, path: str
) -> None:
    answer = fetch(sidecar.admin, path, method, {"Host": "localhost"})
    assert (answer.status, answer.get("allow")) == (405, "POST")


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10485760\r\n\r\n", 413),
        (b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8193\r\n\r\n", 413),
        (b"POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
        (b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET http://localhost/info HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"MADEUP / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_what_is_too_much_or_no_request_is_refused(port: Address, raw: bytes, wanted: int) -> None:
    assert status(port, raw) == wanted


def test_ten_megabytes_are_refused_while_they_come(port: Address) -> None:
    head = b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10485760\r\n\r\n"
    assert status(port, head + b"x" * 10485760) == 413


SMUGGLED = [
    b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n",
    b"Content-Length: 0, 5\r\n\r\n",
    b"Content-Length:\x0b5\r\n\r\n",
    b"Content-Length: +0\r\n\r\n",
    b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\n\r\n",
    b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"\r\n",
    b"Connection: keep-alive\r\n\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("rest", SMUGGLED)
def test_no_second_request_hides_behind_a_first(
    sidecar: Sidecar, port: Address, rest: bytes
) -> None:
    start = f"GET {page_of(port, sidecar)} HTTP/1.1\r\nHost: localhost\r\n".encode()
    assert status(port, start + rest + DRAIN) in (200, 400, 411)


def test_a_thousand_connections_leave_room_for_a_question(sidecar: Sidecar, port: Address) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    files = sidecar.open_files()
    with ExitStack() as crowd:
        for number in range(1000):
            each = crowd.enter_context(socket.create_connection(port))
            if number % 2:
                each.sendall(b"GET /info HTTP/1.1\r\nX: ")
        assert fetch(sidecar.inbound, "/").status == 200
        assert fetch(port, page_of(port, sidecar), headers={"Host": "localhost"}).status == 200
        assert sidecar.open_files() < files + 100
    eventually(lambda: sidecar.open_files() <= files + 10, what="the end of the crowd")


def test_a_head_that_never_ends_is_given_up(port: Address) -> None:
    with Client(port, timeout=20) as client:
        client.send(b"GET /info HTTP/1.1\r\n")
        assert client.response().status == 408
        assert client.closed_by_peer()


def test_whoever_closes_its_side_after_asking_is_answered(sidecar: Sidecar, port: Address) -> None:
    with Client(port) as client:
        client.send(f"GET {page_of(port, sidecar)} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        client.half_close()
        assert client.response().status == 200


def test_resets_and_garbage_leave_the_log_alone(sidecar: Sidecar, port: Address) -> None:
    lines = len(sidecar.log_lines())
    for raw in (
        b"",
        b"GET",
        b"\xff" * 5000,
        DRAIN[:-2],
        b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        for _ in range(5):
            with Client(port) as client:
                client.send_pieces([raw])
                client.reset()
    try:
        fetch(port, "/nothing", headers={"Host": "localhost"})
    except TruncatedError:
        pass
    assert [line for line in sidecar.log_lines()[lines:] if line["event"] != "request"] == []
    assert all(line.startswith("{") for line in sidecar.logged().splitlines())
