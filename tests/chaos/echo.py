"""An upstream to be hurt: echoes ids, writes each one down before it answers, has few places.

`python -m tests.chaos.echo PORT LOG [--places N] [--takes SECONDS] [--status CODE]`. What it has
written down survives SIGKILL: each line is one write to the kernel. A request whose client has
left is served all the same, as real servers do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.checker import ID
from tests.e2e.harness.ports import LOOPBACK, free_port
from tests.e2e.harness.sidecar import environment
from tests.e2e.harness.waiting import eventually


class Echo:
    """`places` requests are served at once, each for `takes` seconds; the rest wait in line."""

    def __init__(self, log: int, places: int, takes: float, status: int) -> None:
        self._log = log
        self._places = asyncio.Semaphore(places)
        self._takes = takes
        self._status = status

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = [line.partition(":") for line in head.split("\r\n")[1:]]
                fields = {name.lower(): value.strip() for name, _, value in lines}
                body = await reader.readexactly(int(fields.get("content-length", "0")))
                await self._answer(head.partition(" ")[0], fields.get(ID, ""), body, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, method: str, key: str, body: bytes, writer: asyncio.StreamWriter
    ) -> None:
        os.write(self._log, f"{method} {key}\n".encode())
        async with self._places:
            await asyncio.sleep(self._takes)
        body = body or b"fine " * 400
        head = f"HTTP/1.1 {self._status} Fine\r\n{ID}: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()


class Upstream:
    """That program as a process, with its log; started again on the same port after a kill."""

    def __init__(self, folder: Path, **options: float) -> None:
        self.port = free_port()
        self.log = folder / f"echo-{self.port}"
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._command = [
            sys.executable, "-m", "tests.chaos.echo", str(self.port), str(self.log), *words,
        ]  # fmt: skip
        self.start()

    @classmethod
    @contextmanager
    def running(cls, folder: Path, **options: float) -> Iterator[Upstream]:
        upstream = cls(folder, **options)
        try:
            yield upstream
        finally:
            upstream.kill()

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        ready, told = os.pipe()
        try:
            self.process = subprocess.Popen(
                [*self._command, "--told", str(told)], pass_fds=[told], env=environment()
            )
        finally:
            os.close(told)
        with os.fdopen(ready, "rb") as pipe:
            assert pipe.read(1), "the upstream did not start"

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: the kernel goes on accepting for it, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.process.pid}/stat")
        eventually(lambda: stat.read_text().rpartition(") ")[2][0] == "T", what="the stop")

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


async def _run(args: argparse.Namespace) -> None:
    log = os.open(args.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    echo = Echo(log, int(args.places), args.takes, int(args.status))
    server = await asyncio.start_server(echo.serve, LOOPBACK, args.port, backlog=1024)
    os.write(args.told, b"!")
    os.close(args.told)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("log")
    parser.add_argument("--places", type=float, default=1000)
    parser.add_argument("--takes", type=float, default=0.0)
    parser.add_argument("--status", type=float, default=200)
    parser.add_argument("--told", type=int, default=1)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
