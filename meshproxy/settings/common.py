"""What routes have in common is built once: most of them inherit most of what is in force.

A policy that says nothing of its route stands in all that mean the same by it. So a thousand
routes cost little more memory than ten, a request finds the policies of its route in the
processor's cache, and a reload builds what is new to it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from meshproxy.core.classify import Classifier
from meshproxy.core.route import Part, Phases, Pick
from meshproxy.policies.contract import gather, picking


class Common:
    """What one compile has built so far."""

    __slots__ = ("_classifiers", "_numbers", "_policies", "_walks")

    def __init__(self) -> None:
        self._classifiers: dict[tuple[str, ...], Classifier] = {}
        self._numbers: dict[float, float] = {}
        self._policies: dict[Hashable, tuple[Sequence[Any], object | None]] = {}
        self._walks: dict[tuple[int, ...], Walk] = {}

    def classifier(self, words: Iterable[str]) -> Classifier:
        """That of these `failures`."""
        key = tuple(words)
        found = self._classifiers.get(key)
        if found is None:
            found = self._classifiers[key] = Classifier(key)
        return found

    def number(self, value: float) -> float:
        """The one object for all numbers that are equal to it."""
        return self._numbers.setdefault(value, value)

    def policy(
        self, key: Hashable, values: Sequence[Any], make: Callable[[], object | None]
    ) -> object | None:
        """The one under `key`, made now unless one of the same `values` was made before.

        The key is where they were written and what they act on, which should say their values
        by itself. That they are the same is looked at all the same: a policy in a route that it
        is not meant for is worse than one that is built twice.
        """
        known = self._policies.get(key)
        if known is not None and known[0] == values:
            return known[1]
        made = make()
        self._policies[key] = (values, made)
        return made

    def walk(self, parts: Sequence[Part]) -> Walk:
        """The phases of these policies; who has all of them in common with another has its."""
        key = tuple(id(part.policy) for part in parts)
        found = self._walks.get(key)
        if found is None:
            found = self._walks[key] = Walk(tuple(parts))
        return found


class Walk:
    """Policies in their order, and what they do together. `pick` is None where none picks."""

    __slots__ = ("parts", "phases", "pick")

    def __init__(self, parts: tuple[Part, ...]) -> None:
        built = [part.policy for part in parts]
        self.parts = parts
        self.phases: Phases = gather(built)
        self.pick: Pick | None = picking(built)
