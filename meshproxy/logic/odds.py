"""How likely each of several is to be chosen by chance: the arithmetic behind `balance`, told.

Weights and preferences in, probabilities out, exactly; nothing is drawn. For those who explain a
choice before it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

Better = Callable[[int, int], float]
"""(one, other) -> how likely the other is preferred, when both are drawn in this order."""


def by_weight(weights: Sequence[int], able: Collection[int]) -> list[float]:
    """One is drawn by weight; if it is not able, one of those that are."""
    whole = sum(weights)
    left = sum(weights[index] for index in able)
    lost = 1.0 - left / whole
    return [
        weight / whole + lost * weight / left if index in able else 0.0
        for index, weight in enumerate(weights)
    ]


def two_choices(weights: Sequence[int], better: Better, able: Collection[int]) -> list[float]:
    """Of two drawn by weight the better one; if it is not able, the other one or a third."""
    ranked = _ranked(weights, better)
    chances = [0.0] * len(weights)
    best, beaten = [0.0] * len(weights), [0.0] * len(weights)
    for (winner, loser), chance in ranked.items():
        best[winner] += chance
        if winner in able:
            chances[winner] += chance
        else:
            beaten[loser] += chance
    nobody = 0.0
    for loser, chance in enumerate(beaten):
        for third, its in enumerate(best):
            both = chance * its
            if not both:
                continue
            if loser in able and third in able:
                other = better(loser, third) if loser != third else 0.0
                chances[third] += both * other
                chances[loser] += both * (1.0 - other)
            elif loser in able or third in able:
                chances[loser if loser in able else third] += both
            else:
                nobody += both
    if nobody:
        _spread(nobody, weights, better, sorted(able), chances)
    return chances


def _spread(
    share: float, weights: Sequence[int], better: Better, left: Sequence[int], chances: list[float]
) -> None:
    """What fell to nobody goes to the better of two of those that are left."""
    if len(left) == 1:
        chances[left[0]] += share
        return
    among = _ranked([weights[at] for at in left], lambda one, other: better(left[one], left[other]))
    for (winner, _), chance in among.items():
        chances[left[winner]] += share * chance


def _ranked(weights: Sequence[int], better: Better) -> dict[tuple[int, int], float]:
    """How likely each pair of a better and a worse one is."""
    whole = sum(weights)
    found: dict[tuple[int, int], float] = {}
    for one, weight in enumerate(weights):
        for other, its in enumerate(weights):
            if one == other:
                continue
            drawn = weight / whole * its / (whole - weight)
            preferred = better(one, other)
            if preferred:
                found[other, one] = found.get((other, one), 0.0) + drawn * preferred
            if preferred < 1.0:
                found[one, other] = found.get((one, other), 0.0) + drawn * (1.0 - preferred)
    return found
