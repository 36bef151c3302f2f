"""What an origin understood: whole requests, in the order in which it understood them.

A `Witness` tells all of them so far; `ReportFile` is one that reads what a server prints.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Understood:
    """One request that an origin took for whole."""

    method: str
    target: bytes
    host: bytes
    body: bytes


class Witness(Protocol):
    """Tells every request that its origin has understood so far."""

    def seen(self) -> list[Understood]: ...


class ReportFile:
    """The lines of JSON that a server appends to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._seen: list[Understood] = []

    def seen(self) -> list[Understood]:
        with self._path.open("rb") as file:
            file.seek(self._at)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._at += len(whole) + 1
            lines = [line for line in whole.split(b"\n") if line.startswith(b"{")]
            self._seen += [each for line in lines if (each := _reported(line)) is not None]
        return self._seen


def _reported(line: bytes) -> Understood | None:
    """A request that the server answered with 200; one that it refused, it did not understand."""
    said: dict[str, Any] = json.loads(line.decode("latin-1"))
    if said.get("status", "200") != "200":
        return None
    read: Callable[[str], bytes] = _raw if said.get("raw") else _hex
    return Understood(said["method"], read(said["target"]), read(said["host"]), read(said["body"]))


def _hex(text: str) -> bytes:
    return bytes.fromhex("" if text == "-" else text)  # HAProxy's word for nothing


def _raw(text: str) -> bytes:
    return text.encode("latin-1")
