"""Clients and servers that people use, joined by the sidecar, with their own keep-alive habits."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import requests

from .harness import Sidecar, eventually, free_port
from .harness.client import fetch

CONFIG = """
inbound: {listen: <inbound>, app: http://<app>, circuit_breaker: off}
outbound: {listen: <outbound>, services: {server: {endpoints: [<app>], circuit_breaker: off}}}
"""
ASGI = '''
async def app(scope, receive, send):
    """Echo the body, or say hello."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body or b"hello"})
'''
WSGI = '''
def app(environ, start_response):
    """Echo the body, or say hello."""
    body = environ["wsgi.input"].read() or b"hello"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
'''
SERVERS = {
    "uvicorn": (ASGI, ["-m", "uvicorn", "served:app", "--log-level", "error", "--port", "{port}"]),
    "gunicorn": (
        WSGI,
        [
            "-m",
            "gunicorn",
            "served:app",
            "-k",
            "gthread",
            "--threads",
            "4",
            "-b",
            "127.0.0.1:{port}",
        ],
    ),
}


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[str]:
    """A real server with a tiny app; its address."""
    source, arguments = SERVERS[kind]
    (folder / "served.py").write_text(source)
    port = free_port()
    command = [sys.executable, *(each.format(port=port) for each in arguments)]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: answers(port), 20, f"{kind} up")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    try:
        return fetch(("127.0.0.1", port)).status == 200
    except OSError:
        return False


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    pytest.importorskip(request.param)
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as address:
        yield address


@pytest.fixture(scope="module")
def proxy(server: str) -> Iterator[Sidecar]:
    with Sidecar.running(CONFIG, app=server) as running:
        yield running


def url(proxy: Sidecar, path: str = "/") -> str:
    return f"http://127.0.0.1:{proxy.inbound[1]}{path}"


def test_requests_keeps_a_session(proxy: Sidecar) -> None:
    with requests.Session() as session:
        for i in range(100):
            body = b"x" * i
            assert session.post(url(proxy), data=body, timeout=5).content == (body or b"hello")
            assert session.get(url(proxy), timeout=5).text == "hello"


def test_requests_through_the_proxy_setting(proxy: Sidecar) -> None:
    through = {"http": f"http://127.0.0.1:{proxy.outbound[1]}"}
    answer = requests.get("http://server/some/path", proxies=through, timeout=5)
    assert (answer.status_code, answer.text) == (200, "hello")


def test_requests_streams_chunks_up(proxy: Sidecar) -> None:
    pieces = [bytes([65 + i]) * 1000 for i in range(20)]
    assert requests.post(url(proxy), data=iter(pieces), timeout=5).content == b"".join(pieces)


def test_httpx_sends_many_at_once(proxy: Sidecar) -> None:
    with httpx.Client(timeout=5) as client:
        assert {client.get(url(proxy, f"/{i}")).status_code for i in range(100)} == {200}


@pytest.mark.server("curl")
def test_curl(proxy: Sidecar) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is missing: apt-get install curl")
    for extra in ([], ["--http1.0"], ["-H", "Expect: 100-continue"], ["-I"]):
        command = [
            curl,
            "-sS",
            "-o",
            "-",
            "-w",
            "%{http_code}",
            *extra,
            url(proxy),
            url(proxy, "/2"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("200") >= 2
    body = ["--data-binary", "posted"]
    done = subprocess.run(
        [curl, "-sS", *body, url(proxy)], capture_output=True, text=True, timeout=10, check=False
    )
    assert done.stdout == "posted"


PAUSES = {"gunicorn": (1.48, 1.52, 1.98, 2.0, 2.02), "uvicorn": (1.5, 4.99, 5.01)}
"""Seconds around 2 and 5, for which these keep idle connections: where naive pools fail."""


@pytest.mark.slow
def test_no_request_meets_a_server_that_is_closing(
    proxy: Sidecar, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["server"]
    failures = []
    with requests.Session() as session:
        for pause in PAUSES[kind]:
            time.sleep(pause)  # the pause is what is tested
            for method in ("POST", "GET"):
                answer = session.request(method, url(proxy), timeout=5)
                if answer.status_code != 200:
                    failures.append((pause, method, dict(answer.headers)))
    assert failures == []
