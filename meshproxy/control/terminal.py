"""SIGTTIN and SIGTTOU for the command of `run --`: servers such as gunicorn are scaled by them.

The kernel sends the same two, to every process of a job in the background, when one of them uses
the terminal. With a handler for them, a line of ours that is kept from the terminal (stty
tostop) would be tried for ever, and without one we would stop. So they are blocked, with which
the kernel lets lines pass, and read from a descriptor, which tells who has sent them.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator

SCALING = (signal.SIGTTIN, signal.SIGTTOU)

_RECORD = struct.Struct("=Iii116x")
"""signalfd_siginfo: its number, an errno, and a code above 0 where the kernel is the sender."""

_SET = 128
"""Bytes of a sigset_t, to all C libraries."""


def hold() -> None:
    """Block both. To be called before there is a thread, which would stop the process else."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SCALING)


def let_go() -> None:
    """Undo it, in a child that is about to become another program."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SCALING)


class Scaling:
    """What of them is sent from now on. `fd` is readable then; -1 where that is forbidden, and
    they have no effect."""

    def __init__(self) -> None:
        self.fd = _opened()
        for _ in self.sent():
            pass  # before there was a command

    def sent(self) -> Iterator[int]:
        """The numbers that processes have sent; what the kernel has, it has sent to all of us."""
        while self.fd >= 0:
            try:
                record = os.read(self.fd, _RECORD.size)
            except BlockingIOError:
                return
            number, _, code = _RECORD.unpack(record)
            if code <= 0:
                yield number

    def close(self) -> None:
        """There is no command any more. They stay blocked."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _opened() -> int:
    """A signalfd, which Python has no function for; -1 where a list of system calls forbids it."""
    import ctypes  # only who has a command needs it

    libc = ctypes.CDLL(None)
    numbers = ctypes.create_string_buffer(_SET)
    libc.sigemptyset(numbers)
    for number in SCALING:
        libc.sigaddset(numbers, number)
    opened: int = libc.signalfd(-1, numbers, os.O_NONBLOCK | os.O_CLOEXEC)
    return opened
