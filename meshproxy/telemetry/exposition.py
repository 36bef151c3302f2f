"""The text of /metrics: Prometheus 0.0.4, and OpenMetrics 1.0.0 for who asks for it.

Spells lines and knows nothing of what they count. Written by hand, because prometheus_client
needs 23 ms for what this writes in about one; and in pieces, because the event loop writes it:
between two of them others get their turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

from meshproxy.core.report import Sample
from meshproxy.telemetry.families import FAMILIES, Family, family_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

Labels = Iterable[tuple[str, str]]
Groups = Iterable[Iterable[Sample]]
"""Samples by whose they are: a group is taken in one go, as its owner may change in between."""
Example = tuple[bytes, float, float]
"""Of a bucket: the trace id of a request that was counted there, its value, when (unix time)."""

PIECE = 250
"""Lines after which a piece is full; 0.3 ms of work."""

NONE: Mapping[int, Example] = {}
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
    """One scrape, family by family. Ask for what is `full` after every few lines."""

    def __init__(self, openmetrics: bool) -> None:
        self._openmetrics = openmetrics
        self._lines: list[str] = []
        self._work = 0
        self._begun: set[str] = set()

    def full(self) -> Iterable[bytes]:
        """The piece that is ready, if one is: another turn of the loop should come first."""
        return (self._cut(),) if self._work >= PIECE else ()

    def worked(self, steps: int) -> None:
        """So many steps were taken that cost about what a line does."""
        self._work += steps

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
        self._add(f"# HELP {name} {family.help}\n# TYPE {name} {kind}\n", 2)

    def line(self, family: Family, labels: str, more: Labels, value: float) -> None:
        """One number; `labels` as `labelled` wrote them, `more` still to be written."""
        extra = labelled(more)
        both = f"{labels},{extra}" if labels and extra else labels or extra
        where = f"{{{both}}}" if both else ""
        self._add(f"{family.name}{where} {number(value)}\n", 1)

    def histogram(
        self,
        family: Family,
        labels: str,
        bounds: Sequence[float],
        counts: Sequence[int],
        total: float,
        examples: Mapping[int, Example] = NONE,
    ) -> None:
        """Cumulative buckets, sum and count; `counts` has one entry more than `bounds`.

        `examples` are by place in `counts`; the older format has no way to say them.
        """
        name = family.name
        below = list(accumulate(counts))
        lines = [
            f'{name}_bucket{{{labels},le="{bound}"}} {count}'
            for bound, count in zip((*bounds, "+Inf"), below, strict=True)
        ]
        if self._openmetrics:
            for place, (trace_id, value, when) in examples.items():
                lines[place] += f' # {{trace_id="{trace_id.decode()}"}} {value:.6g} {when:.3f}'
        lines += [f"{name}_sum{{{labels}}} {total!r}", f"{name}_count{{{labels}}} {below[-1]}", ""]
        self._add("\n".join(lines), len(lines) - 1)

    def samples(self, groups: Groups) -> Iterator[bytes]:
        """The families not begun yet, from loose samples; equal labels become one line.

        A family without a sample is named all the same, so that people find it.
        """
        # No containers but these: 10,000 of them would call the collector, for 12 ms.
        gathered: dict[str, dict[str, float]] = {
            family.name: {} for family in FAMILIES if family.name not in self._begun
        }
        for group in groups:
            self.worked(1)
            for sample in group:
                lines = gathered.setdefault(sample.family, {})
                labels, value = labelled(sample.labels), sample.value
                if labels in lines:
                    value = family_of(sample.family).merge((lines[labels], value))
                lines[labels] = value
                self.worked(2)
            yield from self.full()
        for name, lines in gathered.items():
            family = family_of(name)
            self.family(family)
            yield from self.full()
            for labels, value in lines.items():
                self.line(family, labels, (), value)
                yield from self.full()

    def end(self) -> bytes:
        """The last piece, with what prometheus_client tells of Python and its collector."""
        self._add(_python(self._openmetrics), 0)
        if self._openmetrics:
            self._add("# EOF\n", 0)
        return self._cut()

    def _add(self, text: str, lines: int) -> None:
        self._lines.append(text)
        self._work += lines

    def _cut(self) -> bytes:
        piece = "".join(self._lines).encode()
        self._lines.clear()
        self._work = 0
        return piece


def _python(openmetrics: bool) -> str:
    if openmetrics:
        from prometheus_client.openmetrics import exposition

        text: bytes = exposition.generate_latest(_collectors())  # type: ignore[no-untyped-call]
        return text.decode().removesuffix("# EOF\n")
    from prometheus_client import generate_latest

    return generate_latest(_collectors()).decode()


@lru_cache(maxsize=1)
def _collectors() -> CollectorRegistry:
    """Version and garbage collection; imported with the first scrape (20 ms).

    Its collector of the process is not among them: `process` says why.
    """
    from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector

    registry = CollectorRegistry(auto_describe=False)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
