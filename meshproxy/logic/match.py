"""Which rule of an ordered list a request meets first, at a cost that does not grow with the list.

Knows methods, paths and header values as bytes; not what a rule leads to. A pattern is a
literal path, a path ending in `/*` (everything below, the bare slash included: `/reports/*`
takes `/reports/` and `/reports/x/y`, not `/reports`), and may hold `*` as one whole, non-empty
segment before its end (`/users/*/orders`). `/*` and the empty pattern take everything. Both
patterns and paths must be canonical and folded by `logic.path`, without a query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

Header = Callable[[bytes], "bytes | None"]

_STAR = b"*"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one row asks for; an empty field asks for nothing.

    Methods match exactly (GET does not take HEAD). Header names are lower-case, and a value
    must equal the whole field value.
    """

    methods: frozenset[bytes] = frozenset()
    path: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path pattern in segments: `*` is any one of them; `open` takes whatever follows."""

    segments: tuple[bytes, ...]
    open: bool

    def is_literal(self) -> bool:
        return not self.open and _STAR not in self.segments


def read_pattern(path: bytes) -> Pattern:
    """Take a pattern apart; ValueError says, in a sentence for people, what is wrong with it."""
    if not path:
        return Pattern((), open=True)
    if not path.startswith(b"/"):
        raise ValueError("a path must begin with /")
    if b"?" in path or b"#" in path:
        raise ValueError("a path has no query and no fragment")
    *segments, last = path[1:].split(b"/")
    if any(b"*" in segment and segment != _STAR for segment in (*segments, last)):
        raise ValueError("* stands for one whole segment, as in /users/*/orders, or ends the path")
    if last == _STAR:
        return Pattern(tuple(segments), open=True)
    return Pattern((*segments, last), open=False)


class RouteIndex:
    """Rules by their order, found by literal path first and by the shapes of patterns after.

    A literal path costs one dictionary look-up, patterns one per shape that a path of so many
    segments can have (which of them are stars, and whether more may follow), header rules one
    per distinct set of header names on that path. How many rules there are costs nothing.
    """

    __slots__ = ("_by_length", "_depth", "_everything", "_exact", "_lowest")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._exact: dict[bytes, _Leaf] = {}
        self._everything = _Leaf()
        shapes: dict[object, _Shape] = {}
        for index, rule in enumerate(rules):
            pattern = read_pattern(rule.path)
            if pattern.is_literal():
                leaf = self._exact.setdefault(rule.path, _Leaf())
            elif not pattern.segments:
                leaf = self._everything
            else:
                shape = _Shape(index, pattern)
                leaf = shapes.setdefault(shape.places, shape).leaf(pattern)
            leaf.add(index, rule)
        in_order = list(shapes.values())
        # The first rule that is not for a single path.
        self._lowest = min([self._everything.lowest, *(shape.lowest for shape in in_order)])
        self._depth = max((shape.length for shape in in_order), default=0) + 1
        # Split at its slashes a path has one part more than segments: nothing before the first.
        self._by_length = tuple(
            tuple(shape.row() for shape in in_order if shape.fits(parts - 1))
            for parts in range(self._depth + 2)
        )

    def find(self, method: bytes, path: bytes, header: Header) -> int | None:
        """The index of the first rule, in the order given, that takes this request."""
        best = _NONE
        leaf = self._exact.get(path)
        if leaf is not None:
            best = leaf.plain
            if leaf.asks < best:
                best = leaf.first(method, header, best)
        if self._lowest < best:
            # A path with more segments than any pattern stays whole after the last that counts.
            segments = path.split(b"/", self._depth)
            if not segments[0]:  # else it is no path: the * of OPTIONS
                for lowest, key, leaves, stars in self._by_length[len(segments)]:
                    if lowest >= best:
                        break  # shapes stand in the order of their first rule
                    leaf = leaves.get(key(segments))
                    if leaf is not None and (stars is None or b"" not in stars(segments)):
                        if leaf.plain < best:
                            best = leaf.plain
                        if leaf.asks < best:
                            best = leaf.first(method, header, best)
            if self._everything.lowest < best:
                best = self._everything.first(method, header, best)
        return None if best == _NONE else best


_NONE = 1 << 62
"""Above every index."""

_Segments = Sequence[bytes]
_Row = tuple[
    int, Callable[[_Segments], Any], "dict[Any, _Leaf]", "Callable[[_Segments], Any] | None"
]


class _Shape:
    """Patterns with their stars in the same places: one look-up by their other segments.

    Places are those in a path that was split at its slashes: the first segment is at 1.
    """

    def __init__(self, lowest: int, pattern: Pattern) -> None:
        self.lowest = lowest
        self.length = len(pattern.segments)
        starred = [at for at, one in enumerate(pattern.segments, 1) if one == _STAR]
        self.places = self.length, pattern.open, *starred
        others = [at for at in range(1, self.length + 1) if at not in starred]
        # Nothing stands before the first slash: the key of those that are nothing but stars.
        self._key = itemgetter(*(others or [0]))
        # Each twice, as one alone would come without its tuple.
        self._stars = itemgetter(*starred, *starred) if starred else None
        self._leaves: dict[Any, _Leaf] = {}
        self._open = pattern.open

    def leaf(self, pattern: Pattern) -> _Leaf:
        """Where the rules of a pattern of this shape are, made if need be."""
        return self._leaves.setdefault(self._key((b"", *pattern.segments)), _Leaf())

    def fits(self, length: int) -> bool:
        """Whether a path of so many segments can be of this shape."""
        return length > self.length if self._open else length == self.length

    def row(self) -> _Row:
        """Its lowest rule, the key of a path, the leaves by it, and what may not be empty."""
        return self.lowest, self._key, self._leaves, self._stars


@dataclass(slots=True)
class _Group:
    """Rules of one path and method that look at the same header names."""

    names: tuple[bytes, ...]
    lowest: int
    # None is what an absent field reads as; no rule has it.
    by_values: dict[tuple[bytes | None, ...], int] = field(default_factory=dict)


class _Leaf:
    """The rules of one pattern: those without headers by method, the others in groups.

    `plain` is the first that asks for nothing more than its path, `asks` the first that does.
    What no rule of it needs is not there: among a thousand leaves each is cold.
    """

    __slots__ = ("_by_method", "_grouped", "asks", "lowest", "plain")

    def __init__(self) -> None:
        self.lowest = self.plain = self.asks = _NONE
        self._by_method: dict[bytes, int] | None = None
        self._grouped: _Grouped | None = None

    def add(self, index: int, rule: Rule) -> None:
        """Rules come in their order."""
        self.lowest = min(self.lowest, index)
        if not (rule.headers or rule.methods):
            self.plain = min(self.plain, index)
            return
        self.asks = min(self.asks, index)
        if rule.headers:
            self._grouped = self._grouped or _Grouped()
            self._grouped.add(index, rule)
        else:
            self._by_method = self._by_method or {}
            for method in rule.methods:
                self._by_method.setdefault(method, index)

    def first(self, method: bytes, header: Header, best: int) -> int:
        """The lowest index below `best` that takes this request, else `best`."""
        if self.plain < best:
            best = self.plain
        if self._by_method is not None:
            found = self._by_method.get(method, best)
            if found < best:
                best = found
        grouped = self._grouped
        if grouped is not None:
            for group in grouped.by_method.get(method, grouped.others):
                if group.lowest >= best:
                    break  # groups stand in the order of their first rule
                found = group.by_values.get(tuple(map(header, group.names)), best)
                if found < best:
                    best = found
        return best


class _Grouped:
    """The rules of one pattern that ask for headers: each method has all that may take it."""

    __slots__ = ("by_method", "others")

    def __init__(self) -> None:
        self.by_method: dict[bytes, list[_Group]] = {}
        self.others: list[_Group] = []  # of a method that no rule names

    def add(self, index: int, rule: Rule) -> None:
        for method in rule.methods:
            if method not in self.by_method:
                self.by_method[method] = [
                    _Group(group.names, group.lowest, dict(group.by_values))
                    for group in self.others
                ]
        named = [self.by_method[method] for method in rule.methods]
        for groups in named or [*self.by_method.values(), self.others]:
            _put(groups, index, sorted(set(rule.headers)))


def _put(groups: list[_Group], index: int, headers: list[tuple[bytes, bytes]]) -> None:
    names = tuple(name for name, _ in headers)
    values = tuple(value for _, value in headers)
    group = next((group for group in groups if group.names == names), None)
    if group is None:
        group = _Group(names, index)
        groups.append(group)
    group.by_values.setdefault(values, index)
