"""The same counts once more under the names that Istio's dashboards ask for.

Re-labels what was counted already, when somebody scrapes; nothing is counted for it. What a
sidecar without a control plane cannot know (workloads, namespaces and identities of others) is
`unknown`, as Istio itself says it. Left out is what would have to be counted: the sizes of
messages, and durations by response code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from meshproxy.telemetry.exposition import Page, labelled
from meshproxy.telemetry.families import Family

if TYPE_CHECKING:
    from meshproxy.telemetry.series import RouteSeries

REQUESTS = Family(
    "istio_requests_total", "counter", "The requests of meshproxy_requests_total, as Istio says."
)
DURATION = Family(
    "istio_request_duration_milliseconds",
    "histogram",
    "The durations of meshproxy_request_duration_seconds, as Istio says.",
)

UNKNOWN = "unknown"
NO_FLAGS = "-"
_OUTSIDE = {
    "__unmatched__": "BlackHoleCluster",
    "__unknown_hosts__": "PassthroughCluster",
    "__connect__": "PassthroughCluster",
    "__other__": UNKNOWN,
}
"""Where a call goes that no service of the file takes, in Istio's words."""

_OF_A_SIDE = (
    "workload", "workload_namespace", "principal", "app", "version", "cluster",
    "canonical_service", "canonical_revision",
)  # fmt: skip

Rows = Mapping[tuple[str, str, str], "RouteSeries"]
"""By direction, route and upstream."""


class Service(Protocol):
    """Whose sidecar this is, as the file says."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...


class Istio:
    """The translation for one service; `bounds` are those of the histograms, in seconds."""

    __slots__ = ("_bounds", "_name", "_version")

    def __init__(self, service: Service, bounds: tuple[float, ...]) -> None:
        self._name = service.name
        self._version = service.version or UNKNOWN
        self._bounds = tuple(round(bound * 1000.0, 3) for bound in bounds)

    def render(self, page: Page, rows: Rows) -> Iterator[bytes]:
        """Both families; the routes to one destination are one series here."""
        grouped: dict[tuple[str, str], list[RouteSeries]] = {}
        for (direction, _, upstream), row in rows.items():
            grouped.setdefault((direction, upstream), []).append(row)
        labels = {ends: labelled(self._labels(*ends).items()) for ends in grouped}
        page.family(REQUESTS)
        for ends, several in grouped.items():
            totals: dict[tuple[int, str], int] = {}
            for row in several:
                for (_, status, flags), count in row.counts().items():
                    totals[status, flags] = totals.get((status, flags), 0) + count
                page.worked(len(row.cells()))
                yield from page.full()
            for (status, flags), count in totals.items():
                page.line(REQUESTS, labels[ends], _outcome(status, flags), count)
                yield from page.full()
        page.family(DURATION)
        for ends, several in grouped.items():
            counts = [0] * (len(self._bounds) + 1)
            total = 0.0
            for row in several:
                counts = [one + more for one, more in zip(counts, row.durations(), strict=True)]
                total += row.duration_sum
                page.worked(3)
                yield from page.full()
            page.histogram(DURATION, labels[ends], self._bounds, counts, total * 1000.0)
            yield from page.full()

    def _labels(self, direction: str, upstream: str) -> dict[str, str]:
        own = {"workload": self._name, "app": self._name, "version": self._version,
               "canonical_service": self._name, "canonical_revision": self._version}  # fmt: skip
        if direction == "inbound":
            source, destination, service = {}, own, self._name
        else:
            service = _OUTSIDE.get(upstream, upstream)
            source = own
            destination = dict.fromkeys(("workload", "app", "canonical_service"), service)
        return {
            "reporter": "destination" if direction == "inbound" else "source",
            **_side("source", source),
            **_side("destination", destination),
            "destination_service": service,
            "destination_service_name": service,
            "destination_service_namespace": UNKNOWN,
            "request_protocol": "http",
            # What the other side's end of a connection is like, only the other side knows.
            "connection_security_policy": "none" if direction == "inbound" else UNKNOWN,
        }


def _side(which: str, known: Mapping[str, str]) -> dict[str, str]:
    return {f"{which}_{name}": known.get(name, UNKNOWN) for name in _OF_A_SIDE}


def _outcome(status: int, flags: str) -> tuple[tuple[str, str], ...]:
    if flags in _OUTSIDE:
        return (("response_code", UNKNOWN), ("response_flags", UNKNOWN))
    return (("response_code", str(status)), ("response_flags", flags or NO_FLAGS))
