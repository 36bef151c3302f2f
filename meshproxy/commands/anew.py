"""Writing YAML where there is no text to keep: new pieces, and documents written anew.

What comes from the input is written with its own text and quotes; our own strings get quotes
wherever any reader may take them for something else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from meshproxy.commands.documents import Kind, Node
from meshproxy.commands.scalars import doubtful

WIDE = 2**31


def block(node: Node) -> str:
    """A node in block style, from column 0 and with an end of line."""
    events = [
        StreamStartEvent(),
        DocumentStartEvent(explicit=False),
        *_Events(node).of(node),
        DocumentEndEvent(explicit=False),
        StreamEndEvent(),
    ]
    text = str(yaml.emit(events, allow_unicode=True, width=WIDE))
    return text if text.endswith("\n") else f"{text}\n"


def made(value: Any) -> Node:
    """A node for a plain tree of ours: no place, and quotes wherever there is a doubt."""
    if isinstance(value, dict):
        keys = {key: made(key) for key in value}
        entries = {key: made(one) for key, one in value.items()}
        return Node(Kind.MAPPING, value, keys=keys, entries=entries)
    if isinstance(value, list):
        return Node(Kind.SEQUENCE, value, items=[made(one) for one in value])
    if isinstance(value, str):
        return Node(Kind.SCALAR, value, text=value, style="'" if doubtful(value) else None)
    return Node(Kind.SCALAR, value, text=json.dumps(value))


def same(one: Any, other: Any) -> bool:
    """Whether two trees are equal, and every value in them of the same type."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def becoming(node: Node, new: Any) -> Node:
    """The node that says `new`, made of this one's pieces wherever it says the same."""
    node = node.meant
    if same(node.value, new):
        return node
    if node.kind is Kind.MAPPING and isinstance(new, dict):
        keys = {key: node.keys.get(key) or made(key) for key in new}
        entries = {
            key: becoming(node.entries[key], value) if key in node.entries else made(value)
            for key, value in new.items()
        }
        return Node(Kind.MAPPING, new, flow=node.flow, keys=keys, entries=entries)
    if node.kind is Kind.SEQUENCE and isinstance(new, list):
        before = leading(node.value, new)
        olds = new[before : before + len(node.items)]
        items = [made(one) for one in new[:before]]
        items += [becoming(one, value) for one, value in zip(node.items, olds, strict=False)]
        items += [made(one) for one in new[before + len(node.items) :]]
        return Node(Kind.SEQUENCE, new, flow=node.flow, items=items)
    return made(new)


def leading(old: list[Any], new: list[Any]) -> int:
    """How many items were put before all others."""
    more = len(new) - len(old)
    return more if more > 0 and same(new[more:], old) else 0


def agree(node: Node, wanted: Node) -> bool:
    """Whether a node says what is wanted to every reader, not to ours alone."""
    node, wanted = node.meant, wanted.meant
    if node is wanted:
        return True
    if node.kind is not wanted.kind:
        return False
    if node.kind is Kind.SCALAR:
        # Text that stood without quotes, as 1:30 does, may have got some; never the reverse.
        return node.said == wanted.said or (same(node.value, wanted.value) and _is_text(node))
    if node.kind is Kind.SEQUENCE:
        return len(node.items) == len(wanted.items) and all(map(agree, node.items, wanted.items))
    return node.entries.keys() == wanted.entries.keys() and all(
        agree(node.keys[key], wanted.keys[key]) and agree(value, wanted.entries[key])
        for key, value in node.entries.items()
    )


def _is_text(node: Node) -> bool:
    return node.style is not None and node.tag is None


class _Events:
    """The events of a tree; a collection that stands in it twice is an alias the second time."""

    def __init__(self, node: Node) -> None:
        self._times: Counter[int] = Counter()
        self._names: dict[int, str] = {}
        self._count(node)

    def of(self, node: Node) -> Iterator[Event]:
        node = node.meant
        if node.kind is Kind.SCALAR:
            yield _scalar(node)
            return
        if id(node) in self._names:
            yield AliasEvent(self._names[id(node)])
            return
        anchor = None
        if self._times[id(node)] > 1:
            anchor = self._names[id(node)] = f"id{len(self._names) + 1:03}"
        if node.kind is Kind.MAPPING:
            yield MappingStartEvent(anchor, None, True, flow_style=node.flow)
            for key, value in node.entries.items():
                yield _scalar(node.keys[key].meant)
                yield from self.of(value)
            yield MappingEndEvent()
        else:
            yield SequenceStartEvent(anchor, None, True, flow_style=node.flow)
            for item in node.items:
                yield from self.of(item)
            yield SequenceEndEvent()

    def _count(self, node: Node) -> None:
        node = node.meant
        self._times[id(node)] += 1
        if node.kind is Kind.SCALAR or self._times[id(node)] > 1:
            return
        for inner in node.entries.values() if node.kind is Kind.MAPPING else node.items:
            self._count(inner)


def _scalar(node: Node) -> ScalarEvent:
    # A null of no text would become an empty string inside of brackets; a folded text
    # says the same as a literal one, which has fewer rules.
    text = "null" if node.style is None and not node.text else node.text
    style = "|" if node.style == ">" else node.style
    _, kind = node.said
    tag = kind if kind != "plain" else None
    return ScalarEvent(None, tag, (tag is None, tag is None), text, style=style)
