"""Memory that all workers share: heartbeats, gauges, a journal and a dump for each.

Made once, before the first worker is forked. Every seat has one writer, its worker; all others
only read. Each write that matters ends in one store of eight bytes, so that a writer killed at
any moment leaves the old value or the new one:

- the *beat* says when the worker's loop last turned;
- a *gauge* is a number under a name, such as the places that are taken at one upstream;
- the *journal* is a ring of records that all others read on, such as who spent what of a limit;
- the *dump* is the latest page of plain data that a worker published, in one of two buffers.

What a name stands for is the caller's. Names become places in a directory that all share; it is
the one thing with several writers, who take turns by a lock that the kernel takes from the dead.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

SEATS = 32
"""Most workers. A seat that nobody sits on costs address space and no memory."""

NAMES = 4096
"""Most names in the directory, and so gauges of each worker."""

RECORDS = 8192
"""Of a journal, before the oldest is overwritten: who reads on every 25 ms can miss none below
300,000 a second, and a worker that joins finds out what happened before it.
"""

KEY = 64
"""Bytes of a record's key."""

DUMP = 4 * 1024 * 1024
"""Bytes of each of the two buffers of a dump."""

_NORESERVE = 0x4000  # MAP_NORESERVE of Linux: pages that are never touched count nowhere
_HEAD = 4096
_RECORD = struct.Struct("<dqbB64s14x")
# Numbers of a seat by index, eight bytes each; the beat is number 0, read as a float.
_PID, _WRITTEN, _VERSION, _LENGTHS, _SUMS = 1, 2, 3, 4, 6
_GAUGES = 4096
_JOURNAL = _GAUGES + 8 * NAMES
_DUMPS = _JOURNAL + _RECORD.size * RECORDS
_SEAT = _DUMPS + 2 * DUMP
_SEAT += -_SEAT % 4096


class Record(NamedTuple):
    """One line of a journal: when (monotonic seconds), under which name, how many, of what."""

    at: float
    name: int
    amount: int
    key: bytes


class FullError(Exception):
    """More names than the directory has room for."""


def name_of(*parts: object) -> int:
    """The same number in every process for the same parts; never 0."""
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) or 1


class Board:
    """All seats, in one anonymous mapping that forked children inherit: who made it, when
    (monotonic seconds), and what everybody writes there."""

    def __init__(self, seats: int = SEATS) -> None:
        seats += 1
        size = _HEAD + 8 * NAMES + seats * _SEAT
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _NORESERVE
        self._map = mmap.mmap(-1, size, flags=flags)
        whole = memoryview(self._map)
        self._head = whole[:_HEAD].cast("q")
        self._directory = whole[_HEAD : _HEAD + 8 * NAMES].cast("q")
        start = _HEAD + 8 * NAMES
        self.seats = [
            Seat(whole[start + number * _SEAT : start + (number + 1) * _SEAT])
            for number in range(seats)
        ]
        self.began, self.maker = time.monotonic(), os.getpid()
        self.ours = self.seats.pop()  # the supervisor's, for what the dead have counted
        self.leases = Leases()
        self._places: dict[int, int] = {}

    # Who is there, and who wants to know

    @property
    def joined(self) -> int:
        """How many workers have ever sat down: whoever sees it change may greet the new one."""
        return self._head[0]

    def count_joined(self) -> None:
        """The supervisor alone writes it."""
        self._head[0] += 1

    @property
    def moved(self) -> int:
        """Changes when what a dead worker counted goes from its seat to `ours`; odd meanwhile."""
        return self._head[3]

    def bury(self, seat: Seat, last: bytes) -> None:
        """A seat's worker is gone: `last` is what all the dead have counted, with its own."""
        self._head[3] += 1
        if last:
            self.ours.publish(last)
            self.ours.pid = os.getpid()
        seat.clear()
        self._head[3] += 1

    @property
    def width(self) -> int:
        """How many seats, from the first on, have ever been sat on."""
        return self._head[2]

    @width.setter
    def width(self, seats: int) -> None:
        """The supervisor alone writes it, and never less than before."""
        self._head[2] = seats

    @property
    def asked(self) -> int:
        """How often somebody asked for fresh dumps."""
        return self._head[1]

    def ask(self) -> None:
        """Ask all workers to publish soon. Two at once may count as one: each is answered."""
        self._head[1] += 1

    # Names

    def place(self, name: int) -> int:
        """The place of a name in every worker's gauges; claimed now if it has none.

        Raises FullError when all are taken: they are given for good.
        """
        known = self._places.get(name)
        if known is None:
            known = self._find(name)
            if known is None:
                with self.leases.whole():
                    known = self._find(name, claim=True)
            if known is None:
                raise FullError
            self._places[name] = known
        return known

    def _find(self, name: int, claim: bool = False) -> int | None:
        directory = self._directory
        for step in range(NAMES):
            place = (name + step) % NAMES
            if directory[place] == name:
                return place
            if directory[place] == 0:
                if not claim:
                    return None
                directory[place] = name
                return place
        return None


class Seat:
    """One worker's part of the board. Only the worker that sits here writes, but for `clear`."""

    __slots__ = ("_beat", "_dumps", "_journal", "_numbers", "gauges")

    def __init__(self, part: memoryview) -> None:
        self._beat = part[:8].cast("d")
        self._numbers = part[:4096].cast("q")
        self.gauges = part[_GAUGES:_JOURNAL].cast("q")
        self._journal = part[_JOURNAL:_DUMPS]
        self._dumps = (part[_DUMPS : _DUMPS + DUMP], part[_DUMPS + DUMP : _DUMPS + 2 * DUMP])

    # The beat

    @property
    def beat(self) -> float:
        """When its loop last turned, in monotonic seconds; 0.0: not yet."""
        return self._beat[0]

    @beat.setter
    def beat(self, now: float) -> None:
        self._beat[0] = now

    @property
    def pid(self) -> int:
        """Who sits here; 0: nobody."""
        return self._numbers[_PID]

    @pid.setter
    def pid(self, pid: int) -> None:
        self._numbers[_PID] = pid

    def clear(self) -> None:
        """Whoever sat here is gone, and holds nothing any more. Its journal stays to be read.

        Its dump goes too: it must not be taken for that of the next one.
        """
        self.pid = 0
        self.beat = 0.0
        self.publish(b"")
        self.gauges[:] = memoryview(bytes(8 * NAMES)).cast("q")

    # The journal

    @property
    def written(self) -> int:
        """Records that were ever written."""
        return self._numbers[_WRITTEN]

    def write(self, record: Record) -> None:
        """Add one; a key of more than KEY bytes is the caller's mistake."""
        number = self._numbers[_WRITTEN]
        at = number % RECORDS * _RECORD.size
        when, name, amount, key = record
        _RECORD.pack_into(self._journal, at, when, name, amount, len(key), key)
        self._numbers[_WRITTEN] = number + 1

    def read(self, since: int) -> Iterator[Record]:
        """Those from number `since` on that are still there, oldest first."""
        end = self.written
        for number in range(max(since, end - RECORDS + 1), end):
            at = number % RECORDS * _RECORD.size
            when, name, amount, length, key = _RECORD.unpack_from(self._journal, at)
            if self.written - number < RECORDS:  # else it was overwritten while we read it
                yield Record(when, name, amount, key[:length])

    # The dump

    @property
    def version(self) -> int:
        """How many dumps were published."""
        return self._numbers[_VERSION]

    def publish(self, data: bytes) -> bool:
        """Replace the dump; False where it is too large and the old one stays."""
        if len(data) > DUMP:
            return False
        version = self._numbers[_VERSION] + 1
        which = version % 2
        self._dumps[which][: len(data)] = data
        self._numbers[_LENGTHS + which] = len(data)
        self._numbers[_SUMS + which] = zlib.crc32(data)
        self._numbers[_VERSION] = version
        return True

    def dump(self) -> bytes:
        """The latest whole one; empty if there is none."""
        for _ in range(8):
            version = self.version
            which = version % 2
            length = min(self._numbers[_LENGTHS + which], DUMP)
            data = bytes(self._dumps[which][:length])
            if zlib.crc32(data) == self._numbers[_SUMS + which]:
                return data if version else b""
            # Two more were published while this one was copied.
        return b""


class Leases:
    """One of several processes may hold each; the kernel takes it back from the dead.

    POSIX record locks on a file without a name. A process never waits for one that it does not
    get, but for `whole`, which is held for a microsecond at a time.
    """

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd = os.memfd_create("meshproxy-leases", os.MFD_CLOEXEC)

    def take(self, name: int, number: int = 0) -> bool:
        """Whether this process now holds it (or did so already)."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(name, number))
        except OSError:
            return False
        return True

    def give_back(self, name: int, number: int = 0) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _offset(name, number))

    def whole(self) -> _Whole:
        """For as long as the `with` lasts, nobody else is in one."""
        return _Whole(self._fd)


class _Whole:
    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, 0)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, 0)


def _offset(name: int, number: int) -> int:
    return 1 + (name & 0xFFFFFFFFFF) * 16 + number
