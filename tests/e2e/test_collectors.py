"""F42: whatever becomes of the receiver of spans, requests do not notice; and a real receiver.

Down, hung before or after it accepts, slow: every request is answered at once, the queue keeps to
its bound, and every span is accounted for. rotel, a receiver that others made, takes what is sent.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loadtests import tools

from .collecting import received, spans_of
from .harness import (
    BlackHole,
    Client,
    Conversation,
    Origin,
    Sidecar,
    answering,
    closed_port,
    eventually,
    fetch,
    free_port,
    reply,
)

BOUND = 40
CONFIG = f"""
inbound: {{listen: <inbound>, app: "http://<app>"}}
tracing:
  sample: 100%
  export: {{url: "http://<collector>", queue: {BOUND}, batch: 10, interval: 10ms, timeout: 30s}}
"""
REQUESTS = 200
SPANS = 2 * REQUESTS
AT_ONCE = 5.0
"""Seconds: far below what the exporter waits for, far above what a request takes."""


def silent(peer: Conversation) -> None:
    """Takes all and says nothing."""
    peer.until_left()


def slow(peer: Conversation) -> None:
    while peer.request() is not None:
        time.sleep(0.2)
        peer.send(reply(200, b"{}"))


@contextmanager
def receiver(trouble: str) -> Iterator[str]:
    if trouble == "down":
        yield closed_port()
    elif trouble == "hung":
        with BlackHole.running() as hole:
            yield hole.address
    else:
        with Origin.running({"silent": silent, "slow": slow}[trouble]) as origin:
            yield origin.address


def queued(sidecar: Sidecar) -> float:
    return sidecar.total("meshproxy_spans_queued")


def outcomes(sidecar: Sidecar) -> dict[str, float]:
    words = ("sent", "rejected", "undelivered", "queue_full")
    return {word: sidecar.total("meshproxy_spans_total", outcome=word) for word in words}


@pytest.mark.parametrize("trouble", ["down", "hung", "silent", "slow"])
def test_f42_a_collector_in_trouble_costs_requests_nothing(app: Origin, trouble: str) -> None:
    with (
        receiver(trouble) as collector,
        Sidecar.running(CONFIG, app=app.address, collector=collector) as sidecar,
    ):
        with Client(sidecar.inbound) as client:
            for number in range(REQUESTS):
                began = time.monotonic()
                assert client.ask("GET", "/").status == 200
                assert time.monotonic() - began < AT_ONCE
                if number % 20 == 19:
                    assert queued(sidecar) <= BOUND
        if trouble == "slow":
            eventually(lambda: queued(sidecar) == 0, 20.0, "an empty queue")
        found = outcomes(sidecar)
        assert found["queue_full"] > 0
        assert sum(found.values()) + queued(sidecar) == SPANS
        assert found["rejected"] == 0
        assert (found["sent"] > 0) == (trouble == "slow")
        began = time.monotonic()
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait(20) == 0
        assert time.monotonic() - began < 10.0
        lost = [line for line in sidecar.log_lines() if line["event"] == "spans_lost"]
        assert bool(lost) == (trouble != "slow")


def test_f42_a_collector_that_comes_back_gets_what_waited(app: Origin) -> None:
    port = free_port()
    with Sidecar.running(CONFIG, app=app.address, collector=f"127.0.0.1:{port}") as sidecar:
        for _ in range(5):
            assert fetch(sidecar.inbound, "/early").status == 200
        eventually(lambda: "spans_held_back" in sidecar.logged(), what="a line about it")
        with Origin.running(answering(reply(200, b"{}")), port) as collector:
            eventually(lambda: len(received(collector)) == 10, 20.0, "what waited")
            eventually(lambda: outcomes(sidecar)["sent"] == 10, what="its count")
            assert "spans_sent_again" in sidecar.logged()


def test_f42_a_collector_that_asks_for_time_gets_it(app: Origin) -> None:
    """429 with Retry-After: the same batch, no sooner than that, and nothing is lost."""
    answers = iter([reply(429, b"", {"Retry-After": "1"})])
    times: list[float] = []

    def busy(peer: Conversation) -> None:
        while peer.request() is not None:
            times.append(time.monotonic())
            peer.send(next(answers, reply(200, b"{}")))

    with (
        Origin.running(busy) as collector,
        Sidecar.running(CONFIG, app=app.address, collector=collector.address) as sidecar,
    ):
        assert fetch(sidecar.inbound, "/").status == 200
        collector.saw(2, 10.0)
        assert times[1] - times[0] >= 0.99
        first, second = (spans_of(message) for message in collector.requests[:2])
        assert first == second
        eventually(lambda: outcomes(sidecar)["sent"] == 2, what="its count")


def test_f42_a_collector_that_refuses_is_told_of_and_not_asked_again(app: Origin) -> None:
    with (
        Origin.running(answering(reply(401))) as collector,
        Sidecar.running(CONFIG, app=app.address, collector=collector.address) as sidecar,
    ):
        assert fetch(sidecar.inbound, "/").status == 200
        eventually(lambda: outcomes(sidecar)["rejected"] == 2, what="its count")
        (line,) = [line for line in sidecar.log_lines() if line["event"] == "spans_rejected"]
        assert line["why"] == "it answered 401"
        assert len(collector.requests) == 1


# A receiver that is not ours


@dataclass
class Shown:
    """One span as rotel prints it."""

    trace: str
    parent: str
    id: str
    name: str
    kind: str
    said: dict[str, str] = field(default_factory=dict)


_SPAN = re.compile(
    r"Trace ID +: (?P<trace>\w*)\n +Parent ID +: (?P<parent>\w*)\n +ID +: (?P<id>\w*)\n"
    r" +Name +: (?P<name>[^\n]*)\n +Kind +: SPAN_KIND_(?P<kind>\w+)\n"
)


class Rotel:
    """The agent in the foreground, and what it printed."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._log = folder / "rotel.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "start", "--exporter", "blackhole",
                 "--otlp-http-endpoint", self.address,
                 "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}",
                 "--debug-log", "traces", "--debug-log-verbosity", "detailed"],
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def shown(self) -> list[Shown]:
        text = self._log.read_text()
        spans = []
        for part in text.split("Span #")[1:]:
            match = _SPAN.search(part)
            assert match is not None, part
            span = Shown(**match.groupdict())
            span.said = dict(re.findall(r"-> ([\w.]+): \w+\((.*)\)", part))
            spans.append(span)
        return spans

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def rotel(tmp_path: Path) -> Iterator[Rotel]:
    try:
        running = Rotel(tools.receiver(), tmp_path)
    except tools.MissingError as missing:
        pytest.skip(str(missing))
    try:
        yield running
    finally:
        running.stop()


def test_a_receiver_that_others_made_takes_every_span(app: Origin, rotel: Rotel) -> None:
    config = CONFIG.replace("queue: 40", "queue: 2000") + "service: {name: orders}\n"
    with Sidecar.running(config, app=app.address, collector=rotel.address) as sidecar:
        app.forget()
        answers = [fetch(sidecar.inbound, f"/item/{number}") for number in range(20)]
        eventually(lambda: outcomes(sidecar)["sent"] == 40, 20.0, "40 spans sent")
        spans = eventually(
            lambda: found if len(found := rotel.shown()) == 40 else None, 10.0, "40 spans shown"
        )
        servers = {span.said["meshproxy.request_id"]: span for span in spans if not span.parent}
        assert set(servers) == {answer.get("x-request-id") for answer in answers}
        clients = {span.parent: span for span in spans if span.parent}
        for message in app.requests:
            trace, parent = (message.get("traceparent") or "").split("-")[1:3]
            server = servers[message.get("x-request-id") or ""]
            client = clients[server.id]
            assert (server.kind, client.kind) == ("SERVER", "CLIENT")
            assert (server.name, client.name) == ("GET", "GET")
            assert (client.trace, client.id) == (trace, parent)
            assert client.said["http.response.status_code"] == "200"
        assert outcomes(sidecar)["rejected"] == 0
