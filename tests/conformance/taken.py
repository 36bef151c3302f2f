"""One request of the corpus that must be taken, and exactly what must go on to the origin.

`Taking` holds what a group of cases has in common, and writes short ones: the field lines that
are given are those that are expected, unless `kept` says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


@dataclass(frozen=True)
class Seen:
    """A request as the origin gets it: its first line, the client's fields, its body.

    `host` is what `x-forwarded-host` says. The proxy's own fields follow those given here.
    """

    start: bytes = b"GET / HTTP/1.1"
    fields: tuple[bytes, ...] = (b"Host: a",)
    body: bytes = b""
    host: bytes = b"a"


@dataclass(frozen=True)
class Taken:
    """What a client sends on one connection, and the requests that its origin must see."""

    name: str
    data: bytes
    sees: tuple[Seen, ...]
    rfc: str
    threat: str = ""


@dataclass(frozen=True)
class Taking:
    """What a group of taken requests has in common."""

    rfc: str
    threat: str = ""

    def raw(self, name: str, data: bytes, *sees: Seen) -> Taken:
        """The bytes as they are."""
        return Taken(name, data, sees, self.rfc, self.threat)

    def get(self, name: str, lines: Sequence[bytes], kept: Sequence[bytes] | None = None) -> Taken:
        """A GET with these lines after its Host, of which `kept` go on."""
        rest = lines if kept is None else kept
        data = HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
        return self.raw(name, data, Seen(fields=(b"Host: a", *rest)))

    def post(
        self, name: str, line: bytes, body: bytes, kept: bytes = b"", sent: bytes | None = None
    ) -> Taken:
        """A POST whose body is framed by `line`; `sent` is how the body looks on the wire."""
        data = b"POST / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n"
        seen = Seen(b"POST / HTTP/1.1", (b"Host: a", kept or line), body)
        return self.raw(name, data + (body if sent is None else sent), seen)

    def chunked(self, name: str, sent: bytes, body: bytes) -> Taken:
        """A chunked POST."""
        return self.post(f"chunk: {name}", b"Transfer-Encoding: chunked", body, sent=sent)

    def target(self, name: str, target: bytes, forwarded: bytes = b"") -> Taken:
        """A GET of a target, and the one that goes on."""
        data = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        return self.raw(name, data, Seen(b"GET " + (forwarded or target) + b" HTTP/1.1"))

    def host(self, name: str, host: bytes) -> Taken:
        """A GET for this host, which goes on as it came."""
        line = b"Host: " + host
        data = b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n"
        return self.raw(f"host: {name}", data, Seen(fields=(line,), host=host))

    def absolute(self, name: str, start: bytes, to: bytes, host: bytes) -> Taken:
        """A request in absolute form beside another Host, which gives way."""
        data = start + b"\r\nHost: other\r\n\r\n"
        return self.raw(name, data, Seen(to, (b"Host: " + host,), host=host))
