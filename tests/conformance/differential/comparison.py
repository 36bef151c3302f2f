"""The corpus through each proxy in turn, before an origin that takes anything.

A `Column` is what one proxy did. A bad request counts as taken when the origin got a whole
request out of it, or when the proxy answered it with anything but an error.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.differential import cases
from tests.e2e.harness import Sidecar, free_port

from .probe import Probe, Trace
from .programs import Site, running
from .proxies import PROXIES, number
from .recorder import Recorder

CONFIG = """
inbound: {listen: <inbound>, app: http://<origin>, circuit_breaker: off}
"""
QUIET = 2.0
NAMES = ("meshproxy", *PROXIES)
Tell = Callable[[str], None]


@dataclass
class Column:
    """One proxy: its version, a word for each bad request, and counts."""

    name: str
    version: str
    refused: dict[str, str] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    """Bad requests that were taken."""
    not_taken: set[str] = field(default_factory=set)
    """Good requests of which the origin saw less than was meant."""
    poisoned: set[str] = field(default_factory=set)
    """Cases after which a request was answered with what belonged to another."""


def compare(tell: Tell) -> list[Column]:
    """All columns. The proxies wait more than they work, so they run beside each other."""
    with ThreadPoolExecutor(len(NAMES)) as pool:
        return list(pool.map(lambda name: _column(name, tell), NAMES))


def _column(name: str, tell: Tell) -> Column:
    column = Column(name, number(name))
    with Recorder.running() as origin, _standing(name, origin) as probe:
        for case in cases.REFUSED:
            trace = probe.send(case.data)
            column.refused[case.name] = word_for(trace)
            if is_taken(trace):
                column.accepted.add(case.name)
            if is_poisoned(trace):
                column.poisoned.add(case.name)
        for good in cases.TAKEN:
            trace = probe.send(good.data)
            if len(trace.understood) < len(good.sees):
                column.not_taken.add(good.name)
    tell(f"{name} {column.version}: took {len(column.accepted)} of {len(column.refused)}")
    return column


@contextmanager
def _standing(name: str, origin: Recorder) -> Iterator[Probe]:
    """A probe of that proxy in front of the origin."""
    if name == "meshproxy":
        with Sidecar.running(CONFIG, origin=origin.address) as sidecar:
            yield Probe(sidecar.inbound, origin, QUIET, hangs_up=True)
        return
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        site = Site(free_port(), Path(folder), origin.port)
        with running(PROXIES[name](site), site):
            yield Probe(("127.0.0.1", site.port), origin, QUIET, hangs_up=True)


def is_taken(trace: Trace) -> bool:
    return bool(trace.understood) or (trace.status is not None and trace.status < 400)


def is_poisoned(trace: Trace) -> bool:
    """Whether a later request got an answer that was not its own."""
    answers = trace.answers()
    own = [answer.body for answer in answers if answer.body.startswith(b"/canary-")]
    return bool(trace.strange) or any(body != trace.target for body in own)


def word_for(trace: Trace) -> str:
    """A cell of the table: what the client saw, and whether the origin saw it too."""
    if len(trace.understood) > 1:
        return f"**taken as {len(trace.understood)}**"
    if is_taken(trace):
        return "**taken**"
    if trace.status is not None:
        return str(trace.status)
    if trace.received:
        return "not HTTP/1"
    return "closed" if trace.closed else "silent"
