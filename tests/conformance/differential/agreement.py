"""Five servers of other authors behind meshproxy: is each told one request, or none.

It starts a server with a sidecar before it, and judges the trace of a case: a refused request
must not exist for the server, a taken one must be the one that was sent, and the canary behind
it must be answered as itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.differential import cases
from tests.conformance.taken import Seen, Taken
from tests.e2e.harness import Message, Sidecar, free_port
from tests.e2e.harness.ports import LOOPBACK

from .probe import Probe, Trace
from .programs import Site, running
from .proxies import number
from .servers import SERVERS
from .witness import ReportFile, Understood

CONFIG = """
inbound: {listen: <inbound>, app: http://<server>, circuit_breaker: off}
"""
APP = b"127.0.0.1:8080"
"""What the corpus calls the origin's own address."""
PATIENCE = 10.0


@dataclass(frozen=True)
class Guarded:
    """A server behind meshproxy: how it is reached, and its own address."""

    probe: Probe
    direct: Probe
    """Past meshproxy."""
    authority: str


@contextmanager
def guarded(name: str) -> Iterator[Guarded]:
    """meshproxy in front of the server of that name."""
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        site = Site(free_port(), Path(folder))
        address = f"{LOOPBACK}:{site.port}"
        with (
            running(SERVERS[name](site), site),
            Sidecar.running(CONFIG, server=address) as sidecar,
        ):
            witness = ReportFile(site.seen)
            probe = Probe(sidecar.inbound, witness, PATIENCE)
            yield Guarded(probe, Probe((LOOPBACK, site.port), witness, PATIENCE), address)


def wrong_with_refused(trace: Trace) -> str:
    """What is wrong with how a bad request went; an empty text when nothing is."""
    if trace.understood or trace.canaries:
        return f"the server understood {trace.understood} and {trace.canaries} canaries"
    if trace.strange:
        return f"a later request was answered {trace.strange}"
    if len(trace.answers()) != 1 or (trace.status or 0) < 400 or not trace.closed:
        return f"answered {trace.received!r}, closed: {trace.closed}"
    return ""


def wrong_with_taken(case: Taken, trace: Trace, authority: str) -> str:
    """The same for a good request. A server may refuse it, but then it has not understood it.

    `authority` is the server's own address: the Host of a request of HTTP/1.0 that has none.
    """
    meant = [_as_understood(seen, authority) for seen in case.sees]
    answers = trace.answers(*(each.method for each in meant))
    own, rest = answers[: len(meant)], answers[len(meant) :]
    if len(own) < len(meant) or any(answer.status < 400 for answer in own if answer.status != 200):
        return f"{len(meant)} requests were answered {trace.received!r}"
    taken = [each for each, answer in zip(meant, own, strict=True) if answer.status == 200]
    if trace.understood != taken:
        return f"the server understood {trace.understood} in place of {taken}"
    if any(not _answers(*pair) for pair in zip(meant, own, strict=True)):
        return f"answered with the answer of another: {trace.received!r}"
    return _wrong_with_canary(trace, rest)


def _wrong_with_canary(trace: Trace, rest: list[Message]) -> str:
    """It is answered as itself, once, or the connection has ended before it."""
    if trace.strange:
        return f"a later request was answered {trace.strange}"
    if not rest:
        return "" if trace.closed and not trace.canaries else "the canary was not answered"
    if len(rest) > 1 or rest[0].body != trace.target or trace.canaries != 1:
        return f"the canary was answered {rest}"
    return ""


def _as_understood(seen: Seen, authority: str) -> Understood:
    method, target, _ = seen.start.split(b" ")
    hosts = [line[5:].strip() for line in seen.fields if line[:5].lower() == b"host:"]
    host = authority.encode() if hosts[0] == APP else hosts[0]
    return Understood(method.decode(), target, host, seen.body)


def _answers(meant: Understood, answer: Message) -> bool:
    bodiless = meant.method == "HEAD"
    return answer.status != 200 or answer.body == (b"" if bodiless else meant.target)


@dataclass
class Verdict:
    """How one server fared with the whole corpus."""

    name: str
    version: str
    bad_understood: int = 0
    good_wrong: int = 0
    refused: list[str] = field(default_factory=list)
    """Good requests that the server itself did not take."""
    disagreements: list[str] = field(default_factory=list)


def agree(name: str, tell: Callable[[str], None]) -> Verdict:
    """The whole corpus through meshproxy to the server of that name."""
    verdict = Verdict(name, number(name))
    with guarded(name) as server:
        for bad in cases.REFUSED:
            trace = server.probe.send(bad.data)
            verdict.bad_understood += bool(trace.understood or trace.canaries)
            if wrong := wrong_with_refused(trace):
                verdict.disagreements.append(f"{name}, {bad.name}: {wrong}")
        for good in cases.TAKEN:
            trace = server.probe.send(good.data)
            if wrong := wrong_with_taken(good, trace, server.authority):
                verdict.good_wrong += 1
                verdict.disagreements.append(f"{name}, {good.name}: {wrong}")
            elif len(trace.understood) < len(good.sees):
                verdict.refused.append(good.name)
    tell(f"{name} {verdict.version}: {len(verdict.disagreements)} disagreements")
    return verdict
