"""How much of the memory that this process may use is in use.

The kernel ends whoever passes the limit of a cgroup, so that is what counts: of all groups
around this process the one that is fullest, without file pages that can be dropped. Where no
group has a limit it is the process itself, against all the memory there is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NO_LIMIT = 1 << 60
"""What a limit of the first version is from there on: the kernel rounds the largest number."""


@dataclass(frozen=True, slots=True)
class Group:
    """A cgroup with a limit: its files, and the line of its statistics that can be dropped."""

    limit: int
    usage: Path
    statistics: Path
    droppable: str

    def used(self) -> float:
        """The share of its limit, 0.0 where the files have gone."""
        usage = _number(self.usage)
        if usage is None:
            return 0.0
        return max(0, usage - self._droppable()) / self.limit

    def _droppable(self) -> int:
        for line in _text(self.statistics).splitlines():
            name, _, count = line.partition(" ")
            if name == self.droppable and count.isdigit():
                return int(count)
        return 0


class Memory:
    """Finds the limits once; `used` then reads two small files per group that has one."""

    __slots__ = ("_groups", "_page", "_statm", "_total")

    def __init__(self, root: Path = Path("/"), page: int = 4096) -> None:
        proc = root / "proc"
        self._total = _total(proc)
        self._statm = proc / "self/statm"
        self._page = page
        self._groups = tuple(_groups(root, self._total))

    @property
    def limit(self) -> int:
        """Bytes: the lowest limit of a group, or else all there is; 0 where none can be read."""
        return min((group.limit for group in self._groups), default=self._total)

    def used(self) -> float:
        """0.0 to 1.0, and above where the kernel lets it; 0.0 where nothing can be read."""
        if self._groups:
            return max(group.used() for group in self._groups)
        pages = _text(self._statm).split()[1:2]
        return int(pages[0]) * self._page / self._total if pages and self._total else 0.0


def trim() -> float:
    """Give memory that was freed back to the system, where the C library can (glibc's does).

    Returns how many seconds it took.

    Without it a flood that is over would look like one that goes on.
    """
    import ctypes  # 2 ms, and only who is short of memory needs it

    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    began = time.monotonic()
    if give_back is not None:
        give_back(0)
    return time.monotonic() - began


def _groups(root: Path, total: int) -> Iterator[Group]:
    """Those with a limit below all there is, from the process's own outward."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _second(root / "sys/fs/cgroup", path, total)
        elif "memory" in controllers.split(","):
            yield from _first(root / "sys/fs/cgroup/memory", path, total)


def _second(mount: Path, path: str, total: int) -> Iterator[Group]:
    for folder in _outward(mount, path):
        limit = _number(folder / "memory.max")
        if limit is not None and 0 < limit < (total or NO_LIMIT):
            yield Group(limit, folder / "memory.current", folder / "memory.stat", "inactive_file")


def _first(mount: Path, path: str, total: int) -> Iterator[Group]:
    for folder in _outward(mount, path):
        limit = _number(folder / "memory.limit_in_bytes")
        if limit is not None and 0 < limit < (total or NO_LIMIT):
            usage = folder / "memory.usage_in_bytes"
            yield Group(limit, usage, folder / "memory.stat", "total_inactive_file")


def _outward(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and those around it. In a container only the mount itself may be there."""
    own = mount / path.lstrip("/")
    for folder in (own, *own.parents):
        if folder == mount or mount in folder.parents:
            yield folder


def _total(proc: Path) -> int:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
