"""A real child process: started, told, waited for, reaped."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from meshproxy.control import command as command_module
from meshproxy.control.command import Command, CommandError, environment_with, reap


def ended(command: Command) -> int:
    select.select([command.pidfd], [], [], 20.0)
    assert command.ended()
    assert command.code is not None
    return command.code


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
)
def test_its_end_becomes_an_exit_code(script: str, code: int) -> None:
    command = Command(["sh", "-c", script], {"PATH": os.environ["PATH"]})
    assert not command.ended()
    command.start()
    assert ended(command) == code
    assert not command.runs
    command.signal(signal.SIGTERM)


def test_a_signal_reaches_it() -> None:
    command = Command(["sh", "-c", "trap 'exit 7' USR1; echo; while :; do sleep 0.01; done"], {})
    command._environment = {"PATH": os.environ["PATH"]}
    command.start()
    while not command.ended():
        command.signal(signal.SIGUSR1)
        select.select([command.pidfd], [], [], 0.05)
    assert command.code in (7, 128 + signal.SIGUSR1), "it may come before the trap is set"


def test_what_cannot_be_started_says_why(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("not a program")
    with pytest.raises(CommandError, match="not found") as missing:
        Command(["/no/such/command"], {}).start()
    with pytest.raises(CommandError, match="Permission denied") as closed:
        Command([str(plain)], {}).start()
    assert (missing.value.code, closed.value.code) == (127, 126)


def test_a_command_whose_starter_has_ended_meanwhile_ends_too() -> None:
    """The kernel tells only of ends that are yet to come."""
    tie = command_module._tied(parent=os.getppid())
    ended = subprocess.run(["sleep", "20"], preexec_fn=tie, check=False)
    assert ended.returncode == -signal.SIGTERM


def test_orphans_are_reaped_and_a_known_child_is_left() -> None:
    script = f"""
import os, sys, time, ctypes
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from meshproxy.control.command import Command, reap
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us, as to PID 1
command = Command(["sh", "-c", "sh -c 'exit 0' & sh -c 'sleep 0.01' & exit 5"], dict(os.environ))
command.start()
end = time.monotonic() + 20
while command.ended() is False and time.monotonic() < end:
    reap(frozenset([command.pid]))
while time.monotonic() < end:
    reap(frozenset())
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        sys.exit(command.code)
"""
    done = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", script])
    assert done == 5


def test_the_way_through_the_sidecar_is_in_the_environment() -> None:
    made = environment_with(
        {"A": "1", "USERS_URL": "http://mine"},
        "http://127.0.0.1:15001",
        {"users": "http://127.0.0.1:15101", "stock-room": "http://127.0.0.1:15001/stock"},
    )
    assert made["HTTP_PROXY"] == made["http_proxy"] == "http://127.0.0.1:15001"
    assert "127.0.0.1" in made["NO_PROXY"].split(",")
    assert made["STOCK_ROOM_URL"] == "http://127.0.0.1:15001/stock"
    assert (made["A"], made["USERS_URL"]) == ("1", "http://mine")


def test_without_a_way_nothing_is_added() -> None:
    assert environment_with({"A": "1"}, "", {}) == {"A": "1"}
    reap(frozenset())
