"""One request of the corpus, and short ways to write it.

`About` holds what a group of cases has in common: the section of the RFC (or `stricter: ` and
why), the threat, and the status that says no.
"""

from __future__ import annotations

from dataclasses import dataclass

BAD = frozenset({400})
CODING = frozenset({501})
METHOD = frozenset({501})
VERSION = frozenset({505})

END = b"0\r\n\r\n"
"""The last chunk, without trailers."""


@dataclass(frozen=True)
class Case:
    """A request that must be refused: `data` is everything that the client sends.

    Where the fault lies in the body (`in_body`), the head may have gone on, but never a request
    that looks complete.
    """

    name: str
    data: bytes
    statuses: frozenset[int] = BAD
    in_body: bool = False
    rfc: str = ""
    threat: str = ""


@dataclass(frozen=True)
class About:
    """What a group of refused requests has in common."""

    rfc: str
    threat: str
    statuses: frozenset[int] = BAD

    def raw(self, name: str, data: bytes, *, in_body: bool = False) -> Case:
        """The bytes as they are."""
        return Case(name, data, self.statuses, in_body, self.rfc, self.threat)

    def get(self, name: str, lines: bytes) -> Case:
        """A GET with these field lines after its Host."""
        return self.raw(name, b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n")

    def post(self, name: str, lines: bytes, body: bytes = b"") -> Case:
        """A POST with these field lines after its Host."""
        return self.raw(name, b"POST / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n" + body)

    def first(self, name: str, line: bytes) -> Case:
        """A request line, and a Host."""
        return self.raw(name, line + b"\r\nHost: a\r\n\r\n")

    def path(self, name: str, target: bytes) -> Case:
        """A GET of this target."""
        return self.first(f"path: {name}", b"GET " + target + b" HTTP/1.1")

    def host(self, name: str, lines: bytes) -> Case:
        """A GET with these lines in place of a Host."""
        return self.raw(f"host: {name}", b"GET / HTTP/1.1\r\n" + lines + b"\r\n")

    def chunked(self, name: str, body: bytes) -> Case:
        """A chunked POST; its head is good."""
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        return self.raw(f"chunk: {name}", head + body, in_body=True)
