"""Reading YAML documents so that they can be edited: what they say, and where each piece stands.

A node has its own text and place, an alias the place of the alias, so that a piece can be
changed or copied as it was written. Knows kubectl's reading of scalars, and nothing of what
the documents are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
)

from meshproxy.commands.scalars import doubtful, resolve
from meshproxy.settings.errors import ConfigError, Path, Problem

MAX_DEPTH = 64
"""Levels inside each other: whoever walks a tree goes down by recursion."""

MAX_VALUES = 5_000_000
"""With each alias counted as all that it stands for: few lines can mean billions of values."""

TAG = "tag:yaml.org,2002:"
TAGS = {None, "!"} | {
    TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "binary")
}
UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


class Place(NamedTuple):
    """Where something stands; `line` and `column` count from 0, as `at` does."""

    at: int
    line: int
    column: int


NOWHERE = Place(0, -1, -1)


class Kind(Enum):
    """What a node is."""

    MAPPING = "a mapping"
    SEQUENCE = "a list"
    SCALAR = "a value"
    ALIAS = "an alias"


@dataclass(slots=True, eq=False)
class Node:
    """A piece of a text. `value` is what it says, as a plain tree.

    `inner` is the place behind the opening bracket of a flow collection, and that of the first
    entry of a block one. `keys` and `entries` are what a mapping says, merges resolved; `items`
    are the nodes that stand in a collection, keys and values in turn.
    """

    kind: Kind
    value: Any = None
    start: Place = NOWHERE
    end: Place = NOWHERE
    inner: int = 0
    flow: bool = False
    text: str = ""
    style: str | None = None
    tag: str | None = None
    items: list[Node] = field(default_factory=list)
    keys: dict[str, Node] = field(default_factory=dict)
    entries: dict[str, Node] = field(default_factory=dict)
    target: Node | None = None
    weight: int = 1

    @property
    def meant(self) -> Node:
        """What an alias stands for, else this node itself."""
        return self.target or self

    @property
    def said(self) -> tuple[str, str | None]:
        """A scalar as any reader sees it: its text, and whether that may mean something else."""
        if self.style is None and doubtful(self.text):
            return ("null" if resolve(self.text) is None else self.text), "plain"
        return self.text, self.tag if self.tag == f"{TAG}binary" else None

    def own(self, key: str) -> Node | None:
        """The value of a key that stands in this mapping, and is not merged into it."""
        pairs = zip(self.items[::2], self.items[1::2], strict=True)
        return next((value for name, value in pairs if name.meant.text == key), None)


@dataclass(frozen=True, slots=True)
class Text:
    """A YAML text and its documents."""

    source: str
    text: str
    nodes: list[Node]

    @property
    def documents(self) -> list[Any]:
        """The documents as plain trees; a tree that an alias repeats is the same object."""
        return [node.value for node in self.nodes]

    def problem(self, index: int, path: Path, message: str) -> Problem:
        """What is wrong at a path of a document, or at the nearest thing around it."""
        node = self.nodes[index]
        for key in path:
            inner = _child(node.meant, key)
            if inner is None:
                break
            node = inner
        return _problem(node.start, path, message)


def read(data: bytes, source: str) -> Text:
    """Parse a stream of YAML (or JSON) documents. Raises ConfigError."""
    text = _decoded(data, source)
    try:
        return Text(source, text, composed(text))
    except ReadError as error:
        raise ConfigError(source, error.problems) from None


def composed(text: str) -> list[Node]:
    """The documents of a text. Raises ReadError."""
    composer = _Composer()
    try:
        nodes = list(composer.documents(yaml.parse(text, yaml.CSafeLoader)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(mark.index, mark.line, mark.column) if mark else NOWHERE
        raise ReadError([_problem(place, (), error.problem or "this is not YAML")]) from None
    except yaml.YAMLError as error:
        raise ReadError([_problem(NOWHERE, (), f"this is not YAML: {error}")]) from None
    if composer.problems:
        raise ReadError(composer.problems)
    return nodes


class ReadError(ValueError):
    """What is wrong with a text whose name is not known here."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def _problem(place: Place, path: Path, message: str) -> Problem:
    return Problem(place.line + 1, place.column + 1, path, message)


def _decoded(data: bytes, source: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        problem = _problem(_last(before), (), "this is not UTF-8")
        raise ConfigError(source, [problem]) from None
    found = UNPRINTABLE.search(text)
    if found:
        why = f"the character U+{ord(found[0]):04X} may not be in YAML"
        raise ConfigError(source, [_problem(_last(text[: found.start()]), (), why)])
    return text


def _last(text: str) -> Place:
    """The place right behind a text."""
    return Place(len(text), text.count("\n"), len(text) - text.rfind("\n") - 1)


def _child(node: Node, key: str | int) -> Node | None:
    if node.kind is Kind.SEQUENCE and isinstance(key, int):
        return node.items[key] if key < len(node.items) else None
    return node.entries.get(key) if isinstance(key, str) else None


# ---- from events to nodes


class _Composer:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._anchors: dict[str, Node | None] = {}
        self._events: Iterator[Event] = iter(())

    def documents(self, events: Iterator[Event]) -> Iterator[Node]:
        self._events = events
        for event in events:
            if isinstance(event, DocumentStartEvent):
                self._anchors = {}
                yield self._node(next(events), ())

    def _node(self, event: Any, path: Path) -> Node:
        start, end = _place(event.start_mark), _place(event.end_mark)
        if len(path) >= MAX_DEPTH and not isinstance(event, ScalarEvent | AliasEvent):
            raise ReadError([_problem(start, (), f"more than {MAX_DEPTH} levels deep")])
        if isinstance(event, AliasEvent):
            return self._alias(event, start, end)
        if event.anchor:
            self._anchors[event.anchor] = None  # not before it is whole
        node = self._made(event, start, end, path)
        if node.weight > MAX_VALUES:
            raise ReadError([_problem(start, path, f"more than {MAX_VALUES} values")])
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, start: Place, end: Place) -> Node:
        target = self._anchors.get(event.anchor)
        if target is None:
            why = f"there is no &{event.anchor} that ends before this"
            raise ReadError([_problem(start, (), why)])
        return Node(Kind.ALIAS, target.value, start, end, target=target.meant, weight=target.weight)

    def _made(self, event: Any, start: Place, end: Place, path: Path) -> Node:
        tag = event.tag
        if tag not in TAGS:
            raise ReadError([_problem(start, path, f"the tag {tag} means nothing here")])
        if isinstance(event, ScalarEvent):
            return _scalar(event, start, end)
        mapping = isinstance(event, MappingStartEvent)
        kind = Kind.MAPPING if mapping else Kind.SEQUENCE
        node = Node(kind, None, start, NOWHERE, end.at, bool(event.flow_style), tag=tag)
        last = self._pairs(node, path) if mapping else self._items(node, path)
        node.end = _place(last.end_mark)
        node.weight += sum(one.weight for one in node.items)
        return node

    def _items(self, node: Node, path: Path) -> Event:
        for event in self._events:
            if isinstance(event, CollectionEndEvent):
                break
            node.items.append(self._node(event, (*path, len(node.items))))
        node.value = [one.value for one in node.items]
        return event

    def _pairs(self, node: Node, path: Path) -> Event:
        merged: list[Node] = []
        for event in self._events:
            if isinstance(event, CollectionEndEvent):
                break
            key = self._node(event, (*path, "?"))
            if key.meant.kind is not Kind.SCALAR:
                why = f"a key must be text, not {key.meant.kind.value}"
                raise ReadError([_problem(key.start, path, why)])
            name = key.meant.text
            value = self._node(next(self._events), (*path, name))
            node.items += key, value
            if name == "<<" and key.style is None:
                merged += self._merged(value, path)
            elif name in node.keys:
                self.problems.append(_problem(key.start, (*path, name), "is here twice"))
            else:
                node.keys[name], node.entries[name] = key, value
        _merge(node, merged)
        node.value = {name: one.value for name, one in node.entries.items()}
        return event

    def _merged(self, value: Node, path: Path) -> list[Node]:
        value = value.meant
        sources = value.items if value.kind is Kind.SEQUENCE else [value]
        if any(one.meant.kind is not Kind.MAPPING for one in sources):
            raise ReadError([_problem(value.start, (*path, "<<"), "only mappings can be merged")])
        return [one.meant for one in sources]


def _merge(node: Node, merged: list[Node]) -> None:
    """What is merged into a mapping comes first; of two, the first; its own wins over all."""
    for name in ("keys", "entries"):
        whole: dict[str, Node] = {}
        for source in reversed(merged):
            whole |= getattr(source, name)
        setattr(node, name, whole | getattr(node, name))


def _scalar(event: ScalarEvent, start: Place, end: Place) -> Node:
    plain = event.implicit[0] if event.tag is None else event.tag not in {"!", f"{TAG}str"}
    text = event.value
    value = resolve(text) if plain and event.tag != f"{TAG}binary" else text
    style = None if plain else event.style or "'"
    return Node(Kind.SCALAR, value, start, end, text=text, style=style, tag=event.tag)


def _place(mark: Any) -> Place:
    return Place(mark.index, mark.line, mark.column)
