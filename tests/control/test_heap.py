"""Memory is told by who holds it, in slices, and tracemalloc ends by itself."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from meshproxy.control import heap
from meshproxy.core.report import Sample
from meshproxy.core.route import Cluster, Endpoint, Snapshot

from .ports import Stage


class Marked:
    """A kind of object that nothing else makes."""


class Cache:
    def samples(self) -> Iterator[Sample]:
        yield Sample("meshproxy_cache_bytes", (), 2048)
        yield Sample("meshproxy_cache_entries", (), 2)


def test_the_process_is_told_as_the_system_counts_it() -> None:
    told = heap.process()
    assert 10 * 1024 * 1024 < told["resident"] <= told["peak"]
    assert told["limit"] > told["resident"]
    assert 0.0 < told["pressure"] < 1.0


def test_without_proc_nothing_is_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_STATUS", heap.Path("/nowhere"))
    assert heap.process()["resident"] is None


def test_what_the_proxy_keeps_is_told_by_kind() -> None:
    endpoint = Endpoint("10.0.0.1:1", "10.0.0.1", 1)
    endpoint.connections, endpoint.dials = 3, 1
    endpoint.idle = SimpleNamespace(below=SimpleNamespace(below=None))
    clusters = (Cluster("payments", (endpoint,), None),)  # type: ignore[arg-type]  # uncounted
    stage = Stage(state=[Cache(), Cache(), Marked()])
    stage.snapshot = Snapshot(1, "abc", {}, clusters)

    async def whole() -> None:
        told = heap.kept(stage)
        assert told["cells"] == {"Cache": 2, "Marked": 1}
        assert told["cache"] == {"bytes": 4096, "entries": 4}
        assert told["upstream_connections"] == {
            "open": 3, "idle": 2, "dialling": 1, "waiting": 0,
        }  # fmt: skip
        assert told["tasks"] == 1

    asyncio.run(whole())


def test_objects_are_counted_by_type_while_the_loop_turns() -> None:
    made = [Marked() for _ in range(50_000)]
    turns = 0

    async def whole() -> dict[str, object]:
        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(turn())
        try:
            return await heap.objects()
        finally:
            other.cancel()

    told = asyncio.run(whole())
    found = [each for each in told["top"] if each["type"].endswith("test_heap.Marked")]  # type: ignore[attr-defined]
    assert [each["count"] for each in found] == [len(made)]
    assert found[0]["bytes"] >= 16 * len(made)
    assert turns >= len(made) // heap.SLICE


def test_top_allocations_are_told_while_tracemalloc_is_on() -> None:
    async def whole() -> None:
        tracing = heap.Tracing(lambda: 100.0)
        assert tracing.state() == {"on": False}
        assert await heap.allocations() == []
        tracing.begin(60.0)
        kept = [bytes(10_000) for _ in range(100)]
        state = tracing.state()
        assert (state["on"], state["seconds_left"]) == (True, 60.0)
        assert state["traced"] > 1_000_000
        top = (await heap.allocations())[0]
        assert top["where"].startswith("control/test_heap.py:")
        assert (top["bytes"] >= 1_000_000, top["count"] >= len(kept)) == (True, True)
        tracing.end()
        assert tracing.state() == {"on": False}

    asyncio.run(whole())


def test_tracemalloc_ends_by_itself_and_on_again_is_a_new_time() -> None:
    async def whole() -> None:
        tracing = heap.Tracing(asyncio.get_running_loop().time)
        tracing.begin(60.0)
        tracing.begin(0.01)
        while tracemalloc.is_tracing():
            await asyncio.sleep(0.005)
        assert tracing.state() == {"on": False}
        tracing.end()

    asyncio.run(whole())
