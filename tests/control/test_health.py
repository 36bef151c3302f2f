"""The prober: which checks it asks, when it stops, and how it reads what servers answer."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from meshproxy.control.health import MOST, Prober, ask_once
from meshproxy.core.checkup import Heard, Question

HEAD = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Check:
    """A check that remembers what happened to it."""

    def __init__(self, question: Question | None = None) -> None:
        self.question = question or Question("127.0.0.1", 1, HEAD, 5.0)
        self.events: list[str] = []
        self.answers: list[Heard] = []
        self.again = asyncio.Event()

    def taken_up(self) -> None:
        self.events.append("taken up")

    def given_up(self) -> None:
        self.events.append("given up")

    def heard(self, heard: Heard, began: float, now: float) -> None:
        assert began <= now
        self.answers.append(heard)
        self.again.set()

    def pause(self) -> float:
        return 0.001

    async def more(self) -> None:
        """Wait for the next answer."""
        self.again.clear()
        await asyncio.wait_for(self.again.wait(), 10)


async def well(question: Question) -> Heard:  # an Ask
    return Heard(200)


def test_every_check_is_asked_again_and_again() -> None:
    async def scene() -> None:
        one, other = Check(), Check()
        prober = Prober(time.monotonic, well)
        prober.follow([one, other])
        for _ in range(3):
            await one.more()
        await other.more()
        await prober.close()
        assert one.events == ["taken up"]
        assert set(one.answers + other.answers) == {Heard(200)}

    asyncio.run(scene())


def test_a_check_that_is_gone_is_not_asked_any_more_and_leaves_no_task() -> None:
    async def scene() -> None:
        asked: list[int] = []

        async def ask(question: Question) -> Heard:
            asked.append(question.port)
            return Heard(200)

        gone, stays = (Check(Question("127.0.0.1", port, HEAD, 1.0)) for port in (1, 2))
        prober = Prober(time.monotonic, ask)
        prober.follow([gone, stays])
        await gone.more()
        prober.follow([stays])
        asked.clear()
        for _ in range(5):
            await stays.more()
        assert set(asked) == {2}
        assert gone.events == ["taken up", "given up"]
        assert stays.events == ["taken up"], "a reload does not disturb it"
        await prober.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scene())


def test_what_is_given_up_is_told_before_what_is_new() -> None:
    async def scene() -> None:
        order: list[str] = []

        class Ordered(Check):
            def taken_up(self) -> None:
                order.append("taken up")

            def given_up(self) -> None:
                order.append("given up")

        prober = Prober(time.monotonic, well)
        prober.follow([Ordered()])
        prober.follow([Ordered()])
        await prober.close()
        assert order == ["taken up", "given up", "taken up"]

    asyncio.run(scene())


def test_a_check_that_is_given_up_while_it_waits_hears_nothing() -> None:
    async def scene() -> None:
        under_way = asyncio.Event()

        async def hang(question: Question) -> Heard:  # an Ask
            under_way.set()
            await asyncio.Event().wait()
            raise AssertionError

        check = Check()
        prober = Prober(time.monotonic, hang)
        prober.follow([check])
        await under_way.wait()
        prober.follow([])
        await prober.close()
        assert check.answers == []

    asyncio.run(scene())


def test_a_bug_in_a_check_is_told_at_once() -> None:
    async def scene() -> None:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: told.set_result(repr(context["exception"]))
        )

        async def broken(question: Question) -> Heard:
            raise ZeroDivisionError

        prober = Prober(time.monotonic, broken)
        prober.follow([Check()])
        assert await asyncio.wait_for(told, 10) == "ZeroDivisionError()"
        await prober.close()

    asyncio.run(scene())


# One question


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def ask_a_server(script: Script, timeout: float = 5.0) -> tuple[Heard, bytes]:
    """What is heard of a server that follows the script, and what it was sent."""
    received = bytearray()

    async def scene() -> Heard:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                received.extend(await reader.readuntil(b"\r\n\r\n"))
                await script(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        heard = await ask_once(Question("127.0.0.1", port, HEAD, timeout))
        server.close()
        await server.wait_closed()
        return heard

    return asyncio.run(scene()), bytes(received)


def saying(*pieces: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return script


def test_the_question_is_sent_as_it_is() -> None:
    assert ask_a_server(saying(OK)) == (Heard(200), HEAD)


@pytest.mark.parametrize(
    ("pieces", "heard"),
    [
        ((b"HTTP/1.1 503 No\r\n\r\n",), Heard(503)),
        ((b"HTTP/1.0 200\r\n\r\n",), Heard(200)),
        ((b"HTTP/1.1 204 \r\n\r\n",), Heard(204)),
        ((b"HTT", b"P/1.1 2", b"00 OK\r", b"\n\r\n"), Heard(200)),
        ((b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 500 No\r\n\r\n",), Heard(500)),
        ((b"HTTP/1.1 100 \r\n", b"\r\n", OK), Heard(200)),
        ((b"HTTP/1.1 100 \r\n\r\n",), Heard(0, "reset")),
        ((b"SSH-2.0-OpenSSH\r\n",), Heard(0, "bad-response")),
        ((b"HTTP/2.0 200 OK\r\n\r\n",), Heard(0, "bad-response")),
        ((b"HTTP/1.1 700 No\r\n\r\n",), Heard(0, "bad-response")),
        ((b"x" * (MOST + 1),), Heard(0, "bad-response")),
        ((b"HTTP/1.1 20",), Heard(0, "reset")),
        ((), Heard(0, "reset")),
    ],
)
def test_an_answer_is_its_final_status_or_why_there_is_none(
    pieces: tuple[bytes, ...], heard: Heard
) -> None:
    assert ask_a_server(saying(*pieces))[0] == heard


def test_a_server_that_keeps_the_connection_open_has_answered_all_the_same() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await reader.read()

    assert ask_a_server(script)[0] == Heard(200)


def test_a_server_that_says_nothing_runs_out_of_time() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    assert ask_a_server(script, timeout=0.05)[0] == Heard(0, "timeout")


def test_nobody_there_is_a_connect_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    question = Question("127.0.0.1", port, HEAD, 5.0)
    assert asyncio.run(ask_once(question)) == Heard(0, "connect-failure")


def test_a_name_that_cannot_be_one_is_a_connect_failure() -> None:
    question = Question("a" * 70 + ".test", 80, HEAD, 5.0)
    assert asyncio.run(ask_once(question)) == Heard(0, "connect-failure")
