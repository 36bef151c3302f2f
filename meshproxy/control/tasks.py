"""The tasks of the event loop: what each is, where it waits and for what, and since when it is.

Data goes through protocols and makes none; what there is are dials, checks, the ports of the
control side and the watch over the config.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from meshproxy.telemetry.stacks import block, texts, waits

_STATES = {
    inspect.CORO_CREATED: "new",
    inspect.CORO_RUNNING: "running",
    inspect.CORO_SUSPENDED: "waiting",
    inspect.CORO_CLOSED: "done",
}

Make = Callable[..., "asyncio.Task[Any]"]


def dated(now: Callable[[], float]) -> Make:
    """A task factory that notes when each was made; 0.3 us, and no request makes a task."""

    def make(
        loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **more)
        task.made_at = now()  # type: ignore[attr-defined]  # a Task takes what it is given
        return task

    return make


def tasks(now: float) -> list[dict[str, Any]]:
    """All that are not done, the oldest first; the one that asks is among them."""
    told = [_told(task, now) for task in asyncio.all_tasks()]
    return sorted(told, key=lambda each: (-(each["age_seconds"] or 0.0), each["name"]))


def as_text(told: list[dict[str, Any]]) -> str:
    """For people, a task and its stack after the other."""
    return "\n".join(
        block(
            f"{each['name']}: {each['coroutine']}, {each['state']}"
            + (f" for {each['waits_for']}" if each["waits_for"] else "")
            + (f", {each['age_seconds']:.3f} s old" if each["age_seconds"] is not None else ""),
            each["stack"],
        )
        for each in told
    )


def _told(task: asyncio.Task[Any], now: float) -> dict[str, Any]:
    work = task.get_coro()
    stack, on = waits(work)
    made_at = getattr(task, "made_at", None)
    running = task is asyncio.current_task()
    return {
        "name": task.get_name(),
        "coroutine": getattr(work, "__qualname__", type(work).__qualname__),
        "state": "running" if running else _state(work),
        "age_seconds": None if made_at is None else round(now - made_at, 3),
        "waits_for": "" if running else on,
        "cancelling": task.cancelling() > 0,
        "stack": texts(stack),
    }


def _state(work: Any) -> str:
    return _STATES[inspect.getcoroutinestate(work)] if inspect.iscoroutine(work) else "waiting"
