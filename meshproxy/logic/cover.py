"""Which rule of those before it takes every request that a rule would: then that can never match.

Knows the grammar of `match` and nothing of requests. Ten thousand rules are looked through in
one walk each, along the segments that their patterns share.
"""

from __future__ import annotations

from itertools import combinations

from meshproxy.logic.match import Pattern, Rule, read_pattern

Methods = frozenset[bytes]
Headers = frozenset[tuple[bytes, bytes]]

_STAR = b"*"
_MOST_SUBSETS = 8
"""Header rules of one match whose subsets are looked up; with more, all rules there are asked."""


class Cover:
    """Rules met so far, by the segments of their patterns."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, index: int, rule: Rule) -> None:
        """One more; indices rise."""
        pattern = read_pattern(rule.path)
        node = self._root
        for segment in pattern.segments:
            node = node.children.setdefault(segment, _Node())
        rules = node.below if pattern.open else node.here
        rules.setdefault(frozenset(rule.headers), []).append((index, rule.methods))

    def taker(self, rule: Rule) -> int | None:
        """The first rule so far that takes every request which this one takes."""
        pattern, headers = read_pattern(rule.path), frozenset(rule.headers)
        found: int | None = None
        for rules in self._around(pattern):
            for index in _takers(rules, rule.methods, headers):
                if found is None or index < found:
                    found = index
        return found

    def _around(self, pattern: Pattern) -> list[_Rules]:
        """The rules of all patterns that take every path which this one takes."""
        fewest = len(pattern.segments) + pattern.open
        # The empty pattern also takes what is no path at all, such as the * of OPTIONS.
        found = [self._root.below]
        nodes = [self._root]
        for depth, segment in enumerate(pattern.segments, 1):
            # A star takes any one segment but an empty one, and is itself taken by a star alone.
            steps = {segment, _STAR} if segment else {segment}
            nodes = [
                node.children[step] for node in nodes for step in steps if step in node.children
            ]
            if depth < fewest:
                found += [node.below for node in nodes]
        if not pattern.open:
            found += [node.here for node in nodes]
        return found


_Rules = dict[Headers, list[tuple[int, Methods]]]


class _Node:
    __slots__ = ("below", "children", "here")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node] = {}
        self.here: _Rules = {}
        self.below: _Rules = {}


def _takers(rules: _Rules, methods: Methods, headers: Headers) -> list[int]:
    """Of rules whose paths do, those that ask for no other method and no other header."""
    if not rules:
        return []
    if len(headers) > _MOST_SUBSETS:
        asked = [each for each in rules if each <= headers]
    else:
        sizes = range(len(headers) + 1)
        asked = [frozenset(each) for size in sizes for each in combinations(headers, size)]
    return [
        index
        for each in asked
        for index, theirs in rules.get(each, ())
        if not theirs or (methods and methods <= theirs)
    ]
