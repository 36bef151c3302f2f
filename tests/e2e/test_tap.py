"""Watching what passes through a running sidecar: what is seen, what is hidden, what it costs."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest

from meshproxy.app import App
from meshproxy.control.reload import Source
from meshproxy.telemetry.log import Log

from .harness import Client, Conversation, Origin, Sidecar, answering, eventually, fetch, reply
from .harness.sidecar import command, environment

CANARY = "CANARY"
FILLING = 4000
"""Requests that make more lines than the kernel and both queues hold."""
CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  routes:
    - {name: create-order, match: POST /orders}
outbound:
  listen: <outbound>
  services:
    gone: {endpoints: [<gone>], retry: {attempts: 1}}
logs: {level: info, format: json, access: {errors: false, slower_than: off, sample: 0%}}
shutdown: {drain: 5s}
"""


class Watcher:
    """`meshproxy tap` as a process; `lines` are what it has printed so far."""

    def __init__(self, sidecar: Sidecar, *words: str) -> None:
        self.process = subprocess.Popen(
            command("tap", "-c", str(sidecar.file), *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        self.lines: list[str] = []
        self.said: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.said))
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(pipe: Any, into: list[str]) -> None:
        with pipe:
            into.extend(iter(pipe.readline, ""))

    @property
    def found(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.lines)]

    def gets(self, count: int) -> list[dict[str, Any]]:
        eventually(lambda: len(self.lines) >= count, what=f"line {count}")
        return self.found

    def ends(self) -> int:
        code = self.process.wait(10)
        for thread in self._threads:
            thread.join(10)
        return code


@contextmanager
def watching(sidecar: Sidecar, *words: str) -> Iterator[Watcher]:
    """One that listens; when the block begins, the sidecar knows of it."""
    before = opened(sidecar)
    watcher = Watcher(sidecar, *words)
    try:
        eventually(lambda: opened(sidecar) > before, 10, "the tap")
        yield watcher
    finally:
        if watcher.process.poll() is None:
            watcher.process.kill()
        watcher.ends()


def opened(sidecar: Sidecar) -> int:
    return len([line for line in sidecar.log_lines() if line["event"] == "tap_opened"])


def closed(sidecar: Sidecar) -> list[dict[str, Any]]:
    return [line for line in sidecar.log_lines() if line["event"] == "tap_closed"]


@contextmanager
def raw(sidecar: Sidecar, query: str = "", receive_buffer: int = 0) -> Iterator[Client]:
    """A connection that asks for /tap and reads what the test reads."""
    before = opened(sidecar)
    with Client(sidecar.admin, receive_buffer=receive_buffer) as client:
        client.send(f"GET /tap?{query} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        eventually(lambda: opened(sidecar) > before, what="the tap")
        yield client


def by_path(message: Any) -> bytes:
    """500 below /broken, and 200 elsewhere."""
    return reply(500 if message.target.startswith("/broken") else 200)


def test_a_filter_chooses_and_a_limit_ends(sidecar: Sidecar, origin: Origin) -> None:
    origin.forget(answering(reply(503)))
    expression = "status>=500 and route==create-order"
    with watching(sidecar, "--filter", expression, "--limit", "2") as watcher:
        fetch(sidecar.inbound, "/elsewhere")
        for _ in range(2):
            fetch(sidecar.inbound, "/orders", "POST")
        fetch(sidecar.inbound, "/orders", "GET")
        assert watcher.ends() == 0
    assert [(one["route"], one["status"]) for one in watcher.found] == [("create-order", 503)] * 2
    assert '"ended":"the limit was reached"' in watcher.said[0]
    eventually(lambda: closed(sidecar)[-1]["told"] == 2, what="the end in the log")
    assert [one for one in sidecar.log_lines() if one["event"] == "request"] == [], "none is logged"


def test_text_is_for_people(sidecar: Sidecar, origin: Origin) -> None:
    with watching(sidecar, "--format", "text", "--filter", "upstream==gone") as watcher:
        fetch(sidecar.inbound, "/")
        answer = fetch(sidecar.outbound, "/x?y=1", headers={"Host": "gone"})
        assert answer.status == 503
        eventually(lambda: watcher.lines, what="a line")
    (line,) = watcher.lines
    gone = ":".join(map(str, sidecar.where("gone")))
    pattern = (
        rf"\d\d:\d\d:\d\d\.\d{{3}} out 503 URX,UF GET +/x +default -> {gone} +[0-9.]+ms +2x "
        rf"{answer.get('x-request-id')}\n"
    )
    assert re.fullmatch(pattern, line), line
    assert watcher.said[0].startswith("# time (UTC)")


def test_nothing_secret_is_seen(sidecar: Sidecar, origin: Origin) -> None:
    with watching(sidecar) as watcher, watching(sidecar, "--format", "text") as other:
        fetch(
            sidecar.inbound, f"/a?token={CANARY}", "POST",
            {"Authorization": f"Bearer {CANARY}", "Cookie": f"a={CANARY}", "X-Key": CANARY},
            CANARY.encode(),
        )  # fmt: skip
        for target in (
            f"http://u:{CANARY}@service.test/b",
            f"/c#{CANARY}",
            f"//u:p@x/{'d' * 3}?{CANARY}",
        ):
            fetch(sidecar.inbound, target)
        watcher.gets(4)
        eventually(lambda: len(other.lines) >= 4, what="as many lines of text")
    told = "".join([*watcher.lines, *watcher.said, *other.lines, *other.said])
    assert "/a" in told
    assert CANARY not in told


def test_no_filter_can_ask_what_is_not_shown(sidecar: Sidecar, origin: Origin) -> None:
    with watching(sidecar, "--filter", f"path~{CANARY} or request_id~{CANARY}") as guess:
        with watching(sidecar, "--limit", "1") as watcher:
            fetch(sidecar.inbound, f"/a?token={CANARY}", headers={"X-Key": CANARY})
            assert watcher.ends() == 0
        assert guess.lines == []


def test_two_listen_to_different_things(sidecar: Sidecar, origin: Origin) -> None:
    origin.forget(answering(by_path))
    with (
        watching(sidecar, "--filter", "status==5xx") as bad,
        watching(sidecar, "--filter", "path~/*/2") as second,
    ):
        for number in range(3):
            fetch(sidecar.inbound, f"/broken/{number}")
            fetch(sidecar.inbound, f"/good/{number}")
        assert [one["path"] for one in bad.gets(3)] == ["/broken/0", "/broken/1", "/broken/2"]
        assert [one["path"] for one in second.gets(2)] == ["/broken/2", "/good/2"]


def test_a_slow_listener_loses_lines_and_nobody_loses_requests(
    sidecar: Sidecar, origin: Origin
) -> None:
    with (
        raw(sidecar, "rate=10000/s", receive_buffer=4096) as slow,
        raw(sidecar, "rate=10000/s&filter=" + quote("path==/last")) as quick,
        Client(sidecar.inbound) as client,
    ):
        client.ask("GET", "/")
        rss = sidecar.rss()
        fill(sidecar)
        assert sidecar.rss() - rss < 12 * 1024 * 1024
        client.ask("GET", "/last")
        assert json.loads(next(lines(quick)))["path"] == "/last"
        told, lost = 0, 0
        for line in lines(slow):
            said = json.loads(line)
            if said["event"] == "request":
                told += 1
            else:
                lost = said["left_out"]["too_slow"] + said["left_out"]["over_rate"]
            if told + lost == FILLING + 2:
                break
        assert lost > 100, "and every one that is not told is counted"


def fill(sidecar: Sidecar) -> None:
    """For one that does not read."""
    with Client(sidecar.inbound) as client:
        for _ in range(FILLING):
            assert client.ask("GET", "/filling" + "x" * 2000).status == 200


def lines(client: Client) -> Iterator[bytes]:
    """The lines of an answer of /tap, as they come."""
    client.reader.response_head()
    seen = b""
    while piece := client.reader.take(65536):
        seen += piece
        *whole, seen = seen.split(b"\n")
        yield from filter(None, whole)


def test_what_exceeds_the_rate_is_counted_and_told(sidecar: Sidecar, origin: Origin) -> None:
    with watching(sidecar, "--rate", "1/h") as watcher, Client(sidecar.inbound) as client:
        for _ in range(5):
            client.ask("GET", "/")
        watcher.gets(1)
        eventually(lambda: watcher.said, 10, "a word on what was left out")
    assert json.loads(watcher.said[0])["left_out"] == {"over_rate": 4, "too_slow": 0}
    assert len(watcher.lines) == 1


def test_a_reload_is_watched_through(sidecar: Sidecar, origin: Origin) -> None:
    with watching(sidecar) as watcher, Client(sidecar.inbound) as client:
        client.ask("POST", "/orders")
        sidecar.write(CONFIG.replace("create-order", "make-order"))
        assert sidecar.reload().status == 200
        client.ask("POST", "/orders")
        assert [one["route"] for one in watcher.gets(2)] == ["create-order", "make-order"]
        sidecar.write(CONFIG)
        assert sidecar.reload().status == 200
    assert [one for one in sidecar.log_lines() if one["event"] == "request"] == []


def test_a_request_that_began_before_is_seen_at_its_end(sidecar: Sidecar, origin: Origin) -> None:
    release = threading.Event()

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            assert release.wait(10)
            peer.send(reply())

    origin.forget(script)
    with Client(sidecar.inbound) as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        origin.saw(1)
        sidecar.write(CONFIG.replace("create-order", "other"))
        assert sidecar.reload().status == 200
        with watching(sidecar, "--filter", "duration>1ms") as watcher:
            release.set()
            assert client.response().status == 200
            assert watcher.gets(1)[0]["path"] == "/slow"
    sidecar.write(CONFIG)
    assert sidecar.reload().status == 200


def test_the_admin_port_answers_while_as_many_listen_as_may(
    sidecar: Sidecar, origin: Origin
) -> None:
    eventually(lambda: len(closed(sidecar)) == opened(sidecar), what="the end of all others")
    with ExitStack() as crowd:
        for _ in range(8):
            crowd.enter_context(raw(sidecar))
        answer = fetch(sidecar.admin, "/tap", headers={"Host": "localhost"})
        assert (answer.status, b"8 listen already" in answer.body) == (503, True)
        assert sidecar.admin_json("/info")["draining"] is False
        assert fetch(sidecar.inbound, "/").status == 200
    eventually(lambda: len(closed(sidecar)) == opened(sidecar), what="the end of all")


def test_a_listener_that_is_killed_is_forgotten(sidecar: Sidecar, origin: Origin) -> None:
    with watching(sidecar) as watcher:
        watcher.process.kill()
        eventually(lambda: len(closed(sidecar)) == opened(sidecar), what="its end")
        assert fetch(sidecar.inbound, "/").status == 200


def test_a_mistake_is_shown_where_it_is(sidecar: Sidecar) -> None:
    watcher = Watcher(sidecar, "--filter", "status>=500 and rout==a")
    assert watcher.ends() == 2
    assert "did you mean route?" in watcher.said[0]
    assert watcher.said[1:] == ["  status>=500 and rout==a\n", "                  ^\n"]


@pytest.mark.parametrize("stuck", [False, True])
def test_a_drain_shows_the_last_requests_and_ends_it(app: Origin, stuck: bool) -> None:
    release = threading.Event()

    def script(peer: Conversation) -> None:
        while (message := peer.request()) is not None:
            assert message.target != "/last" or release.wait(10)
            peer.send(reply())

    app.forget(script)
    with (
        Sidecar.running(CONFIG, app=app.address) as sidecar,
        watching(sidecar, "--filter", "path==/last") as watcher,
        ExitStack() as held,
    ):
        if stuck:
            held.enter_context(raw(sidecar, "rate=10000/s", receive_buffer=4096))
            fill(sidecar)
        with Client(sidecar.inbound) as client:
            client.send(b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(
                lambda: any(seen.target == "/last" for seen in app.requests),
                what="the last request",
            )
            sidecar.signal(signal.SIGTERM)
            eventually(lambda: sidecar.admin_json("/info")["draining"], what="the drain")
            release.set()
            assert client.response().status == 200
        assert sidecar.process.wait(8) == 0
        assert watcher.ends() == 1
        assert [one["path"] for one in watcher.found] == ["/last"]
        assert '"ended":"the sidecar has drained"' in watcher.said[0]
        assert "has ended this after 1 requests" in watcher.said[1]
    app.forget()


def test_a_sidecar_that_vanishes_is_told(app: Origin) -> None:
    with Sidecar.running(CONFIG, app=app.address) as sidecar:
        with watching(sidecar, "--format", "text") as watcher:
            eventually(lambda: watcher.said, what="the head of the table")
            sidecar.process.kill()
            assert watcher.ends() == 1
        assert "has ended this after 0 requests" in watcher.said[-1]


def test_without_a_listener_the_access_log_alone_is_told(tmp_path: Path) -> None:
    """So that a request costs what it would if there were no tap."""

    async def wired() -> None:
        log = Log(file.fileno(), None, None, time.time)
        app = App(cast(Source, None), asyncio.get_running_loop(), log)
        record = app.parts.conductor._record
        assert record == app.parts.access.record
        listener = app.parts.tap.join({}, lambda: None)
        assert app.parts.conductor._record == app.parts.tap._record
        app.parts.tap.leave(listener)
        assert app.parts.conductor._record == record

    with (tmp_path / "log").open("wb") as file:
        asyncio.run(wired())
