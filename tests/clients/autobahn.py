"""Autobahn's fuzzing client against a WebSocket server, directly and through the sidecar.

It is a program for Python 2.7; where there is none with pip, this part is left out. What it
judges is the server (the library that our tests use): the sidecar must not change a verdict.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.suites import CACHE, pip
from tests.e2e.harness import Sidecar, free_port

VERSION = "25.10.1"
# All of the protocol, and of compression (12, 13) the small messages: the large ones take very
# long, and are not seen by the sidecar but as bytes, of which 9.* has enough.
CASES = [
    *(f"{group}.*" for group in range(1, 11)),
    *(f"{n}.1.{i}" for n in (12, 13) for i in range(1, 7)),
]
FOLDER = CACHE / f"autobahn-{VERSION}"
CONFIG = "inbound: {listen: <inbound>, app: http://<app>}"
# The folder has namespace packages, which only `site` can join.
WSTEST = f"""import site; site.addsitedir({str(FOLDER)!r})
from autobahntestsuite.wstest import run; run()"""
Verdicts = dict[str, str]
_PASSED = {"OK": "passed", "INFORMATIONAL": "passed", "NON-STRICT": "not strict"}


def python2() -> Path | None:
    """A Python 2.7 that has pip: on the path, named by PYTHON2, or one of pyenv's."""
    named = os.environ.get("PYTHON2") or shutil.which("python2.7") or ""
    pyenv = Path.home().glob(".pyenv/versions/2.7*/bin/python2.7")
    for candidate in (Path(named), *pyenv):
        command = [str(candidate), "-m", "pip", "--version"]
        if candidate.is_file() and not subprocess.run(command, capture_output=True).returncode:
            return candidate
    return None


def install(python: Path) -> None:
    if not (FOLDER / "autobahntestsuite").is_dir():
        pip(python, "install", "--target", str(FOLDER), f"autobahntestsuite=={VERSION}")


@contextmanager
def echoing() -> Iterator[str]:
    """A server that says again what it hears; its address."""
    from websockets.sync.server import ServerConnection, serve

    def echo(peer: ServerConnection) -> None:
        for message in peer:
            peer.send(message)

    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it is fed errors on purpose
    port = free_port()
    with serve(echo, "127.0.0.1", port, max_size=None, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.shutdown()
            thread.join()


def verdicts(python: Path) -> tuple[Verdicts, Verdicts]:
    """Of every case: directly, and through the sidecar."""
    install(python)
    reports = CACHE / "autobahn-reports"
    with echoing() as app, Sidecar.running(CONFIG, app=app) as sidecar:
        servers = {"direct": app, "through": "{}:{}".format(*sidecar.inbound)}
        told = {
            "outdir": str(reports),
            "servers": [{"agent": who, "url": f"ws://{at}"} for who, at in servers.items()],
            "cases": CASES,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        spec = CACHE / "autobahn.json"
        spec.write_text(json.dumps(told))
        with (CACHE / "autobahn.log").open("wb") as out:
            subprocess.run(
                [str(python), "-c", WSTEST, "-m", "fuzzingclient", "-s", str(spec)],
                stdout=out,
                stderr=out,
                check=True,
            )
    index = json.loads((reports / "index.json").read_text())
    direct, through = (
        {case: verdict(one["behavior"], one["behaviorClose"]) for case, one in index[who].items()}
        for who in servers
    )
    return direct, through


def verdict(behaviour: str, close: str) -> str:
    """What the case came to: how the server behaved, if it also closed well."""
    return _PASSED.get(behaviour, "failed") if close in _PASSED else "failed"
