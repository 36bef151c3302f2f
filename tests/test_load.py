"""Load fails when the sidecar is broken: each scenario once, in the way it is there to notice."""

from __future__ import annotations

import json
import re
import shlex
import socketserver
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from loadtests import load, sidecar, tally
from loadtests.processes import Group, free_port

ROOT = Path(__file__).parents[1]
SOUND = {
    "requests": 1000,
    "failures": 0,
    "rate": 100.0,
    "p50": 2.0,
    "p95": 9.0,
    "seen": {},
    "errors": [],
    "problems": [],
}
STRICT = load.Scenario("steady", ("SteadyMix",), 0.0)
LENIENT = load.Scenario("failing", ("FailingUpstream",), 0.01)


def wrong(scenario: load.Scenario, **figures: Any) -> list[str]:
    return load.judge(scenario, 250.0, {**SOUND, **figures}).problems


def test_a_sound_run_has_no_problem() -> None:
    assert wrong(STRICT) == []
    assert wrong(LENIENT, failures=10) == []


@pytest.mark.parametrize(
    ("scenario", "figures", "complaint"),
    [
        (STRICT, {"failures": 1, "errors": ["1 x GET: status 503"]}, "1 of 1000 failed"),
        (LENIENT, {"failures": 11}, "at most 1.0% may"),
        (STRICT, {"requests": 0}, "no request was made"),
        (STRICT, {"p95": 251.0}, "p95 is 251 ms"),
        (STRICT, {"problems": ["the burst should see both 200 and 429"]}, "both 200 and 429"),
    ],
)
def test_each_threshold_is_one(
    scenario: load.Scenario, figures: dict[str, Any], complaint: str
) -> None:
    assert complaint in " ".join(wrong(scenario, **figures))


FREE = "limit: 1000000/s, burst: 1000000"
BROKEN: dict[str, Callable[[str, sidecar.Ports], str]] = {
    "steady": lambda text, ports: text.replace(
        f"app: http://127.0.0.1:{ports.app}", f"app: http://127.0.0.1:{ports.dead}"
    ),
    "burst": lambda text, _: text.replace(
        f"{sidecar.LIMIT}/s, burst: {sidecar.LIMIT}", "1000000/s"
    ),
    # Of two endpoints the sound one would get nearly all, with retries or without.
    "failing": lambda text, ports: text.replace(f'"127.0.0.1:{ports.sound}", ', "").replace(
        "attempts: 2", "attempts: 0"
    ),
    "proxied": lambda text, _: text.replace("    users: {", "    others: {"),
    "helped": lambda text, _: text.replace("cache: {}", "cache: off"),
    # The edits then change nothing, as if nobody had looked at the file.
    "reload": lambda text, _: text.replace("timeout: 10s", "timeout: 10000ms"),
}


def test_every_scenario_is_broken_once() -> None:
    assert list(BROKEN) == [scenario.name for scenario in load.SCENARIOS]


RESETS = "faults: {inject: [{reset: true, percent: 20%}]}"
SUBTLE: dict[str, tuple[str, Callable[[str, sidecar.Ports], str], str]] = {
    # What a caller would try again, and not speak of.
    "requests that are lost": (
        "burst",
        lambda text, _: text.replace("GET /limited\n", f"GET /limited\n      {RESETS}\n"),
        "no answer",
    ),
    "cached answers that are lost": (
        "helped",
        lambda text, _: text.replace("cache: {}", f"cache: {{}}, {RESETS}"),
        "no answer",
    ),
    "a limit ten times too loose": (
        "burst",
        lambda text, _: text.replace(
            f"{sidecar.LIMIT}/s, burst: {sidecar.LIMIT}",
            f"{10 * sidecar.LIMIT}/s, burst: {10 * sidecar.LIMIT}",
        ),
        "the limit gave",
    ),
    "a breaker that never opens": (
        "failing",
        lambda text, _: re.sub("circuit_breaker: {.*}", "circuit_breaker: off", text),
        "the breaker let",
    ),
    "a cache that forgets at once": (
        "helped",
        lambda text, _: text.replace("cache: {}", "cache: {ttl: 20ms, stale_while_revalidate: 0s}"),
        "the cache fetched",
    ),
}


@pytest.mark.parametrize("scenario", BROKEN)
def test_a_broken_sidecar_fails(
    scenario: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fails(scenario, BROKEN[scenario], f"{scenario}: ", monkeypatch, capfd)


@pytest.mark.parametrize("what", SUBTLE)
def test_a_subtle_fault_fails(
    what: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scenario, change, complaint = SUBTLE[what]
    fails(scenario, change, complaint, monkeypatch, capfd)


def fails(
    scenario: str,
    change: Callable[[str, sidecar.Ports], str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A scenario must not pass with the sidecar's file changed like this, and say why."""
    sound = sidecar.config

    def broken(ports: sidecar.Ports) -> str:
        text = sound(ports)
        assert change(text, ports) != text
        return change(text, ports)

    monkeypatch.setattr(sidecar, "config", broken)
    # Nobody judges how fast it is: what is broken is what is noticed.
    argv = ["--only", scenario, "--seconds", "3", "--users", "4", "--p95", "60000"]
    assert load.main(argv) == 1
    assert complaint in capfd.readouterr().out


class Loser(socketserver.ThreadingTCPServer):
    """Reads each fifth request of a connection to its end, and then closes without a byte."""

    daemon_threads = True

    def __init__(self, reads: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.reads = reads  # else it does not even wait for the fifth
        self.lost: list[bytes] = []  # appending is safe between threads, adding is not


class Connection(socketserver.StreamRequestHandler):
    """Four requests that are answered as the origins would, and one that is not."""

    def handle(self) -> None:
        for _ in range(4):
            head = self.read()
            if not head:
                return
            said = LISTED if head.startswith(b"GET") else STORED
            self.wfile.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % said)
        assert isinstance(self.server, Loser)
        if self.server.reads and (head := self.read()):
            self.server.lost.append(head)

    def read(self) -> bytes:
        """The head of the next request, its body read too; empty at the end."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return b""
            head += line
        self.rfile.read(0 if head.startswith(b"GET") else 2048)
        return head


LISTED = b"200 OK", 21, b'[{"name": "item-5"}]}'
STORED = b"201 Created", 16, b'{"stored": 2048}'


def figures_of(server: Loser, scenario: load.Scenario, folder: Path) -> dict[str, Any]:
    """What the callers say of a server that stands for both listeners."""
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ports = sidecar.Ports(*[server.server_address[1]] * 9)
        args = load.read_options(["--seconds", "2", "--users", "4"])
        figures = load.locust(scenario, args, ports, folder / "none.yaml")
        server.shutdown()
    return figures


def test_each_lost_request_is_a_failure(tmp_path: Path) -> None:
    server = Loser()
    figures = figures_of(server, STRICT, tmp_path)
    assert b"GET" in {head[:3] for head in server.lost}
    assert figures["failures"] == len(server.lost) == figures["seen"]["code 0"]


def test_a_kept_connection_that_a_reload_closes_is_told(tmp_path: Path) -> None:
    callers = load.Scenario("reload", ("ReloadUnderLoad",), 0.0)
    figures = figures_of(Loser(reads=False), callers, tmp_path)
    assert "kept connections were closed" in " ".join(figures["problems"])


def test_a_request_that_only_one_side_counted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "SETTLED", 0.0)
    monkeypatch.setattr(tally, "counted", lambda port: Counter({"200": 7, "0": 1}))
    before = Counter({"200": 2})
    assert tally.compare(Counter({"200": 5, "0": 1}), 1, before) == []
    told = tally.compare(Counter({"200": 6}), 1, before)
    assert told == ["the callers counted 200: 6; the sidecar 0: 1, 200: 5"]


@pytest.mark.parametrize("option", ["--seconds", "--users"])
@pytest.mark.parametrize("number", ["0", "-1", "few"])
def test_no_seconds_and_no_users_are_usage_errors(
    option: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        load.main([option, number])
    assert ended.value.code == 2
    assert f"argument {option}: " in capsys.readouterr().err


def test_a_locust_that_hangs_is_told_and_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # It is not given the time that it runs, so it has never ended in time.
    monkeypatch.setattr(load, "PATIENCE", -0.5)
    before = psutil.Process().children(recursive=True)
    assert load.main(["--only", "steady", "--seconds", "1", "--users", "1"]) == 1
    assert psutil.Process().children(recursive=True) == before
    assert "steady: locust-steady did not end within 0.5 s" in capsys.readouterr().out


def commands(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Those that --help shows, as a shell would read them."""
    with pytest.raises(SystemExit):
        load.main(["--help"])
    text = capsys.readouterr().out.replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.startswith("    python -m")]


def typed(command: list[str], **instead: Any) -> list[str]:
    """A command of ours: run by this Python, with other values for its options, or more."""
    argv = [sys.executable, *command[1:]]
    for name, value in instead.items():
        option = "--" + name.replace("_", "-")
        if option not in argv:
            argv += [option, ""]
        argv[argv.index(option) + 1] = str(value)
    return argv


def test_it_runs_distributed_as_documented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    master, worker = commands(capsys)
    figures, port = tmp_path / "steady.json", free_port()
    with load.site() as (_, ports, _), Group(tmp_path) as group:
        inbound, outbound = (f"http://127.0.0.1:{port}" for port in (ports.inbound, ports.outbound))
        load_of_ours = {"expect_workers": 1, "users": 4, "spawn_rate": 4, "run_time": "2s"}
        where = {"host": inbound, "outbound": outbound, "figures": figures}
        bound = {"master_bind_host": "127.0.0.1", "master_bind_port": port}
        leading = group.start("master", typed(master, **load_of_ours, **where, **bound), cwd=ROOT)
        argv = typed(worker, master_host="127.0.0.1", master_port=port)
        working = group.start("worker", argv, cwd=ROOT)
        assert load.wait(leading, 60.0) == 0, leading.tail()
        assert load.wait(working, 60.0) == 0, working.tail()
        found = json.loads(figures.read_text())
        assert load.judge(STRICT, 60_000.0, found).problems == []
        assert tally.compare(tally.answered(found), ports.metrics, Counter()) == []
