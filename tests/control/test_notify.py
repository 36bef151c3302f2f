"""What a service manager hears, on a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproxy.control.notify import Notify


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.setblocking(False)
        yield made


def told(manager: socket.socket, **more: str) -> Notify:
    return Notify({"NOTIFY_SOCKET": manager.getsockname(), **more}, 42)


def test_each_message_is_one_datagram(manager: socket.socket) -> None:
    notify = told(manager)
    notify.ready("2 listeners")
    assert manager.recv(999) == b"READY=1\nMAINPID=%d\nSTATUS=2 listeners" % os.getpid()
    notify.reloading(12.5)
    assert manager.recv(999) == b"RELOADING=1\nMONOTONIC_USEC=12500000"
    notify.stopping()
    assert manager.recv(999) == b"STOPPING=1"
    notify.main_is(7)
    assert manager.recv(999) == b"MAINPID=7"


def test_the_watchdog_hears_twice_as_often_as_it_asks(manager: socket.socket) -> None:
    notify = told(manager, WATCHDOG_USEC="2000000")
    heard = 0
    for turn in range(101):
        notify.alive(100.0 + turn * 0.1)
        try:
            heard += manager.recv(999) == b"WATCHDOG=1"
        except BlockingIOError:
            pass
    assert heard in (10, 11)


def test_a_watchdog_of_another_process_is_not_ours(manager: socket.socket) -> None:
    assert told(manager, WATCHDOG_USEC="2000000", WATCHDOG_PID="7").watchdog == 0.0
    assert told(manager, WATCHDOG_USEC="2000000", WATCHDOG_PID="42").watchdog == 1.0


def test_an_abstract_address_is_written_with_an_at() -> None:
    name = f"meshproxy-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind("\0" + name)
        Notify({"NOTIFY_SOCKET": "@" + name}, 1).stopping()
        assert made.recv(99) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "relative", "vsock:1:2"])
def test_without_an_address_nothing_is_said(address: str) -> None:
    notify = Notify({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}, 1)
    notify.ready("")
    notify.alive(5.0)


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    Notify({"NOTIFY_SOCKET": str(tmp_path / "gone")}, 1).stopping()
