"""A pytest plugin: sends a foreign suite's plain requests to its httpbin through a sidecar.

Loaded with `-p through` into the suite's own environment, so it imports nothing of ours. The
sidecar already stands in front of the port that pytest-httpbin is told to take; MESHPROXY_INBOUND
says where the suite finds httpbin instead, MESHPROXY_OUTBOUND which proxy its requests go to in
absolute form. Without either nothing changes but that outcomes are written down. HTTPS is direct.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from httpbin import helpers
from pytest_httpbin import serve
from requests.adapters import HTTPAdapter

INBOUND = os.environ.get("MESHPROXY_INBOUND")
OUTBOUND = os.environ.get("MESHPROXY_OUTBOUND")
OUTCOMES = Path(os.environ["MESHPROXY_OUTCOMES"])
HTTPBIN = "127.0.0.1:" + os.environ[serve.Server.port_envvar]

# httpbin hides what proxies add to a request (Via, X-Request-Id) from its echo; so also ours.
helpers.ENV_HEADERS += ("Traceparent", "X-Forwarded-Host", "X-Meshproxy-Attempt")

_start = serve.Server.start
_send = HTTPAdapter.send
_outcomes: dict[str, str] = {}


def start_behind(server: Any) -> None:
    """Start httpbin, and say that it listens where the sidecar does."""
    _start(server)
    if server.protocol == "http" and INBOUND:
        server.host, _, port = INBOUND.rpartition(":")
        server.port = int(port)


def send_through(adapter: Any, request: Any, *given: Any, **options: Any) -> Any:
    """What goes to httpbin goes by the proxy, unless the test names a proxy of its own."""
    if urlsplit(request.url).netloc == HTTPBIN and not options.get("proxies"):
        options["proxies"] = {"http": f"http://{OUTBOUND}"}
    return _send(adapter, request, *given, **options)


serve.Server.start = start_behind
if OUTBOUND:
    HTTPAdapter.send = send_through


def pytest_runtest_logreport(report: Any) -> None:
    """A test is what its worst phase is."""
    known = _outcomes.get(report.nodeid, "passed")
    _outcomes[report.nodeid] = known if report.outcome == "passed" else report.outcome


def pytest_sessionfinish() -> None:
    OUTCOMES.write_text(json.dumps(_outcomes))
