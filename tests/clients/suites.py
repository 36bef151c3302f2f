"""Which suites, in which version, and how each gets an environment of its own.

Everything is pinned and goes into a folder that git ignores: the source distribution, which
brings the tests, and a virtual environment with what stands in the suite's list of packages.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".clients"


DIRECT, INBOUND, OUTBOUND = MODES = ("direct", "inbound", "outbound")


@dataclass(frozen=True)
class Difference:
    """A test that must fail through the sidecar, and why."""

    test: str
    why: str
    modes: tuple[str, ...] = (INBOUND, OUTBOUND)


@dataclass(frozen=True)
class Suite:
    """A client with tests of its own, and where the sidecar is right to make one fail."""

    name: str
    version: str
    sha256: str
    options: tuple[str, ...] = ()
    differs: tuple[Difference, ...] = ()
    note: str = ""

    @property
    def source(self) -> Path:
        return CACHE / f"{self.name}-{self.version}"

    @property
    def python(self) -> Path:
        return CACHE / f"{self.name}-env" / "bin" / "python"

    def install(self) -> None:
        """Fetch and set up what is not there yet."""
        CACHE.mkdir(exist_ok=True)
        if not self.source.is_dir():
            self._unpack(self._fetch())
        ready = self.python.parents[1] / "ready"
        wanted = (HERE / f"{self.name}.txt").read_text()
        if not ready.is_file() or ready.read_text() != wanted:
            venv.create(self.python.parents[1], with_pip=True, clear=True)
            pip(self.python, "install", "-r", str(HERE / f"{self.name}.txt"))
            pip(self.python, "install", "--no-deps", str(self.source))
            ready.write_text(wanted)

    def _fetch(self) -> Path:
        what = f"{self.name}=={self.version}"
        # Of a source distribution pip asks for the metadata, in an environment that it makes.
        pip(sys.executable, "download", "--no-deps", "--no-binary", ":all:", "-d", str(CACHE), what)
        return CACHE / f"{self.name}-{self.version}.tar.gz"

    def _unpack(self, archive: Path) -> None:
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != self.sha256:
            raise SystemExit(f"{archive.name} is not the one that was looked at: {found}")
        with tarfile.open(archive) as opened:
            opened.extractall(CACHE, filter="data")


def pip(python: Path | str, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


SUITES = (
    Suite(
        "requests",
        "2.34.2",
        "f288924cae4e29463698d6d60bc6a4da69c89185ad1e0bcc4104f584e960b9ed",
        differs=(
            Difference(
                "tests/test_requests.py::TestRequests::test_proxy_authorization_preserved_on_request",
                "it expects Proxy-Authorization at the server; in a request to a proxy that field "
                "is for the proxy (RFC 9110 section 11.7.2)",
                (OUTBOUND,),
            ),
        ),
    ),
    Suite(
        "httpie",
        "3.2.4",
        "302ad436c3dc14fd0d1b19d4572ef8d62b146bcd94b505f3c2521f701e2e7a2a",
        options=("--ignore=tests/test_plugins_cli.py",),
        note="Left out: tests/test_plugins_cli.py, which installs packages for ten minutes and "
        "sends no request.",
        differs=(
            Difference(
                "tests/test_json.py::test_nested_json_syntax[input_json17-expected_json17]",
                "it sends a field named `baz[]`, which is no token (RFC 9110 section 5.1): 400",
            ),
        ),
    ),
)
