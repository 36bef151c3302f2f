"""Where a worker is, when its loop turns no more: its threads' stacks, by signal and pipe.

The handlers are faulthandler's, in C: they write although no Python runs. The first goes on
afterwards; the other ends the process, so that one which was stopped comes back for its stack
alone, and takes no connection that would end with it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from pathlib import Path

TELL = signal.SIGRTMIN + 3
"""Has a worker write its stacks and go on."""

TELL_AND_END = signal.SIGRTMIN + 4
"""Has a worker write its stacks and end, by what this signal does where nobody handles it."""

STACK = 16 * 1024
"""Bytes that are read."""

WAIT, LAST_WAIT = 0.1, 0.3
"""Seconds that they are waited for, of one that goes on and of one that ends with it."""

SILENCE = 0.02
"""Seconds without another piece after which one that goes on has said all."""


def listen(pipe: int) -> None:
    """In the worker: write to `pipe` when asked."""
    faulthandler.register(TELL, file=pipe, all_threads=True)
    faulthandler.register(TELL_AND_END, file=pipe, all_threads=True, chain=True)


def now(pid: int, pipe: int) -> str:
    """Where it is; empty for one that is stopped, which answers no signal."""
    if state(pid) in ("T", "t", "Z", ""):
        return ""
    _send(pid, TELL)
    return _read(pipe, WAIT, SILENCE)


def at_its_end(pid: int, pipe: int) -> str:
    """Where it is, or was stopped; it ends with that. A child that nobody has waited for."""
    _send(pid, TELL_AND_END)
    if state(pid) == "T":
        os.kill(pid, signal.SIGCONT)
    return _read(pipe, LAST_WAIT, LAST_WAIT)  # its end is the end of the pipe


def state(pid: int) -> str:
    """As ps says it: R, S, D, T (stopped), Z."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _send(pid: int, number: int) -> None:
    """To its main thread, where the loop is: no other one could hold back that it goes on."""
    import ctypes  # only who has a stuck worker needs it

    to_thread = getattr(ctypes.CDLL(None), "tgkill", None)  # not in musl
    if to_thread is None:
        os.kill(pid, number)
    else:
        to_thread(pid, pid, number)


def _read(pipe: int, wait: float, silence: float) -> str:
    """What comes until the pipe has ended, was silent for so long, or the wait is over."""
    heard = time.monotonic()
    end = heard + wait
    text = b""
    while (at := time.monotonic()) < end and len(text) < STACK:
        try:
            piece = os.read(pipe, STACK)
        except BlockingIOError:
            if text and at - heard >= silence:
                break
            time.sleep(0.005)
            continue
        if not piece:
            break
        text += piece
        heard = at
    return text.decode(errors="replace")
