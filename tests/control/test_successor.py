"""What forbids an upgrade in place, and how one ends; the rest is tests/e2e/test_upgrade.py's."""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from meshproxy.control import successor
from meshproxy.control.sockets import READY, Sockets
from meshproxy.control.successor import (
    LATE,
    PATIENCE,
    UNWANTED,
    Succession,
    Watched,
    why_not,
)

pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
"""Whoever is followed ends, and does not wait for the one that follows."""

WAITS = "import time; time.sleep(600)"
TELLS = f"import os; os.write(int(os.environ[{READY!r}]), b'1'); {WAITS}"
ENDS = "raise SystemExit(3)"
UNDER_WAY = "an upgrade is under way"


class NoSockets:
    """Nothing to hand over."""

    def open(self) -> list[Any]:
        return []


def becomes(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """What the new process does, which would run the command of this one."""
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", program])


class Scene:
    """A process without an event loop that is upgraded."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.told: list[dict[str, Any]] = []
        self.over: list[int] = []
        self.done: list[str] = []
        self.upgrades = Watched(
            cast(Sockets, NoSockets()), self.selector, self.tell, self.over.append
        )

    def tell(self, event: str, **fields: Any) -> None:
        self.told.append({"event": event, **fields})

    def start(self, now: float = 100.0) -> int:
        self.upgrades.start("", now, self.done.append)
        return int(self.told[-1]["successor"])


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    for pid in made.over:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    made.upgrades.abort()
    made.selector.close()


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_what_forbids_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not("f.yaml", has_command=False) == ""
    assert "child" in why_not("f.yaml", has_command=True)
    assert "standard input" in why_not("<stdin>", has_command=False)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert "PID 1" in why_not("f.yaml", has_command=False)


def test_one_that_is_not_ready_in_time_is_ended(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    becomes(monkeypatch, WAITS)
    pid = scene.start(100.0)
    scene.upgrades.look(100.0 + PATIENCE - 0.1)
    assert runs(pid)
    assert scene.done == []
    scene.upgrades.look(100.0 + PATIENCE)
    assert scene.done == [f"the new process {pid} {LATE}; this one goes on"]
    assert not runs(pid)
    assert scene.over == []
    assert scene.told[-1]["event"] == "upgrade_failed"
    assert not scene.selector.get_map()


def test_one_that_is_ready_takes_over(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    becomes(monkeypatch, TELLS)
    pid = scene.start()
    assert scene.selector.select(30.0), "it tells"
    scene.upgrades.heard()
    assert (scene.over, scene.done) == ([pid], [""])
    scene.upgrades.look(100.0 + 2 * PATIENCE)
    assert runs(pid), "it is not late any more"


def test_one_that_ends_has_failed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    becomes(monkeypatch, ENDS)
    pid = scene.start()
    assert scene.selector.select(30.0), "its end of the pipe is closed"
    scene.upgrades.heard()
    assert scene.done == [f"the new process {pid} ended with exit code 3; this one goes on"]
    assert scene.over == []


def test_there_is_one_at_a_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    becomes(monkeypatch, WAITS)
    pid = scene.start()
    scene.upgrades.start("", 101.0, scene.done.append)
    assert scene.done == [UNDER_WAY]
    assert runs(pid)


def test_whoever_ends_takes_the_new_one_along(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    becomes(monkeypatch, WAITS)
    pid = scene.start()
    scene.upgrades.abort()
    assert not runs(pid)
    assert scene.done == [f"the new process {pid} {UNWANTED}"]
    scene.upgrades.abort()
    assert len(scene.done) == 1


@pytest.mark.parametrize(
    ("program", "says"),
    [(WAITS, LATE), (ENDS, "ended with exit code 3"), (TELLS, "")],
    ids=["late", "ends", "ready"],
)
def test_so_it_is_on_an_event_loop(
    program: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    becomes(monkeypatch, program)
    monkeypatch.setattr(successor, "PATIENCE", 0.2 if program is WAITS else 30.0)
    over: list[int] = []

    async def upgrade() -> str:
        succession = Succession(
            cast(Sockets, NoSockets()), lambda: "", lambda event, **fields: None, over.append
        )
        return await succession.run()

    why = asyncio.run(upgrade())
    assert says in why
    assert bool(over) == (not says)
    for pid in over:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_on_an_event_loop_too_the_end_takes_it_along(monkeypatch: pytest.MonkeyPatch) -> None:
    becomes(monkeypatch, WAITS)
    told: list[dict[str, Any]] = []

    async def upgrade() -> list[str]:
        succession = Succession(
            cast(Sockets, NoSockets()), lambda: "", lambda event, **more: told.append(more),
            lambda pid: None,
        )  # fmt: skip
        running = asyncio.ensure_future(succession.run())
        await asyncio.sleep(0)
        another = await succession.run()
        succession.abort()
        return [await running, another]

    why, another = asyncio.run(upgrade())
    assert another == UNDER_WAY
    assert why.endswith(UNWANTED)
    assert not runs(told[0]["successor"])
