"""A worker's end of the line, on a real loop and a real pair of sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from meshproxy.fleet.channel import Channel, ClosedError
from meshproxy.fleet.tie import Message, Tie


@dataclass
class Line:
    """Both ends: `there` is the supervisor's, read by hand."""

    tie: Tie
    there: Channel
    lost: list[bool] = field(default_factory=list)
    bugs: list[Exception] = field(default_factory=list)

    async def heard(self, count: int = 1) -> list[Message]:
        """So many messages from the worker."""
        found: list[Message] = []
        async with asyncio.timeout(5.0):
            while len(found) < count:
                found += [message for message, _ in self.there.receive()]
                await asyncio.sleep(0)
        return found


def run(steps: Callable[[Line], Awaitable[None]], **handlers: Any) -> Line:
    async def whole() -> Line:
        here, there = Channel.pair()
        line = Line(Tie(here, asyncio.get_running_loop()), there)
        line.tie.open(handlers, lambda: line.lost.append(True), line.bugs.append)
        try:
            await steps(line)
        finally:
            line.tie.close()
            line.there.close()
        return line

    return asyncio.run(whole())


def test_an_answer_finds_who_asked() -> None:
    async def steps(line: Line) -> None:
        asked = [asyncio.create_task(line.tie.ask("count", of=name)) for name in ("a", "b")]
        first, second = await line.heard(2)
        line.there.send({"re": second["id"], "is": second["of"]})
        line.there.send({"re": first["id"], "is": first["of"]})
        assert [(await one)["is"] for one in asked] == ["a", "b"]

    run(steps)


def test_what_comes_is_handled_in_its_order_however_long_it_takes() -> None:
    done: list[int] = []

    async def slow(message: Message, _: list[int]) -> Message:
        await asyncio.sleep(0.0 if message["number"] else 0.02)
        done.append(message["number"])
        return {"done": message["number"]}

    async def steps(line: Line) -> None:
        for number in range(3):
            line.there.send({"do": "slow", "id": number + 1, "number": number})
        answers = await line.heard(3)
        assert [one["done"] for one in answers] == done == [0, 1, 2]

    run(steps, slow=slow)


def test_a_bug_in_a_handler_is_an_answer_too_and_the_next_has_its_turn() -> None:
    async def bad(message: Message, _: list[int]) -> Message:
        raise KeyError(message["do"])

    async def good(_: Message, __: list[int]) -> Message:
        return {"well": True}

    async def steps(line: Line) -> None:
        line.there.send({"do": "bad", "id": 1})
        line.there.send({"do": "unheard-of", "id": 2})
        line.there.send({"do": "good", "id": 3})
        first, second, third = await line.heard(3)
        assert "KeyError" in first["error"]
        assert "error" in second
        assert third == {"re": 3, "well": True}
        assert len(line.bugs) == 2

    run(steps, bad=bad, good=good)


def test_that_the_supervisor_is_gone_is_told_once() -> None:
    async def steps(line: Line) -> None:
        asked = asyncio.create_task(line.tie.ask("reload"))
        await line.heard()
        line.there.close()
        with pytest.raises(ClosedError):
            await asked
        line.tie.tell("nobody hears it")
        with pytest.raises(ClosedError):
            await line.tie.ask("nobody answers")

    assert run(steps).lost == [True]


def test_more_than_the_line_takes_goes_when_there_is_room() -> None:
    async def steps(line: Line) -> None:
        text = "x" * 3_000_000
        line.tie.tell("long", text=text)
        (message,) = await line.heard()
        assert message == {"do": "long", "text": text}

    run(steps)
