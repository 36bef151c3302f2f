"""Diagnosis on a real sidecar: what holds its loop, what it is doing, and its own mistakes."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .harness import Client, Message, Origin, Sidecar, eventually, fetch

CONFIG = """
inbound: {listen: <inbound>, app: http://<app>, concurrency: {max: 4, queue: 0}}
logs: {level: info, access: {errors: true, slower_than: off, sample: 0%}}
"""
OWN = {"Host": "127.0.0.1"}


class Driven(Sidecar):
    """One that has the mistakes of tests/e2e/driven.py, and may tell of them."""

    BUGS = ("Traceback (most",)

    def words(self) -> list[str]:
        return [sys.executable, "-m", "tests.e2e.driven", "run", "-c", str(self.file)]

    def lines(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log_lines() if line["event"] == event]

    def blocks(self) -> float:
        return self.total("meshproxy_event_loop_blocked_total")


@pytest.fixture(scope="module")
def driven(app: Origin) -> Iterator[Driven]:
    with Driven.running(CONFIG, app=app.address) as running:
        yield running


def page(sidecar: Sidecar, path: str, method: str = "GET") -> Message:
    return fetch(sidecar.admin, path, method, headers=OWN, timeout=60.0)


# What holds the loop


def test_f18_a_loop_that_is_held_for_500_ms_is_told_with_the_stack_that_holds_it(
    driven: Driven,
) -> None:
    before, blocks = len(driven.lines("event_loop_blocked")), driven.blocks()
    driven.signal(signal.SIGUSR1)
    (line,) = eventually(lambda: driven.lines("event_loop_blocked")[before:], 20.0, "the line")
    assert "e2e/driven.py" in line["stack"][-1]
    assert line["stack"][-1].endswith(" hold_the_loop")
    assert line["level"] == "warning"
    assert line["seconds"] >= 0.2
    assert eventually(lambda: driven.blocks() - blocks) == 1
    seconds = driven.total("meshproxy_event_loop_blocked_seconds_total")
    assert seconds >= 0.4
    assert driven.total("meshproxy_event_loop_lag_seconds") > 0.0


def test_code_that_lets_no_other_thread_run_is_told_of_when_it_does(driven: Driven) -> None:
    def told() -> bool:
        """Unless this machine lets us hardly run at all, which is told as just that."""
        before = len(driven.log_lines())
        driven.signal(signal.SIGUSR2)
        words = {"event_loop_blocked", "process_paused"}
        line = eventually(
            lambda: [one for one in driven.log_lines()[before:] if one["event"] in words], 20.0
        )[0]
        return any("hold_everything" in call for call in line.get("stack", ()))

    eventually(told, 60.0, "a block by C code")


def test_t49_the_line_is_there_while_the_loop_is_still_held(driven: Driven) -> None:
    """It does not wait for the loop that it is about: who is stuck for good is told of, too."""

    def told() -> list[dict[str, Any]]:
        lines = driven.lines("event_loop_blocked")
        return [line for line in lines if line["stack"][-1].endswith(" hold_until_told")]

    driven.signal(signal.SIGWINCH)
    eventually(told, 20.0, "the line")
    (driven.folder / "go-on").touch()
    assert fetch(driven.inbound, "/").status == 200
    assert len(told()) == 1


def test_a_process_that_is_stopped_for_a_while_has_blocked_nothing(app: Origin) -> None:
    with Driven.running(CONFIG, app=app.address) as stopped:
        fetch(stopped.inbound, "/")
        stopped.signal(signal.SIGSTOP)
        time.sleep(1.0)
        stopped.signal(signal.SIGCONT)
        line = eventually(lambda: stopped.lines("process_paused"), 20.0, "the line")[0]
        assert line["seconds"] > 0.7
        assert stopped.blocks() == 0
        assert stopped.total("meshproxy_process_paused_total") >= 1


def test_off_is_off(app: Origin) -> None:
    config = CONFIG.replace("level: info", "level: info, slow_loop: off")
    with Driven.running(config, app=app.address) as off:
        off.signal(signal.SIGUSR1)
        eventually(lambda: off.total("meshproxy_event_loop_lag_seconds") > 0.2, 20.0)
        assert (off.blocks(), off.lines("event_loop_blocked")) == (0, [])
        names = {one["name"] for one in json.loads(page(off, "/debug/stacks?format=json").body)}
        assert "watchdog" not in names


# Mistakes


@pytest.mark.parametrize("phase", ["admit", "depart", "settle", "respond"])
def test_a_policy_with_a_bug_costs_its_own_request_and_nothing_else(
    driven: Driven, app: Origin, phase: str
) -> None:
    app.forget()
    with Client(driven.inbound) as other:
        assert other.ask("GET", "/").status == 200
        for _ in range(6):
            answer = fetch(driven.inbound, f"/broken/{phase}?token=hunter2")
            assert (answer.status, answer.get("x-meshproxy-reason")) == (500, "IE")
            assert answer.get("connection") == "close"
            assert json.loads(answer.body)["reason"] == "IE"
            assert b"OddError" not in answer.body
        # More than there are places for at once: each was given back.
        assert other.ask("GET", "/").status == 200
    assert driven.total("meshproxy_concurrency_in_use") == 0
    assert driven.total("meshproxy_in_flight_requests") == 0
    assert driven.total("meshproxy_requests_total", code="500", flags="IE") >= 6
    lines = [line for line in driven.lines("bug") if f"broken/{phase}" in str(line["trace"])]
    assert "hunter2" not in driven.logged()
    found = [bug for bug in json.loads(page(driven, "/debug/bugs").body) if bug["count"] >= 6]
    told = {bug["fingerprint"] for bug in found} & {line["fingerprint"] for line in lines}
    assert len(lines) == len({line["fingerprint"] for line in lines}), "each is told once"
    for fingerprint in told:
        assert driven.total("meshproxy_bugs_total", fingerprint=fingerprint) >= 6


def test_a_bug_is_told_once_with_its_trace(driven: Driven, app: Origin) -> None:
    app.forget()
    for _ in range(3):
        fetch(driven.inbound, "/broken/depart")
    lines = [line for line in driven.lines("bug") if "OddError" in line["error"]]
    prints = [line["fingerprint"] for line in lines]
    assert len(prints) == len(set(prints))
    (depart,) = [line for line in lines if any("Conductor.attempt" in one or "in attempt" in one
                                               for one in line["trace"])]  # fmt: skip
    assert depart["level"] == "error"
    assert depart["where"].startswith("e2e/driven.py:")
    assert depart["error"] == "OddError: a secret: '***'"


def test_a_bug_in_a_sweep_is_not_the_last_sweep(driven: Driven) -> None:
    (driven.folder / "sweep-bug").touch()

    def again() -> bool:
        found = json.loads(page(driven, "/debug/bugs").body)
        return any("sweep_or_raise" in bug["where"] and bug["count"] > 3 for bug in found)

    eventually(again, what="more than one sweep")
    (driven.folder / "sweep-bug").unlink()
    assert fetch(driven.inbound, "/").status == 200


# What it is doing


def test_tasks_and_stacks_are_told_and_nothing_of_a_request_is_in_them(
    driven: Driven, app: Origin
) -> None:
    app.forget()
    fetch(driven.inbound, "/a?token=hunter2", headers={"Authorization": "Bearer hunter3"})
    told = json.loads(page(driven, "/debug/tasks").body)
    watch = next(task for task in told if task["coroutine"] == "Reloader.watch")
    assert watch["age_seconds"] > 0.0
    assert any("Reloader.watch" in call for call in watch["stack"])
    stacks = page(driven, "/debug/stacks").body.decode()
    assert stacks.startswith("MainThread (")
    assert "Watchdog._watch" in stacks
    for text in (page(driven, "/debug/tasks").body.decode(), stacks):
        assert "hunter" not in text


def test_memory_is_told(driven: Driven) -> None:
    told = json.loads(page(driven, "/debug/memory?objects=1").body)
    assert abs(told["process"]["resident"] - driven.rss()) < 16 * 1024 * 1024
    assert told["process"]["resident"] <= told["process"]["peak"]
    assert told["collector"]["frozen"] > 10_000, "what the start made is not walked"
    assert 0 < told["objects"]["count"] < told["collector"]["frozen"]
    assert told["kept"]["cells"]["Endpoint"] == 1


def test_top_allocations_are_told_while_they_are_traced(driven: Driven, app: Origin) -> None:
    app.forget()
    assert page(driven, "/debug/memory?tracemalloc=on&seconds=60", "POST").status == 200
    fetch(driven.inbound, "/")
    told = json.loads(page(driven, "/debug/memory").body)["tracemalloc"]
    assert told["on"] is True
    assert 0.0 < told["seconds_left"] <= 60.0
    assert any(one["where"].startswith("meshproxy/") for one in told["top"])
    assert json.loads(page(driven, "/debug/memory?tracemalloc=off", "POST").body) == {"on": False}


def is_sampled(sidecar: Sidecar) -> bool:
    return b" Sampler.run" in page(sidecar, "/debug/tasks").body


def asking(sidecar: Sidecar, until: threading.Event) -> None:
    with Client(sidecar.inbound) as client:
        while not until.is_set():
            client.ask("GET", "/")


@pytest.fixture
def busy(driven: Driven, app: Origin) -> Iterator[Driven]:
    """Under load from three connections."""
    app.forget()
    done = threading.Event()
    callers = [threading.Thread(target=asking, args=(driven, done)) for _ in range(3)]
    for caller in callers:
        caller.start()
    yield driven
    done.set()
    for caller in callers:
        caller.join(10.0)


def test_a_flame_graph_of_a_busy_sidecar_shows_the_walk(busy: Driven) -> None:
    root = ElementTree.fromstring(page(busy, "/debug/profile?seconds=2").body)
    titles = [title.text or "" for title in root.iter("{http://www.w3.org/2000/svg}title")]
    for function in ("Downstream.data_received", "Upstream.data_received", "Conductor.begin"):
        assert any(title.startswith(f"{function} meshproxy/dataplane/") for title in titles)
    assert "hunter" not in str(titles)


def test_traffic_goes_on_while_a_profile_is_taken_and_one_is_taken_at_a_time(busy: Driven) -> None:
    answers: list[Message] = []
    path = "/debug/profile?seconds=2&format=collapsed"
    first = threading.Thread(target=lambda: answers.append(page(busy, path)))
    first.start()
    eventually(lambda: is_sampled(busy), what="the first profile")
    assert page(busy, path).status == 409
    assert fetch(busy.inbound, "/").status == 200
    first.join(30.0)
    lines = answers[0].body.decode().splitlines()
    counts = [int(line.rpartition(" ")[2]) for line in lines]
    # A sample that comes late counts for the time since the one before.
    assert 150 <= sum(counts) <= 250
    assert page(busy, "/debug/profile?seconds=0.1").status == 200


def test_speedscope_gets_a_file_that_it_takes(busy: Driven) -> None:
    from jsonschema import Draft7Validator

    schema = Path(__file__).parents[1] / "telemetry" / "data" / "speedscope.schema.json"
    made = json.loads(page(busy, "/debug/profile?seconds=0.5&format=speedscope&threads=all").body)
    Draft7Validator(json.loads(schema.read_text())).validate(made)
    names = {frame["name"] for frame in made["shared"]["frames"]}
    assert {"thread MainThread", "thread watchdog"} <= names


def test_it_still_ends_when_it_is_told_to_within_a_profile(app: Origin) -> None:
    with Driven.running(CONFIG, app=app.address) as running:
        given_up = threading.Thread(target=lambda: _ignored(running), daemon=True)
        given_up.start()
        eventually(lambda: is_sampled(running), what="the profile")
        running.signal(signal.SIGTERM)
        assert running.process.wait(10.0) == 0


def _ignored(sidecar: Sidecar) -> None:
    try:
        page(sidecar, "/debug/profile?seconds=60")
    except Exception:  # noqa: BLE001  # it is cut off
        pass
