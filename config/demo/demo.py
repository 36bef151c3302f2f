"""The demo: four services behind sidecars of their own, on real traffic.

Decides what is started, when it is ready and how it ends; the shop itself is in
services.py, the addresses in topology.py, the lines to try in showcase.py.
Ends on Ctrl-C or SIGTERM with exit code 0 and no process left.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import showcase
from aiohttp import ClientError, ClientSession, ClientTimeout
from topology import PORT_BASE, Node, all_ports, collector, environment, mesh

from meshproxy import __version__

HERE = Path(__file__).resolve().parent
READY_WITHIN = 30.0  # seconds for all processes together; generous for a loaded machine
END_WITHIN = 5.0  # seconds from SIGTERM to SIGKILL
PAUSE = 0.5  # seconds between two orders of the trickle
REPORT_EVERY = 20  # orders


class DemoError(Exception):
    """Something that a person must see; the message says what to do about it."""


@dataclass(slots=True)
class Stage:
    """The processes of the demo, their files and their logs."""

    nodes: dict[str, Node]
    folder: Path
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    unreceived: str | None = None
    """Why nothing receives spans here; the rest of the demo goes on without."""

    def config(self, node: Node) -> Path:
        """This node's own copy of its YAML file: free to be edited."""
        return self.folder / f"{node.name}.yaml"

    def log(self, name: str) -> Path:
        """Where the process of this name writes."""
        return self.folder / f"{name}.log"

    async def start(self) -> None:
        """Start the receiver of spans, every application and every sidecar."""
        await self._receive_spans()
        for node in self.nodes.values():
            shutil.copyfile(HERE / f"{node.service}.yaml", self.config(node))
            mode = "flaky" if node.name == "payments-2" else "steady"
            app = [str(HERE / "services.py"), node.service, "--port", str(node.app)]
            await self._spawn(f"{node.name}-app", node, *app, "--mode", mode)
            sidecar = ["-m", "meshproxy", "run", "-c", str(self.config(node))]
            await self._spawn(f"{node.name}-sidecar", node, *sidecar)

    async def _receive_spans(self) -> None:
        """rotel, an OpenTelemetry collector: it writes down each span that it gets."""
        program = [sys.executable, str(HERE / "receiver.py")]
        trial = await asyncio.create_subprocess_exec(
            *program, "--version", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        said = (await trial.communicate())[1].decode().strip()
        if trial.returncode != 0:
            self.unreceived = said
            return
        at = f"127.0.0.1:{collector(self.nodes)}"
        await self._run(
            "collector", {}, *program, "start", "--exporter", "blackhole",
            "--otlp-http-endpoint", at, "--otlp-grpc-endpoint", "127.0.0.1:0",
            "--debug-log", "traces", "--debug-log-verbosity", "detailed",
        )  # fmt: skip

    async def _spawn(self, name: str, node: Node, *argv: str) -> None:
        await self._run(name, environment(node, self.nodes), sys.executable, *argv)

    async def _run(self, name: str, more: dict[str, str], *argv: str) -> None:
        with self.log(name).open("wb") as log:
            self.running[name] = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **more, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C reaches this process only; it ends the others in its own time.
                start_new_session=True,
            )

    def check_alive(self) -> None:
        """Fail with the end of its log if a process has died."""
        for name, process in self.running.items():
            if process.returncode is not None:
                raise DemoError(f"{name} ended with code {process.returncode}{self.tail(name)}")

    def tail(self, name: str) -> str:
        """The last lines that the process of this name wrote."""
        lines = self.log(name).read_text(errors="replace").splitlines()[-8:]
        return "".join(f"\n  {line}" for line in lines)

    async def ready(self, session: ClientSession) -> None:
        """Wait until each sidecar says it is ready and each application listens."""
        node = next(iter(self.nodes.values()))
        try:
            async with asyncio.timeout(READY_WITHIN):
                for node in self.nodes.values():
                    while not await self._is_ready(session, node):
                        self.check_alive()
                        await asyncio.sleep(0.05)
        except TimeoutError:
            said = self.tail(f"{node.name}-sidecar") + self.tail(f"{node.name}-app")
            raise DemoError(f"{node.name} is not ready after {READY_WITHIN:.0f} s{said}") from None

    async def _is_ready(self, session: ClientSession, node: Node) -> bool:
        try:
            async with session.get(f"http://127.0.0.1:{node.metrics}/readyz") as reply:
                sidecar = reply.status == 200
            async with session.get(f"http://127.0.0.1:{node.app}/"):
                return sidecar  # any answer of the application, 404 as well, shows that it serves
        except (ClientError, TimeoutError):
            return False

    async def end(self) -> None:
        """End every process, by force where asking does not help."""
        alive = [process for process in self.running.values() if process.returncode is None]
        for process in alive:
            process.terminate()
        if not alive:
            return
        _, stuck = await asyncio.wait(
            [asyncio.create_task(process.wait()) for process in alive], timeout=END_WITHIN
        )
        if stuck:
            for process in alive:
                if process.returncode is None:
                    process.kill()
            await asyncio.wait(stuck)


async def refuse_taken_ports(nodes: dict[str, Node]) -> None:
    """Say which port somebody else holds, before anything is started."""
    for port in all_ports(nodes):
        try:
            probe = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
        except OSError as error:
            hint = "is another demo running? Choose other ports: make demo PORT_BASE=28000"
            raise DemoError(f"port {port} cannot be used ({error.strerror}); {hint}") from None
        probe.close()
        await probe.wait_closed()


async def trickle(stage: Stage, session: ClientSession) -> None:
    """Place two orders a second until cancelled and report now and then."""
    url = f"http://127.0.0.1:{stage.nodes['front'].inbound}/checkout"
    seen: Counter[str] = Counter()
    while True:
        stage.check_alive()
        await place_order(session, url, seen)
        if seen.total() % REPORT_EVERY == 0:
            print("orders so far: " + ", ".join(f"{n} {what}" for what, n in seen.items()))
        await asyncio.sleep(PAUSE)


async def place_order(session: ClientSession, url: str, seen: Counter[str]) -> None:
    """One order, counted by how it went."""
    try:
        async with session.post(url, data={"item": "tea"}) as reply:
            await reply.read()
            seen["paid" if reply.status == 200 else f"answered {reply.status}"] += 1
    except (ClientError, TimeoutError) as error:
        seen[type(error).__name__] += 1


def introduce(stage: Stage, lines: list[showcase.Line]) -> None:
    """Print the addresses and the lines to try."""
    print(f"meshproxy {__version__}: front -> orders -> users, payments-1, payments-2\n")
    print(f"  {'':<12}{'callers':<25}{'/metrics /readyz':<25}{'/info /breakers /config':<25}")
    for node in stage.nodes.values():
        ports = (node.inbound, node.metrics, node.admin)
        columns = "".join(f"{f'http://127.0.0.1:{port}':<25}" for port in ports)
        print(f"  {node.name:<12}{columns}")
    orders = stage.nodes["orders"].admin
    print(f"\nA dashboard at each admin port; the busiest: http://127.0.0.1:{orders}/")
    print(f"Configurations and logs of this run: {stage.folder}")
    print("Every third charge at payments-2 fails: by 503, by silence or by hanging up.")
    for number, line in enumerate(lines, 1):
        print(f"\n{number}. {line.shows}\n{line.shell}")
    print("\nCtrl-C ends all of it.\n", flush=True)


async def check(lines: list[showcase.Line]) -> int:
    """Run every line as printed and judge its answer; the number of lines that failed."""
    failed = 0
    for number, line in enumerate(lines, 1):
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", line.shell, stdout=asyncio.subprocess.PIPE
        )
        output = (await process.communicate())[0].decode()
        wrong = line.judge(output)
        print(f"{number}. {line.shows}: {wrong or 'ok'}", flush=True)
        if wrong:
            failed += 1
            print(f"--- {line.shell}\n{output}\n---", flush=True)
    return failed


async def perform(stage: Stage, check_only: bool) -> int:
    """The whole play: start, show, and trickle until told to end; the exit code."""
    async with ClientSession(timeout=ClientTimeout(total=10.0)) as session:
        try:
            await refuse_taken_ports(stage.nodes)
            await stage.start()
            await stage.ready(session)
            lines = showcase.lines(stage.nodes, stage.folder)
            if stage.unreceived is not None:
                print(f"spans are not shown: {stage.unreceived}")
                lines = [line for line in lines if not line.of_spans]
            if check_only:
                return 1 if await check(lines) else 0
            introduce(stage, lines)
            await trickle(stage, session)
        except DemoError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        finally:
            await stage.end()
    return 0


async def until_signal(stage: Stage, check_only: bool) -> int:
    """`perform`, ended cleanly by SIGINT, SIGTERM or SIGHUP."""
    play = asyncio.create_task(perform(stage, check_only))
    asked: list[int] = []

    def ask(number: int) -> None:
        if not asked:  # a second Ctrl-C must not cut the cleaning up short
            asked.append(number)
            play.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ask, number)
    try:
        return await play
    except asyncio.CancelledError:
        print("\ndemo: ended, no process left", flush=True)
        return 1 if check_only else 0


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description="four services behind meshproxy sidecars")
    parser.add_argument("--port-base", type=int, default=PORT_BASE, help="first of 50 ports")
    parser.add_argument("--check", action="store_true", help="run the lines, judge, exit")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meshproxy-demo-") as folder:
        stage = Stage(mesh(options.port_base), Path(folder))
        return asyncio.run(until_signal(stage, options.check))


if __name__ == "__main__":
    sys.exit(main())
