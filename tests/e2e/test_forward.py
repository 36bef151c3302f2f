"""HTTP_PROXY: absolute form to hosts of the client's choice, and where no spelling leads."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests

from .forwarding import CLOSED, OFF, OPEN, Canary, absolute, connect, refused
from .harness import Client, Origin, Sidecar, closed_port, fetch

CONFIG = OPEN

SPELLINGS = {
    "loopback": "127.0.0.1",
    "another of loopback": "127.8.8.8",
    "name": "localhost",
    "name in capitals": "LOCALHOST",
    "IPv6": "[::1]",
    "IPv6 in full": "[0:0:0:0:0:0:0:1]",
    "mapped": "[::ffff:127.0.0.1]",
    "mapped, in hex": "[::ffff:7f00:1]",
    "compatible": "[::127.0.0.1]",
    "unspecified": "0.0.0.0",
    "unspecified, short": "0",
    "unspecified IPv6": "[::]",
    "hex and short": "0x7f.1",
    "hex": "0x7f000001",
    "decimal": "2130706433",
    "octal": "017700000001",
    "octal, dotted": "0177.0.0.1",
    "short": "127.1",
    "three parts": "127.0.1",
    "with a dot": "127.0.0.1.",
    "NAT64": "[64:ff9b::7f00:1]",
    "6to4": "[2002:7f00:1::]",
    "metadata": "169.254.169.254",
    "metadata, mapped": "[::ffff:a9fe:a9fe]",
    "metadata, decimal": "2852039166",
    "metadata of AWS, IPv6": "[fd00:ec2::254]",
    "metadata of Alibaba": "100.100.100.200",
    "link-local": "[fe80::1]",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
    "reserved": "240.0.0.1",
}


@pytest.fixture(scope="module")
def closed(app: Origin) -> Iterator[Sidecar]:
    """A sidecar that passes every host, and opens no range."""
    with Sidecar.running(CLOSED, app=app.address) as running:
        yield running


@pytest.fixture(scope="module")
def off(app: Origin) -> Iterator[Sidecar]:
    with Sidecar.running(OFF, app=app.address) as running:
        yield running


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    with Canary.running() as running:
        yield running


# ---- what is allowed gets through


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost"])
def test_an_absolute_target_leads_to_its_host(sidecar: Sidecar, origin: Origin, name: str) -> None:
    answer = absolute(sidecar, f"{name}:{origin.port}", "/a?b=c")
    assert answer.status == 200
    assert origin.last.start == b"GET /a?b=c HTTP/1.1"
    assert origin.last.get("host") == f"{name}:{origin.port}"
    assert origin.last.get("x-forwarded-for") == "127.0.0.1"


def test_the_host_of_the_target_wins_over_the_field(sidecar: Sidecar, origin: Origin) -> None:
    where = f"127.0.0.1:{origin.port}"
    answer = fetch(sidecar.outbound, f"http://{where}/", headers={"Host": "elsewhere.test"})
    assert answer.status == 200
    assert origin.last.get("host") == where


def test_a_service_is_still_found_first(sidecar: Sidecar, origin: Origin) -> None:
    assert absolute(sidecar, "users").status == 200
    assert sidecar.total("meshproxy_requests_total", upstream="users") == 1


def test_its_connections_are_used_again(sidecar: Sidecar, origin: Origin) -> None:
    for _ in range(3):
        assert absolute(sidecar, f"127.0.0.1:{origin.port}").status == 200
    assert len(origin.conversations) == 1


def test_what_refuses_connections_is_a_503_as_with_any_service(sidecar: Sidecar) -> None:
    answer = absolute(sidecar, closed_port())
    assert (answer.status, answer.get("x-meshproxy-reason")) == (503, "UF")


def test_a_host_that_is_not_listed_is_told_the_line(sidecar: Sidecar) -> None:
    answer = absolute(sidecar, "127.0.0.2:8080")
    assert refused(answer) == "'127.0.0.2:8080' is not in outbound.unknown_hosts.allow"
    assert json.loads(answer.body)["rule"].startswith("outbound.unknown_hosts (meshproxy.yaml:")


def test_no_host_becomes_a_label(sidecar: Sidecar) -> None:
    with Origin.running() as other:
        assert absolute(sidecar, other.address).status == 200
        absolute(sidecar, "127.0.0.3:81")
        page = sidecar.metrics_text()
        assert '"__unknown_hosts__"' in page
        assert other.address not in page
        assert "127.0.0.3" not in page


@pytest.mark.server("curl")
def test_curl_through_the_proxy(sidecar: Sidecar, origin: Origin) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    proxy = f"http://127.0.0.1:{sidecar.outbound[1]}"
    url = f"http://localhost:{origin.port}/"
    for more in ([], ["--proxytunnel"]):
        command = ["curl", "-sS", "--noproxy", "", "-m", "10", *more, "-x", proxy, url]
        made = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert (made.stdout, made.stderr) == ("ok", "")


@pytest.mark.parametrize("get", [requests.get, httpx.get], ids=["requests", "httpx"])
def test_a_client_that_knows_http_proxy(
    sidecar: Sidecar, origin: Origin, monkeypatch: pytest.MonkeyPatch, get: type
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{sidecar.outbound[1]}")
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    answer = get(f"http://127.0.0.1:{origin.port}/asked")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert b"meshproxy" in dict(origin.last.fields)[b"via"]


# ---- what is closed is never called


@pytest.mark.parametrize("host", SPELLINGS.values(), ids=SPELLINGS)
def test_no_spelling_leads_back_here(closed: Sidecar, canary: Canary, host: str) -> None:
    authority = f"{host}:{canary.port}"
    refused(absolute(closed, authority))
    refused(fetch(closed.outbound, "/", headers={"Host": authority}))
    refused(connect(closed, authority))
    assert canary.calls() == 0


def test_the_canary_would_sing(canary: Canary) -> None:
    with socket.create_connection(("127.0.0.1", canary.port)):
        assert canary.calls() == 1


@pytest.mark.parametrize("target", ["http://a@127.0.0.1/", "http://127.0.0.1%2f@b/", "http:///"])
def test_a_target_with_more_or_less_than_a_host_is_no_target(closed: Sidecar, target: str) -> None:
    assert fetch(closed.outbound, target).status == 400


def test_the_reason_says_what_the_name_led_to(closed: Sidecar, canary: Canary) -> None:
    told = refused(absolute(closed, f"localhost:{canary.port}"))
    assert "it is a loopback address, which networks does not open" in told


@pytest.mark.parametrize("own", ["admin", "metrics", "outbound", "inbound", "users"])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "127.0.0.1%s"])
def test_its_own_ports_are_closed_even_in_an_open_range(
    sidecar: Sidecar, own: str, name: str
) -> None:
    authority = f"{name.replace('%s', '')}:{sidecar.where(own)[1]}"
    for answer in (absolute(sidecar, authority, "/info"), connect(sidecar, authority)):
        assert "it is a port of this sidecar itself" in refused(answer)


def test_a_refusal_leaves_the_connection_usable(closed: Sidecar, canary: Canary) -> None:
    with Client(closed.outbound) as client:
        for _ in range(2):
            refused(client.ask("GET", f"http://127.0.0.1:{canary.port}/"))
        assert client.ask("GET", "http://users/").status == 200


def test_refusals_are_counted_and_logged_and_not_retried(closed: Sidecar, canary: Canary) -> None:
    labels = {"upstream": "__unknown_hosts__", "result": "forbidden"}
    before = closed.total("meshproxy_upstream_attempts_total", **labels)
    refused(absolute(closed, f"127.0.0.1:{canary.port}"))
    assert closed.total("meshproxy_upstream_attempts_total", **labels) == before + 1
    assert closed.total("meshproxy_requests_total", code="403", flags="FB") >= 1


def test_the_admin_port_shows_where_calls_went(sidecar: Sidecar, origin: Origin) -> None:
    where = f"127.0.0.1:{origin.port}"
    assert absolute(sidecar, where).status == 200
    told: Any = sidecar.admin_json("/clusters")
    clusters = {one["name"]: one for one in told}
    assert where in [one["address"] for one in clusters["__unknown_hosts__"]["endpoints"]]
    shown = sidecar.admin_json("/config")["config"]["outbound"]["unknown_hosts"]
    assert shown["networks"] == ["127.0.0.0/8", "::1/128"]


def test_an_unknown_host_is_a_404_where_they_are_rejected(off: Sidecar, canary: Canary) -> None:
    answer = absolute(off, f"127.0.0.1:{canary.port}")
    assert (answer.status, answer.get("x-meshproxy-reason")) == (404, "NR")
    assert canary.calls() == 0


# ---- a reload changes who may be called


def test_a_reload_closes_what_was_open(app: Origin, canary: Canary) -> None:
    with Origin.running() as other, Sidecar.running(OPEN, app=app.address) as sidecar:
        where = f"127.0.0.1:{other.port}"
        assert absolute(sidecar, where).status == 200
        sidecar.write(CLOSED)
        assert sidecar.reload().status == 200
        assert "loopback" in refused(absolute(sidecar, where))
        assert len(other.requests) == 1
