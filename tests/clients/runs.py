"""One run of a suite: httpbin at a port, a sidecar in front of it, and every test's outcome."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.clients.suites import DIRECT, HERE, Suite
from tests.e2e.harness import Sidecar, free_port

Outcomes = dict[str, str]

# httpbin takes one connection at a time and some tests leave it busy, so the calls may last;
# its errors are what tests ask for, so no circuit opens.
CONFIG = """
inbound: {listen: <inbound>, app: http://<httpbin>, timeout: 60s, circuit_breaker: off}
outbound:
  listen: <outbound>
  defaults: {timeout: 60s, circuit_breaker: off}
  services: {httpbin: {hosts: ["<httpbin>"], endpoints: [<httpbin>]}}
"""
OPTIONS = ("-q", "-p", "through", "-p", "no:cacheprovider", "-o", "addopts=", "-W", "ignore")


def outcomes(suite: Suite, mode: str, tests: Sequence[str] = ("tests",)) -> Outcomes:
    """Run these tests in that mode; what each came to."""
    httpbin = f"127.0.0.1:{free_port()}"
    with Sidecar.running(CONFIG, httpbin=httpbin) as sidecar, tempfile.TemporaryDirectory() as made:
        written = Path(made) / "outcomes.json"
        env = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "HTTPBIN_HTTP_PORT": httpbin.rpartition(":")[2],
            "MESHPROXY_OUTCOMES": str(written),
        }
        if mode != DIRECT:
            host, port = sidecar.where(mode)
            env[f"MESHPROXY_{mode.upper()}"] = f"{host}:{port}"
        log = suite.source.parent / f"{suite.name}-{mode}.log"
        with log.open("wb") as out:
            command = [str(suite.python), "-m", "pytest", *OPTIONS, *suite.options, *tests]
            subprocess.run(command, cwd=suite.source, env=env, stdout=out, stderr=out, check=False)
        if not written.is_file():
            raise SystemExit(f"{suite.name} did not run: {log}")
        asked = sidecar.total("meshproxy_requests_total", direction=mode)
        if mode != DIRECT and not asked:
            raise SystemExit(f"{suite.name} sent nothing through the sidecar: {log}")
        return Outcomes(json.loads(written.read_text()))


def broken(direct: Outcomes, through: Outcomes) -> list[str]:
    """The tests that fail through the sidecar and do not fail without it."""
    return [
        name
        for name, outcome in through.items()
        if outcome == "failed" and direct.get(name) != "failed"
    ]
