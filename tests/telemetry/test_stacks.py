"""Stacks are told from the outermost call in, for frames, coroutines and threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator

from meshproxy.telemetry.stacks import Call, block, calls, named, texts, threads, waits


def inner() -> list[Call]:
    return calls(inspect.currentframe())


def outer() -> list[Call]:
    return inner()


def test_the_innermost_call_stands_last() -> None:
    stack = outer()
    assert [call.function for call in stack[-2:]] == ["outer", "inner"]
    assert stack[-1].file == "telemetry/test_stacks.py"
    assert stack[-1].line > stack[-2].line - 10
    assert stack[-1].text() == f"telemetry/test_stacks.py:{stack[-1].line} inner"


def deep(depth: int) -> list[Call]:
    return deep(depth - 1) if depth else calls(inspect.currentframe(), 5)


def test_of_a_deep_stack_the_inner_end_is_told() -> None:
    assert [call.function for call in deep(50)] == ["deep"] * 5


def test_a_coroutine_is_followed_to_what_it_waits_for() -> None:
    async def leaf(future: asyncio.Future[None]) -> None:
        await future

    async def stem(future: asyncio.Future[None]) -> None:
        await leaf(future)

    async def whole() -> tuple[list[Call], str]:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(stem(future))
        await asyncio.sleep(0)
        found = waits(task.get_coro())
        future.set_result(None)
        await task
        assert waits(task.get_coro()) == ([], "coroutine")
        return found

    stack, on = asyncio.run(whole())
    assert [call.function.rpartition(".")[2] for call in stack] == ["stem", "leaf"]
    assert on == "Future"


def test_so_is_what_waits_within_an_asynchronous_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        await asyncio.sleep(10.0)
        yield 1

    async def reader() -> None:
        async for _ in numbers():
            pass

    async def whole() -> list[Call]:
        task = asyncio.ensure_future(reader())
        await asyncio.sleep(0)
        stack, _ = waits(task.get_coro())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return stack

    assert asyncio.run(whole())[0].function.endswith("reader")


def test_every_thread_is_told_with_its_name_the_main_one_first() -> None:
    here, go_on = threading.Event(), threading.Event()

    def stands() -> None:
        here.set()
        go_on.wait(10.0)

    thread = threading.Thread(target=stands, name="stander", daemon=True)
    thread.start()
    assert here.wait(10.0)
    told = threads()
    go_on.set()
    thread.join(10.0)
    assert told[0]["name"] == "MainThread"
    assert told[0]["stack"][-1].endswith(" threads")
    (stander,) = [each for each in told if each["name"] == "stander"]
    assert stander["daemon"] is True
    assert any(call.endswith("stands") for call in stander["stack"])


def test_a_dump_has_one_call_a_line() -> None:
    assert block("a:", ["x.py:1 f", "x.py:2 g"]) == "a:\n    x.py:1 f\n    x.py:2 g\n"
    assert block("b:", []) == "b:\n    (no Python frame)\n"


def test_a_function_is_named_by_where_it_is_defined() -> None:
    assert texts([named(inner.__code__)]) == [
        f"telemetry/test_stacks.py:{inner.__code__.co_firstlineno} inner"
    ]
