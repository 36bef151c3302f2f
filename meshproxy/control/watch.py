"""Has the file changed, and has it come to rest.

Compares what stat says of the file behind the path (symlinks followed, so an edit, a rename
and a ConfigMap's `..data` swap look alike), and the content where that differs. It keeps no
time: whoever polls decides how often, sooner while `settling`.
"""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

MAX_BYTES = 1024 * 1024 + 1
"""Read no further: settings refuse a file of more than 1 MiB, whatever is in the rest."""

Stamp = tuple[int, int, int, int, int]


class Watch:
    """One file of which someone has to hear when its content changes.

    `trouble` is what the system says when the file cannot be looked at, None while it can.
    """

    __slots__ = ("_content", "_read_once", "_seen", "_taken", "name", "path", "trouble")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self.trouble: str | None = None
        self._taken: Stamp | None = None
        self._seen: Stamp | None = None
        self._content = b""
        self._read_once = False

    @property
    def settling(self) -> bool:
        """Whether the file is changing, so that it is worth looking again soon."""
        return self._seen != self._taken

    def read(self) -> bytes:
        """The content now, which `poll` then takes for known. Raises OSError.

        A pipe (`-c <(...)`) can be read once; a second time is an error, not an endless wait.
        """
        if self._read_once:
            raise OSError(errno.ESPIPE, "not a regular file, it can be read only once", self.name)
        before = self._stamp()
        data = self._bytes()
        if before is not None and before == self._stamp():
            self._taken = self._seen = before
        self._content = hashlib.sha256(data).digest()
        self._read_once = not self.path.is_file()
        self.trouble = None
        return data

    def poll(self) -> bool:
        """Whether there is new content that has come to rest since the last poll or read.

        A file that is being written differs from one look to the next; what looks the same
        twice is complete. (A writer that pauses in the middle leaves a file that most likely
        does not parse, and the rest of its writing is the next change.)
        """
        if self._read_once:
            return False
        stamp = self._stamp()
        if stamp == self._taken and stamp is not None:
            self._seen = stamp
            return False
        if stamp != self._seen:
            self._seen = stamp
            return False
        if stamp is None:
            # Gone for two looks, so not just between the two steps of an editor's rename.
            self._forget()
            return False
        return self._compare(stamp)

    def _compare(self, stamp: Stamp) -> bool:
        try:
            content = hashlib.sha256(self._bytes()).digest()
        except OSError as error:
            self.trouble = _words(error)
            self._taken = stamp
            return False
        after = self._stamp()
        if after != stamp:
            self._seen = after
            return False
        self._taken = stamp
        self.trouble = None
        fresh = content != self._content
        self._content = content
        return fresh

    def _forget(self) -> None:
        self._taken = None
        self._content = b""
        try:
            self.path.stat()
        except OSError as error:
            self.trouble = _words(error)

    def _stamp(self) -> Stamp | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        # The change time too: a copy that keeps the times of its source alters nothing else.
        return (
            found.st_dev,
            found.st_ino,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_size,
        )

    def _bytes(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(MAX_BYTES)


class Text:
    """A config that came from no file (standard input, the command line) and never changes."""

    __slots__ = ("_data", "name")

    settling = False
    trouble: str | None = None

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self._data = data

    def read(self) -> bytes:
        """The same bytes each time: variables and secrets in it may still have changed."""
        return self._data

    def poll(self) -> bool:
        return False


def _words(error: OSError) -> str:
    return error.strerror or str(error)
