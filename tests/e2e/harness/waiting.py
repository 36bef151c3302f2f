"""Waits for something to become true, and judges how long something took.

It decides how often to look and when to give up; what is looked at is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_LOOK_EVERY = 0.01


def eventually(look: Callable[[], T], within: float = 5.0, what: str = "it") -> T:
    """Look until the answer is true; return it, or fail after `within` seconds."""
    ends = time.monotonic() + within
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > ends:
            raise AssertionError(f"{what} did not happen within {within} s; last seen: {seen!r}")
        time.sleep(_LOOK_EVERY)


@contextmanager
def lasting(least: float, more: float = 0.5) -> Iterator[None]:
    """The block takes at least so many seconds, and not much more."""
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    assert least - 0.02 <= took <= least + more, f"took {took:.3f} s instead of {least} s"
