"""Lines on their way to a file descriptor: gathered, written in batches, never waited for.

The event loop writes them itself, so a full pipe or disk must not stop it: what cannot be
written now stays, what does not fit any more is dropped and counted. A disk that fills up cuts a
line in two; its beginning is counted as lost and ended before the next one. (A line that lacks
only its end is not lost: that is what the next one begins with.) Knows no format.
"""

from __future__ import annotations

import os
import select
import stat

BATCH = 32 * 1024
"""Bytes that are gathered before they are written without being asked."""
ROOM = 1024 * 1024
"""Bytes kept for a reader that does not read."""


class Lines:
    """A bounded queue of lines in front of one descriptor, which it does not close."""

    __slots__ = ("_at_once", "_cut", "_fd", "_pending", "_poll", "_size", "dropped")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pending: list[bytes] = []
        self._size = 0
        self.dropped = 0
        self._cut = False  # whether the beginning of a line is written, and no more of it
        self._at_once = BATCH
        self._poll = _poll(fd)
        if self._poll is not None:
            self._at_once = select.PIPE_BUF

    def write(self, line: bytes) -> None:
        """Take one line, which ends in a newline; it may be written now, later or never."""
        if self._size + len(line) > ROOM:
            self.dropped += 1
            return
        self._pending.append(line)
        self._size += len(line)
        if self._size >= BATCH and self._size - len(line) < BATCH:
            self.flush()

    def write_now(self, line: bytes) -> None:
        """From another thread, past the queue: whoever empties it may be what is stuck.

        `line` is one that a pipe takes whole (PIPE_BUF).
        """
        poll = _poll(self._fd)  # one of its own: two threads cannot share one
        if poll is not None and not poll.poll(0):
            self.dropped += 1
            return
        try:
            os.write(self._fd, b"\n" + line if self._cut else line)
        except OSError:
            self.dropped += 1

    def flush(self) -> None:
        """Write what the descriptor takes without making anyone wait."""
        while self._pending and self._takes_more():
            piece = self._next_piece()
            try:
                written = os.write(self._fd, piece)
            except BlockingIOError:
                return
            except OSError:
                # Nobody reads any more, or the disk is full: these lines are lost, but not
                # the lines after them, should there be room again.
                self._lose_all()
                return
            self._forget(written)

    def _lose_all(self) -> None:
        """What waits is lost; should there be room again, a line begins on a line of its own."""
        first = self._pending[0]
        # An end that was only to close the line before is nobody's line.
        self.dropped += len(self._pending) - (first == b"\n")
        self._pending, self._size = ([b"\n"], 1) if self._cut else ([], 0)

    def _takes_more(self) -> bool:
        return self._poll is None or bool(self._poll.poll(0))

    def _next_piece(self) -> bytes:
        """Whole lines, as many as are written at once; of one that is longer, its beginning."""
        size, count = len(self._pending[0]), 1
        for line in self._pending[1:]:
            if size + len(line) > self._at_once:
                break
            size, count = size + len(line), count + 1
        return b"".join(self._pending[:count])[: self._at_once]

    def _forget(self, written: int) -> None:
        """Drop from the front what was written; the rest of a line cut in two stays there."""
        self._size -= written
        whole = 0
        for line in self._pending:
            if written < len(line):
                break
            written, whole = written - len(line), whole + 1
        del self._pending[:whole]
        if written:
            self._pending[0] = self._pending[0][written:]
        self._cut = bool(written) or (self._cut and not whole)


def _poll(fd: int) -> select.poll | None:
    """What tells whether it can be written to; None for a file, which always can.

    A pipe that polls as writable takes PIPE_BUF without blocking (POSIX); to make it
    non-blocking instead would do so to everyone who shares it.
    """
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return None
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return poll
