"""Other people's programs on loopback: started, waited for, ended; their output is kept.

It knows nothing of what they serve. A program that is missing is told by `MissingError`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.tools import MissingError, program
from tests.e2e.harness import eventually, fetch
from tests.e2e.harness.ports import LOOPBACK

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Site:
    """Where a program stands: its port, a folder of its own, and the origin of a proxy."""

    port: int
    folder: Path
    origin: int = 0

    @property
    def seen(self) -> Path:
        """The file in which a server reports each request that it understood."""
        return self.folder / "seen"

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


@contextmanager
def running(argv: list[str], site: Site) -> Iterator[None]:
    """The program, from its first answer on; what it printed is told when there is none."""
    output = site.folder / "output"
    site.seen.touch()
    with output.open("wb") as sink, site.seen.open("ab") as seen:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=seen,
            stderr=sink,
            cwd=site.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )
    try:
        eventually(lambda: _answers(process, site.port, output), 20, f"{argv[0]} up")
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(process: subprocess.Popen[bytes], port: int, output: Path) -> bool:
    assert process.poll() is None, output.read_text(errors="replace")[-2000:]
    try:
        return fetch((LOOPBACK, port), "/up").status == 200
    except (OSError, AssertionError):
        return False


__all__ = ["MissingError", "Site", "program", "running"]
