"""The prober: asks servers whether they are well, on connections of its own.

One task per check. It decides nothing: when to ask again and what an answer means is the
check's to say, and which checks there are the ledger's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable

from meshproxy.core.checkup import Checked, Heard, Question

APART = 0.005
"""Seconds between the first checks of two servers: a thousand of them are no flood of dials."""

MOST = 16 * 1024
"""Bytes of an answer's heads that are read before it is taken for garbage."""

REST = 64 * 1024
"""Bytes of a body that are read and dropped; a close before would look like a reset."""

PATIENCE = 0.25
"""Seconds for that rest."""

# RFC 9112 section 4: the reason may be missing, and some leave out the space before it too.
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")

Ask = Callable[[Question], Awaitable[Heard]]


class Prober:
    """Keeps asking for every check that it was last told of."""

    __slots__ = ("_ask", "_clock", "_tasks")

    def __init__(self, clock: Callable[[], float], ask: Ask | None = None) -> None:
        self._clock = clock
        self._ask = ask or ask_once
        self._tasks: dict[Checked, asyncio.Task[None]] = {}

    def follow(self, checks: Iterable[Checked]) -> None:
        """From now on these and no others; those that go on are not disturbed."""
        wanted = dict.fromkeys(checks)
        for check in [known for known in self._tasks if known not in wanted]:
            self._tasks.pop(check).cancel()
            check.given_up()
        for index, check in enumerate(each for each in wanted if each not in self._tasks):
            check.taken_up()
            work = self._keep_asking(check, index * APART)
            task = self._tasks[check] = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(_tell_bug)

    async def close(self) -> None:
        """Stop all of it."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_asking(self, check: Checked, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            began = self._clock()
            heard = await self._ask(check.question)
            check.heard(heard, began, self._clock())
            await asyncio.sleep(check.pause())


def _tell_bug(task: asyncio.Task[None]) -> None:
    """A check ends by being cancelled and in no other way; nobody else would hear of it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "a health check stopped", "exception": error}
        task.get_loop().call_exception_handler(context)


async def ask_once(question: Question) -> Heard:
    """One request on a connection that nobody else uses."""
    try:
        async with asyncio.timeout(question.timeout):
            # Names that no resolver takes (RFC 1035 section 2.3.4) are a UnicodeError.
            try:
                reader, writer = await asyncio.open_connection(question.host, question.port)
            except (ConnectionError, UnicodeError):
                return Heard(0, "connect-failure")
            try:
                writer.write(question.head)
                return await _status(reader)
            finally:
                writer.transport.abort()
    except TimeoutError:
        return Heard(0, "timeout")
    except ConnectionError:
        return Heard(0, "reset")
    except OSError:  # no route, no such name
        return Heard(0, "connect-failure")


async def _status(reader: asyncio.StreamReader) -> Heard:
    """The status of the final answer, those of RFC 9110 section 15.2 passed over."""
    data = b""
    while len(data) < MOST:
        piece = await reader.read(MOST - len(data))
        data += piece
        line, end, _ = data.partition(b"\n")
        while end:
            found = _STATUS.fullmatch(line + end)
            if found is None:
                return Heard(0, "bad-response")
            status = int(found[1])
            if status >= 200 or status == 101:
                await _drop_rest(reader)
                return Heard(status)
            _, end, rest = data.partition(b"\r\n\r\n")
            if end:
                data = rest
                line, end, _ = data.partition(b"\n")
        if not piece:
            return Heard(0, "reset")
    return Heard(0, "bad-response")


async def _drop_rest(reader: asyncio.StreamReader) -> None:
    """Let the server finish what is under way, for a moment: its status is known already."""
    left = REST
    try:
        async with asyncio.timeout(PATIENCE):
            while left > 0 and (piece := await reader.read(left)):
                left -= len(piece)
    except (TimeoutError, ConnectionError):
        return
