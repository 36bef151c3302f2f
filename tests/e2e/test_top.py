"""`meshproxy top` beside a running sidecar: on a terminal, in a pipe, and when it goes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from .harness import Origin, Sidecar, answering, eventually, fetch, reply
from .harness.sidecar import command, environment

CONFIG = """
service: {name: orders, version: "1.4"}
inbound:
  listen: <inbound>
  app: http://<app>
outbound:
  listen: <outbound>
  services:
    payments:
      endpoints: [<app>]
      retry: off
      circuit_breaker: {consecutive_failures: 2, open_for: 60s}
"""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HOME = "\x1b[H"
"""How each drawing of the screen begins."""


@pytest.fixture
def sidecar(app: Origin) -> Iterator[Sidecar]:
    app.script = answering(lambda message: reply(503 if message.target == "/bad" else 200))
    with Sidecar.running(CONFIG, app=app.address) as running:
        yield running


class Terminal:
    """A command on a terminal of its own, and all that it has written there."""

    def __init__(self, columns: int, rows: int, words: list[str]) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            command(*words),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment(), "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._bytes = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def raw(self) -> str:
        """All of it; a character may be there by half as yet."""
        return self._bytes.decode(errors="replace")

    @property
    def written(self) -> str:
        return ESCAPES.sub("", self.raw)

    def screen(self) -> list[str]:
        """The latest drawing, as far as it has come, line by line."""
        latest = self.raw.rpartition(HOME)[2]
        return [line.rstrip() for line in ESCAPES.sub("", latest).splitlines()]

    def shows(self, look: Callable[[list[str]], bool]) -> list[str]:
        """A screen that looks so, within a few seconds."""
        seen: list[list[str]] = []

        def looks_so() -> bool:
            seen.append(self.screen())
            return look(seen[-1])

        eventually(looks_so, 15, "the screen")
        return seen[-1]

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        os.close(self._master)

    def _read(self) -> None:
        try:
            while piece := os.read(self._master, 65536):
                self._bytes += piece
        except OSError:
            pass  # the command has closed its side


@contextmanager
def terminal(
    sidecar: Sidecar, *words: str, columns: int = 80, rows: int = 24
) -> Iterator[Terminal]:
    where = ["top", "-c", str(sidecar.file), "--every", "250ms", *words]
    made = Terminal(columns, rows, where)
    try:
        yield made
    finally:
        made.close()


def row(lines: list[str], *words: str) -> list[str]:
    """The words of the first line that has all of these; none if there is no such line."""
    return next((line.split() for line in lines if all(word in line for word in words)), [])


def test_a_terminal_shows_routes_breakers_and_health(sidecar: Sidecar) -> None:
    with terminal(sidecar) as made:
        made.shows(lambda lines: bool(row(lines, "payments:")))
        for _ in range(3):
            fetch(sidecar.outbound, "/bad", headers={"Host": "payments"})
        lines = made.shows(lambda lines: "open" in row(lines, "payments", ":", "ok"))
        assert lines[0].startswith(f"orders 1.4  127.0.0.1:{sidecar.admin[1]}  generation 1  up ")
        assert row(lines, "DIR")[:3] == ["DIR", "ROUTE", "SUCCESS"]
        assert max(map(len, lines)) <= 80
        assert len(lines) <= 24


def test_a_window_that_grows_is_filled(sidecar: Sidecar) -> None:
    with terminal(sidecar, "--every", "60s") as made:
        made.shows(lambda lines: bool(row(lines, "DIR", "ROUTE")))
        made.resize(140, 40)
        # Long before the next event.
        made.shows(lambda lines: bool(row(lines, "DIRECTION", "UPSTREAM", "RETRIES")))


def test_a_failed_reload_is_seen(sidecar: Sidecar) -> None:
    with terminal(sidecar, columns=140) as made:
        made.shows(lambda lines: bool(row(lines, "DIRECTION")))
        sidecar.write(CONFIG + "nonsense: 1\n")
        sidecar.reload()
        made.shows(lambda lines: "nonsense:" in row(lines, "last reload failed"))


def test_ctrl_c_ends_it_well_and_gives_the_screen_back(sidecar: Sidecar) -> None:
    with terminal(sidecar) as made:
        made.shows(lambda lines: bool(row(lines, "DIR")))
        made.type(b"\x03")
        assert made.process.wait(10) == 0
        eventually(lambda: "\x1b[?25h" in made.raw, what="the cursor")
        assert "\x1b[?1049l" in made.raw
        assert "Traceback" not in made.written


def test_a_sidecar_that_goes_is_told(sidecar: Sidecar) -> None:
    with terminal(sidecar) as made:
        made.shows(lambda lines: bool(row(lines, "DIR")))
        sidecar.signal(signal.SIGTERM)
        assert made.process.wait(10) == 1
        where = f"127.0.0.1:{sidecar.admin[1]}"
        message = f"meshproxy top: the sidecar at {where} has ended"
        eventually(lambda: message in made.written, what=message)


def test_a_pipe_gets_one_plain_table(sidecar: Sidecar) -> None:
    done = subprocess.run(
        command("top", "-c", str(sidecar.file), "--once", "--every", "250ms"),
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        check=True,
    )
    lines = done.stdout.splitlines()
    assert row(lines, "DIRECTION")[:3] == ["DIRECTION", "UPSTREAM", "ROUTE"]
    assert row(lines, "outbound", "payments")[:5] == ["outbound", "payments", "default", "-", "0"]
    assert "\x1b" not in done.stdout


def test_lines_of_json_add_up_to_the_traffic(sidecar: Sidecar) -> None:
    with subprocess.Popen(
        command("top", "-c", str(sidecar.file), "--format", "json", "--every", "250ms"),
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline())]
        for number in range(25):
            fetch(sidecar.inbound, "/bad" if number % 5 == 0 else "/good")
        now = sidecar.admin_json("/info")["uptime_seconds"]
        while told[-1]["uptime_seconds"] <= now:
            told.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    routes = [one for event in told for one in event["routes"] if one["upstream"] == "app"]
    assert sum(one["requests"] for one in routes) == 25
    assert sum(one["errors"] for one in routes) == 5
