"""A sidecar that can be looked into: `python -m loadtests.watched SOCKET run -c FILE`.

It is the command itself, unchanged, beside a thread that sleeps until somebody connects to a
Unix socket, and then counts what only the process knows: tasks, timers, objects. `look` asks.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from meshproxy.__main__ import main

PATIENCE = 30.0
COUNT, COLLECT = b"count", b"clear"


def counts(objects: Iterable[Any]) -> dict[str, int]:
    """Tasks that are not done, timers that are not over, and all objects the collector sees."""
    kinds: Counter[str] = Counter()
    tasks = 0
    for one in objects:
        kinds[type(one).__name__] += 1
        if isinstance(one, asyncio.AbstractEventLoop):
            tasks += len(asyncio.all_tasks(one))
    return {
        "tasks": tasks,
        "timers": kinds["TimerHandle"],
        "exchanges": kinds["Exchange"],
        "downstreams": kinds["Downstream"],
        "upstreams": kinds["Upstream"],
        "objects": kinds.total(),
    }


def serve(path: str) -> None:
    """Answer every connection with one line of counts, and end with the process.

    Who sends COLLECT has dead objects cleared first, of which the counts then know nothing.
    """
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        gc_is_whole = False
        while True:
            asker, _ = listening.accept()
            with asker:
                if not gc_is_whole:
                    gc.unfreeze()  # the start hides from the collector what it made, the loop too
                    gc_is_whole = True
                if asker.recv(len(COLLECT)) == COLLECT:
                    gc.collect()
                asker.sendall(json.dumps(counts(gc.get_objects())).encode())


def look(path: str, collect: bool = False) -> dict[str, int]:
    """What the process at the other end of the socket counts now."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(PATIENCE)
        asking.connect(path)
        asking.sendall(COLLECT if collect else COUNT)
        said = b""
        while piece := asking.recv(65536):
            said += piece
    found: dict[str, int] = json.loads(said)
    return found


if __name__ == "__main__":
    threading.Thread(target=serve, args=(sys.argv[1],), daemon=True).start()
    sys.exit(main(sys.argv[2:]))
