"""A quantile out of a histogram's counts, as Prometheus' `histogram_quantile` estimates it.

Counts are not cumulative: one for each upper bound, and one more for what is above all of them.
Knows nothing of time and units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def quantile(share: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """The value below which this share of the observations lies; None where there are none.

    Within a bucket they are taken to be spread evenly, in the first one from 0. What is above
    the highest bound is told as that bound: how far above is not known.
    """
    total = sum(counts)
    if not total:
        return None
    rank = share * total
    below, lower = 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return lower + (bound - lower) * max(0.0, rank - below) / count
        below += count
        lower = bound
    return lower


def difference(later: Sequence[int], earlier: Sequence[int]) -> tuple[int, ...]:
    """What was counted between two looks at the same counts; none before is `()`."""
    if not earlier:
        return tuple(later)
    return tuple([now - then for now, then in zip(later, earlier, strict=True)])


def total(several: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """Histograms of the same bounds as one; `()` if there are none."""
    return tuple(map(sum, zip(*several, strict=True)))
