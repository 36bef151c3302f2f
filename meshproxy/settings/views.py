"""A valid model as the checks of its meaning look at it: places, routes, listeners and lines.

Finds nothing wrong by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from meshproxy.settings.addresses import Address
from meshproxy.settings.errors import Path
from meshproxy.settings.load import Document
from meshproxy.settings.schema import File, InboundRoute, OutboundRoute, Timeouts

APP = "app"
"""The name of the cluster that is the application itself."""

Finding = tuple[Path, str]
Check = Callable[["Context"], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Context:
    """The model and what helps to say where its parts stand."""

    file: File
    document: Document
    listeners: tuple[tuple[Path, Address], ...] = field(default=())

    def says(self, path: Path) -> bool:
        return path in self.document.keys

    def line(self, path: Path) -> str:
        number = self.document.key_mark(path)[0]
        return f"line {number}" if number else "its default"


def listeners(file: File) -> Iterator[tuple[Path, Address]]:
    if file.inbound is not None:
        yield ("inbound", "listen"), file.inbound.listen
    if file.outbound is not None:
        yield ("outbound", "listen"), file.outbound.listen
        for name, service in file.outbound.services.items():
            if service.listen is not None:
                yield ("outbound", "services", name, "listen"), service.listen
    yield ("metrics", "listen"), file.metrics.listen
    yield ("admin", "listen"), file.admin.listen


def places(file: File) -> Iterator[tuple[Path, Timeouts]]:
    if file.inbound is not None:
        yield ("inbound",), file.inbound
        for index, inner in enumerate(file.inbound.routes):
            yield ("inbound", "routes", index), inner
    if file.outbound is not None:
        yield ("outbound", "defaults"), file.outbound.defaults
        for name, service in file.outbound.services.items():
            yield ("outbound", "services", name), service
            for index, route in enumerate(service.routes):
                yield ("outbound", "services", name, "routes", index), route


def route_lists(file: File) -> Iterator[tuple[Path, Sequence[InboundRoute | OutboundRoute]]]:
    if file.inbound is not None:
        yield ("inbound", "routes"), file.inbound.routes
    if file.outbound is not None:
        for name, service in file.outbound.services.items():
            yield ("outbound", "services", name, "routes"), service.routes


def chains(file: File) -> Iterator[list[tuple[Path, Timeouts]]]:
    """Every way from an outermost place to a route, as the places on it."""
    by_path = dict(places(file))
    for path in by_path:
        around = [path[:end] for end in range(1, len(path) + 1) if path[:end] in by_path]
        if path[0] == "outbound" and path[1] != "defaults":
            around.insert(0, ("outbound", "defaults"))
        yield [(one, by_path[one]) for one in around]


def dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)
