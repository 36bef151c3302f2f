"""The text of /metrics: Prometheus 0.0.4, and OpenMetrics 1.0.0 for who asks for it.

Spells lines and knows nothing of what they count. Written by hand because prometheus_client
needs 23 ms for what this writes in about one, on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

from meshproxy.core.report import Sample
from meshproxy.telemetry.families import FAMILIES, Family, family_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

Labels = Iterable[tuple[str, str]]

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def labelled(labels: Labels) -> str:
    """`a="1",b="2"`, escaped, without the braces."""
    return ",".join([f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels])


def number(value: float) -> str:
    """As both formats write it: whole numbers without a point."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    return str(int(value)) if value == int(value) else repr(value)


class Page:
    """One scrape, family by family."""

    def __init__(self, openmetrics: bool) -> None:
        self._openmetrics = openmetrics
        self._lines: list[str] = []
        self._begun: set[str] = set()

    def family(self, family: Family) -> None:
        """Begin a family; its lines must follow, and it must not come again."""
        name, kind = family.name, family.type
        self._begun.add(name)
        if self._openmetrics:
            # Here a family is named without the suffix that its samples carry.
            suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
            name = name.removesuffix(suffix)
        else:
            kind = {"info": "gauge", "unknown": "untyped"}.get(kind, kind)  # type: ignore[assignment]
        self._lines.append(f"# HELP {name} {family.help}\n# TYPE {name} {kind}\n")

    def line(self, family: Family, labels: str, more: Labels, value: float) -> None:
        """One number; `labels` as `labelled` wrote them, `more` still to be written."""
        extra = labelled(more)
        both = f"{labels},{extra}" if labels and extra else labels or extra
        where = f"{{{both}}}" if both else ""
        self._lines.append(f"{family.name}{where} {number(value)}\n")

    def histogram(
        self,
        family: Family,
        labels: str,
        bounds: Sequence[float],
        counts: Sequence[int],
        total: float,
    ) -> None:
        """Cumulative buckets, sum and count; `counts` has one entry more than `bounds`."""
        name = family.name
        below = list(accumulate(counts))
        self._lines += [
            f'{name}_bucket{{{labels},le="{bound}"}} {count}\n'
            for bound, count in zip((*bounds, "+Inf"), below, strict=True)
        ]
        self._lines.append(
            f"{name}_sum{{{labels}}} {total!r}\n{name}_count{{{labels}}} {below[-1]}\n"
        )

    def samples(self, samples: Iterable[Sample]) -> None:
        """The families not begun yet, from loose samples; equal labels become one line.

        A family without a sample is named all the same, so that people find it.
        """
        gathered: dict[str, dict[str, list[float]]] = {
            family.name: {} for family in FAMILIES if family.name not in self._begun
        }
        for sample in samples:
            lines = gathered.setdefault(sample.family, {})
            lines.setdefault(labelled(sample.labels), []).append(sample.value)
        for name, lines in gathered.items():
            family = family_of(name)
            self.family(family)
            for labels, values in lines.items():
                self.line(family, labels, (), family.merge(values))

    def text(self) -> bytes:
        """The page, with what prometheus_client tells of this process and its collector."""
        end = "# EOF\n" if self._openmetrics else ""
        return "".join((*self._lines, _process(self._openmetrics), end)).encode()


def _process(openmetrics: bool) -> str:
    if openmetrics:
        from prometheus_client.openmetrics import exposition

        text: bytes = exposition.generate_latest(_collectors())  # type: ignore[no-untyped-call]
        return text.decode().removesuffix("# EOF\n")
    from prometheus_client import generate_latest

    return generate_latest(_collectors()).decode()


@lru_cache(maxsize=1)
def _collectors() -> CollectorRegistry:
    """CPU, memory, descriptors, garbage collection; imported with the first scrape (20 ms)."""
    from prometheus_client import (
        CollectorRegistry,
        GCCollector,
        PlatformCollector,
        ProcessCollector,
    )

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
