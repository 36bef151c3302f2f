"""CONNECT: tunnels to hosts of the client's choice, for HTTPS_PROXY."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import requests

from .forwarding import OFF, OPEN, Canary, connect, refused
from .harness import Client, Origin, Sidecar, closed_port, free_port
from .harness.client import request

CONFIG = OPEN


@pytest.fixture(scope="module")
def off(app: Origin) -> Iterator[Sidecar]:
    with Sidecar.running(OFF, app=app.address) as running:
        yield running


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    with Canary.running() as running:
        yield running


def test_a_tunnel_carries_bytes_both_ways(sidecar: Sidecar, origin: Origin) -> None:
    authority = f"localhost:{origin.port}"
    with Client(sidecar.outbound) as client:
        client.send(request("CONNECT", authority, {"Host": authority}))
        head = client.reader.response_head()
        assert head.status == 200
        assert not head.all("content-length")
        assert not head.all("transfer-encoding")
        for number in range(3):
            assert client.ask("GET", f"/{number}", {"Host": "inner.test"}).body == b"ok"
    assert [each.start for each in origin.requests] == [b"GET /%d HTTP/1.1" % n for n in range(3)]
    assert origin.last.get("host") == "inner.test"
    assert not origin.last.all("via")


def test_a_tunnel_carries_what_was_sent_too_early(sidecar: Sidecar, origin: Origin) -> None:
    authority = f"127.0.0.1:{origin.port}"
    with Client(sidecar.outbound) as client:
        client.send(request("CONNECT", authority, {"Host": authority}) + request("GET", "/early"))
        assert client.reader.response_head().status == 200
        assert client.response().body == b"ok"


def test_a_tunnel_is_made_for_an_old_client_that_says_no_host(
    sidecar: Sidecar, origin: Origin
) -> None:
    with Client(sidecar.outbound) as client:
        client.send(b"CONNECT localhost:%d HTTP/1.0\r\n\r\n" % origin.port)
        assert client.reader.response_head().status == 200
        assert client.ask("GET", "/").body == b"ok"


def test_a_tunnel_to_nobody_is_a_503(sidecar: Sidecar) -> None:
    answer = connect(sidecar, closed_port())
    assert (answer.status, answer.get("x-meshproxy-reason")) == (503, "UF")


def test_a_tunnel_to_what_is_not_listed_is_refused(sidecar: Sidecar) -> None:
    told = refused(connect(sidecar, "example.com:443"))
    assert told == "'example.com:443' is not in outbound.connect.allow"


def test_a_tunnel_is_refused_where_they_are_off(off: Sidecar, canary: Canary) -> None:
    for authority in (f"127.0.0.1:{canary.port}", "users:80", "users:443"):
        told = refused(connect(off, authority))
        assert told == "CONNECT is off; outbound.connect lists what may be reached"
    assert canary.calls() == 0


def test_a_tunnel_through_the_callers_side_is_no_service(sidecar: Sidecar, origin: Origin) -> None:
    authority = f"127.0.0.1:{origin.port}"
    for own in ("inbound", "users"):
        with Client(sidecar.where(own)) as client:
            client.send(request("CONNECT", authority, {"Host": authority}))
            assert client.response().status == 501
    assert not origin.requests


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of localhost, in one file."""
    for name in ("openssl", "curl"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    named += ["-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command = [*made, *named, "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def secure(certificate: Path) -> Iterator[str]:
    """The URL of a server that speaks TLS."""
    with ThreadingHTTPServer(("127.0.0.1", free_port()), Hello) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"https://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.server("openssl")
def test_https_through_a_tunnel(sidecar: Sidecar, secure: str, certificate: Path) -> None:
    proxy = f"http://127.0.0.1:{sidecar.outbound[1]}"
    proxies = {"http": proxy, "https": proxy}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(secure, proxies=proxies, verify=str(certificate), timeout=10)
        assert (answer.status_code, answer.text) == (200, "hello")
    context = ssl.create_default_context(cafile=certificate)
    with httpx.Client(proxy=proxy, verify=context, trust_env=False) as client:
        assert client.get(secure).text == "hello"
    command = [
        "curl",
        "-sS",
        "--noproxy",
        "",
        "-m",
        "10",
        "--cacert",
        str(certificate),
        "-x",
        proxy,
    ]
    made = subprocess.run(
        [*command, secure], capture_output=True, text=True, timeout=20, check=False
    )
    assert (made.stdout, made.stderr) == ("hello", "")


def test_a_tunnel_outlives_a_reload_that_closes_its_way(app: Origin) -> None:
    with Origin.running() as other, Sidecar.running(OPEN, app=app.address) as sidecar:
        authority = f"127.0.0.1:{other.port}"
        with Client(sidecar.outbound) as client:
            client.send(request("CONNECT", authority, {"Host": authority}))
            assert client.reader.response_head().status == 200
            sidecar.write(OFF)
            assert sidecar.reload().status == 200
            assert client.ask("GET", "/").body == b"ok"
        refused(connect(sidecar, authority))
