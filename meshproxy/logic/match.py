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

Header = Callable[[bytes], "bytes | None"]

_ANY_METHOD = b""
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
    """Rules by their order, found by literal path first and by segments after.

    A literal path costs one dictionary look-up, a pattern one per segment, header rules one
    per distinct set of header names on that path. How many rules there are costs nothing.
    """

    __slots__ = ("_depth", "_exact", "_root")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._exact: dict[bytes, _Leaf] = {}
        self._root = _Node()
        self._depth = 1
        for index, rule in enumerate(rules):
            self._add(index, rule)

    def _add(self, index: int, rule: Rule) -> None:
        pattern = read_pattern(rule.path)
        if pattern.is_literal():
            self._exact.setdefault(rule.path, _Leaf()).add(index, rule)
            return
        node = self._root
        node.lowest = min(node.lowest, index)
        for segment in pattern.segments:
            node = node.child(segment, index)
        if pattern.open:
            node.below = node.below or _Leaf()
            node.below.add(index, rule)
        else:
            node.here = node.here or _Leaf()
            node.here.add(index, rule)
        self._depth = max(self._depth, len(pattern.segments) + 1)

    def find(self, method: bytes, path: bytes, header: Header) -> int | None:
        """The index of the first rule, in the order given, that takes this request."""
        leaf = self._exact.get(path)
        best = _NONE if leaf is None else leaf.first(method, header, _NONE)
        root = self._root
        if root.lowest < best:
            if root.below is not None:
                best = root.below.first(method, header, best)
            if root.literal or root.star is not None:
                best = self._walk(method, path, header, best)
        return None if best == _NONE else best

    def _walk(self, method: bytes, path: bytes, header: Header, best: int) -> int:
        # A path with more segments than any pattern stays whole after the last that counts.
        segments = path.split(b"/", self._depth)
        if segments[0]:
            return best  # no path: the * of OPTIONS
        # Most paths lead down one branch; where a star leads on too, it is walked afterwards.
        node, place, final = self._root, 0, len(segments) - 1
        asides: list[tuple[_Node, int]] | None = None
        while True:
            while place < final:
                place += 1
                segment = segments[place]
                child = node.literal.get(segment)
                star = node.star
                if star is not None and segment:
                    if child is None:
                        child = star
                    else:
                        asides = [] if asides is None else asides
                        asides.append((star, place))
                if child is None or child.lowest >= best:
                    break
                leaf = child.here if place == final else child.below
                if leaf is not None:
                    best = leaf.first(method, header, best)
                node = child
            if not asides:
                return best
            node, place = asides.pop()
            if node.lowest < best:
                leaf = node.here if place == final else node.below
                if leaf is not None:
                    best = leaf.first(method, header, best)
            else:
                place = final


_NONE = 1 << 62
"""Above every index."""


@dataclass(slots=True)
class _Group:
    """Rules of one path and method that look at the same header names."""

    names: tuple[bytes, ...]
    lowest: int
    # None is what an absent field reads as; no rule has it.
    by_values: dict[tuple[bytes | None, ...], int] = field(default_factory=dict)


class _Leaf:
    """The rules of one pattern: those without headers by method, the others in groups.

    What no rule of it needs is not there: among a thousand leaves each is cold.
    """

    __slots__ = ("_any", "_by_method", "_groups", "_headed")

    def __init__(self) -> None:
        self._any = _NONE  # the first that asks for nothing more than its path
        self._by_method: dict[bytes, int] | None = None
        self._headed = _NONE  # the first that asks for headers
        self._groups: dict[bytes, list[_Group]] | None = None

    def add(self, index: int, rule: Rule) -> None:
        if rule.headers:
            self._headed = min(self._headed, index)
            for method in rule.methods or (_ANY_METHOD,):
                self._add_headed(index, method, sorted(set(rule.headers)))
        elif rule.methods:
            self._by_method = self._by_method or {}
            for method in rule.methods:
                self._by_method.setdefault(method, index)
        else:
            self._any = min(self._any, index)

    def _add_headed(self, index: int, method: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        names = tuple(name for name, _ in headers)
        values = tuple(value for _, value in headers)
        self._groups = self._groups or {}
        groups = self._groups.setdefault(method, [])
        group = next((group for group in groups if group.names == names), None)
        if group is None:
            group = _Group(names, index)
            groups.append(group)
        group.by_values.setdefault(values, index)

    def first(self, method: bytes, header: Header, best: int) -> int:
        """The lowest index below `best` that takes this request, else `best`."""
        found = self._any
        if found < best:
            best = found
        if self._by_method is not None:
            found = self._by_method.get(method, best)
            if found < best:
                best = found
        if self._headed < best:
            return self._first_headed(method, header, best)
        return best

    def _first_headed(self, method: bytes, header: Header, best: int) -> int:
        groups = self._groups or {}
        for key in (method, _ANY_METHOD):
            for group in groups.get(key, ()):
                if group.lowest >= best:
                    break  # groups stand in the order of their first rule
                found = group.by_values.get(tuple([header(name) for name in group.names]))
                if found is not None and found < best:
                    best = found
        return best


class _Node:
    """One segment of the patterns that are not literal."""

    __slots__ = ("below", "here", "literal", "lowest", "star")

    def __init__(self) -> None:
        self.literal: dict[bytes, _Node] = {}
        self.star: _Node | None = None
        self.here: _Leaf | None = None
        self.below: _Leaf | None = None
        self.lowest = _NONE

    def child(self, segment: bytes, index: int) -> _Node:
        """The node of one more segment, made if need be; notes the lowest rule beneath it."""
        node = self.star if segment == _STAR else self.literal.get(segment)
        if node is None:
            node = _Node()
            if segment == _STAR:
                self.star = node
            else:
                self.literal[segment] = node
        node.lowest = min(node.lowest, index)
        return node
