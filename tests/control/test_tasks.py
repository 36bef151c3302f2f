"""Tasks are told with their age, where they wait and for what."""

from __future__ import annotations

import asyncio
import itertools

from meshproxy.control.tasks import as_text, dated, tasks


async def leaf(event: asyncio.Event) -> None:
    await event.wait()


async def waiter(event: asyncio.Event) -> None:
    await leaf(event)


def test_each_task_is_told_the_oldest_first() -> None:
    async def whole() -> None:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        undated = asyncio.create_task(waiter(event), name="undated")
        clock = itertools.count(100.0, 10.0)
        loop.set_task_factory(dated(lambda: next(clock)))
        old = asyncio.create_task(waiter(event), name="old")
        young = loop.create_task(waiter(event), name="young")
        fresh = None
        await asyncio.sleep(0)
        fresh = asyncio.create_task(waiter(event), name="fresh")
        young.cancel()
        told = {each["name"]: each for each in tasks(125.0)}
        names = [each["name"] for each in tasks(125.0)]
        assert names.index("old") < names.index("young") < names.index("undated")
        assert told["old"]["age_seconds"] == 25.0
        assert told["undated"]["age_seconds"] is None
        assert told["old"]["coroutine"] == "waiter"
        assert told["old"]["state"] == "waiting"
        assert told["old"]["waits_for"] == "Future"
        assert [call.split()[1] for call in told["old"]["stack"]] == [
            "waiter",
            "leaf",
            "Event.wait",
        ]
        assert (told["fresh"]["state"], told["young"]["cancelling"]) == ("new", True)
        me = asyncio.current_task()
        assert me is not None
        assert told[me.get_name()]["state"] == "running"
        text = as_text(tasks(125.0))
        assert "old: waiter, waiting for Future, 25.000 s old\n" in text
        assert "undated: waiter, waiting for Future\n" in text
        event.set()
        await asyncio.gather(undated, old, young, fresh, return_exceptions=True)

    asyncio.run(whole())
