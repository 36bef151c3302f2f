"""Five servers of other authors behind meshproxy: is each told one request, or none.

It starts a server with a sidecar before it, and judges the trace of a case: a refused request
must not exist for the server, a taken one must be the one that was sent, and the canary behind
it must be answered as itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.harness import Sidecar, free_port

from .probe import Probe, Trace
from .programs import Site, running
from .servers import SERVERS
from .witness import ReportFile

CONFIG = """
inbound: {listen: <inbound>, app: http://<server>, circuit_breaker: off}
"""
PATIENCE = 10.0


@contextmanager
def guarded(name: str) -> Iterator[Probe]:
    """A probe of meshproxy in front of the server of that name."""
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        site = Site(free_port(), Path(folder))
        address = f"127.0.0.1:{site.port}"
        with (
            running(SERVERS[name](site), site),
            Sidecar.running(CONFIG, server=address) as sidecar,
        ):
            yield Probe(sidecar.inbound, ReportFile(site.seen), PATIENCE)


def about_refused(trace: Trace) -> str:
    """What is wrong with how a bad request went; nothing, in a word of no letters."""
    if trace.seen or trace.canaries:
        return f"the server understood {trace.seen} and {trace.canaries} canaries"
    if trace.strange:
        return f"a later request was answered {trace.strange}"
    if (trace.status or 0) < 400 or not trace.closed:
        return f"answered {trace.received[:200]!r}, closed: {trace.closed}"
    if len(trace.answers()) != 1:
        return f"answered more than once: {trace.received!r}"
    return ""
