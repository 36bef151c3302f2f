"""Changing a YAML text in place: comments, order, quotes and spacing stay as they were.

Takes documents as they were read and as they should become, and writes only what differs
into the text: it knows nothing of what they mean. What a text must not be for that (an alias
where something changes, say) makes it write those documents anew, and say so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from yaml.events import CollectionEndEvent, CollectionStartEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from meshproxy.settings.errors import ConfigError, Path, Problem

Span: TypeAlias = tuple[int, int, str]
"""What stands between two places of the text is replaced by this."""

WIDE = 2**31
MAX_DEPTH = 64
"""Levels inside each other: those who compose a text go down by recursion, in C."""


class _Loader(yaml.CSafeLoader):
    """As kubectl reads, but for dates, which it takes for text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class _AnewError(Exception):
    """This cannot be written into the text as it stands."""


@dataclass(frozen=True, slots=True)
class Text:
    """A YAML text, its documents as plain trees, and where everything in it stands."""

    source: str
    text: str
    documents: list[Any]
    nodes: list[Node | None]

    def problem(self, index: int, path: Path, message: str) -> Problem:
        """What is wrong at a path of a document, or at the nearest thing around it."""
        node = self.nodes[index]
        for key in path:
            inner = _child(node, key)
            if inner is None:
                break
            node = inner
        mark = node.start_mark if node is not None else None
        return (
            Problem(mark.line + 1, mark.column + 1, path, message)
            if mark
            else (Problem(0, 0, path, message))
        )


def read(data: bytes, source: str) -> Text:
    """Parse a stream of YAML (or JSON) documents. Raises ConfigError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(source, [Problem(0, 0, (), "this is not UTF-8")]) from None
    try:
        if _depth(text) > MAX_DEPTH:
            raise ConfigError(source, [Problem(0, 0, (), f"more than {MAX_DEPTH} levels deep")])
        nodes = _composed(text)
        documents = list(yaml.load_all(text, _Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        why = error.problem or "this is not YAML"
        raise ConfigError(source, [Problem(line, column, (), why)]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(source, [Problem(0, 0, (), f"this is not YAML: {error}")]) from None
    twice = [problem for node in nodes for problem in _twice(node, (), set())]
    if twice:
        raise ConfigError(source, twice)
    return Text(source, text, documents, nodes)


def written(before: Text, after: Sequence[Any]) -> tuple[str, bool]:
    """The text that says `after`, and whether comments and layout could be kept."""
    if before.documents == list(after):
        return before.text, True
    try:
        text = _edited(before, after)
        if list(yaml.load_all(text, _Loader)) == list(after):
            return text, True
    except (_AnewError, yaml.YAMLError):
        pass
    return "---\n".join(_block(document) for document in after), False


# ---- edits


def _edited(before: Text, after: Sequence[Any]) -> str:
    text = before.text
    starts = [0, *(match.end() for match in re.finditer(r"\n", text))]
    editor = _Editor(text, starts, "\r\n" if "\r\n" in text else "\n")
    pairs = zip(before.nodes, before.documents, after, strict=True)
    spans = [span for node, old, new in pairs for span in editor.spans(node, old, new)]
    for start, end, put in sorted(spans, reverse=True):
        text = text[:start] + put + text[end:]
    return text


@dataclass(frozen=True, slots=True)
class _Editor:
    text: str
    starts: list[int]
    newline: str

    def spans(self, node: Node | None, old: Any, new: Any) -> Iterator[Span]:
        """What must be replaced so that this node says `new`."""
        if old == new and type(old) is type(new):
            return
        if node is None:
            raise _AnewError
        if isinstance(node, MappingNode) and isinstance(new, dict) and not node.flow_style:
            yield from self._mapping(node, old, new)
        elif isinstance(node, SequenceNode) and isinstance(new, list) and not node.flow_style:
            yield from self._sequence(node, old, new)
        else:
            yield self._value(node, new)

    def _mapping(self, node: MappingNode, old: Any, new: Any) -> Iterator[Span]:
        if old.keys() - new.keys():
            raise _AnewError
        for key, value in new.items():
            child = _child(node, key)
            if key in old:
                self._inside(node, child)
                yield from self.spans(child, old[key], value)
        fresh = {key: value for key, value in new.items() if key not in old}
        if fresh:
            yield self._put(self._end(node), node.start_mark.column, _block(fresh))

    def _sequence(self, node: SequenceNode, old: Any, new: Any) -> Iterator[Span]:
        more = len(new) - len(old)
        if more < 0 or not old:
            raise _AnewError
        column = node.start_mark.column
        if more and new[more:] == old:
            yield self._put(self.starts[node.start_mark.line], column, _block(new[:more]))
            return
        for child, was, becomes in zip(node.value, old, new, strict=False):
            self._inside(node, child)
            yield from self.spans(child, was, becomes)
        if more:
            yield self._put(self._end(node), column, _block(new[len(old) :]))

    def _value(self, node: Node, new: Any) -> Span:
        """A value in one piece: JSON is YAML wherever YAML is written in flow style."""
        start, end = self._at(node.start_mark), self._at(node.end_mark)
        whole = self.text[start:end]
        put = _json(new, indent=_indent(whole))
        put = put.replace("\n", self.newline)
        if isinstance(node, ScalarNode) and start == end:
            put = f" {put}"  # nothing stands there, right behind the colon
        if isinstance(node, ScalarNode) and node.style in {"|", ">"}:
            raise _AnewError
        return start, end, put

    def _put(self, at: int, column: int, block: str) -> Span:
        indented = "".join(f"{' ' * column}{line}" for line in block.splitlines(keepends=True))
        if at and self.text[at - 1] != "\n":
            indented = f"\n{indented}"
        return at, at, indented.replace("\n", self.newline)

    def _end(self, node: Node) -> int:
        """The place after the last line of a node, comments behind it not counted."""
        if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
            last = node.value[-1]
            child = last[1] if isinstance(last, tuple) else last
            self._inside(node, child)
            return self._end(child)
        mark = node.end_mark
        whole_lines = isinstance(node, ScalarNode) and node.style in {"|", ">"}
        line = mark.line if whole_lines and mark.column == 0 else mark.line + 1
        return self.starts[line] if line < len(self.starts) else len(self.text)

    @staticmethod
    def _inside(node: Node, child: Node | None) -> None:
        # An alias has the place of what it stands for, which is somewhere else.
        if child is None or child.start_mark.line < node.start_mark.line:
            raise _AnewError

    def _at(self, mark: yaml.Mark) -> int:
        return self.starts[mark.line] + mark.column


# ---- reading and writing


def _depth(text: str) -> int:
    depth = deepest = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, CollectionStartEvent):
            depth += 1
            deepest = max(deepest, depth)
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            break
    return deepest


def _composed(text: str) -> list[Node | None]:
    loader = _Loader(text)
    nodes: list[Node | None] = []
    try:
        while loader.check_node():
            nodes.append(loader.get_node())
    finally:
        loader.dispose()
    return nodes


def _twice(node: Node | None, path: Path, seen: set[int]) -> Iterator[Problem]:
    """Keys that a mapping has twice: of two readers, each could take another."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield from _twice(item, (*path, index), seen)
    elif isinstance(node, MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else "?"
            if name in keys and name not in {"<<", "?"}:
                mark = key.start_mark
                yield Problem(mark.line + 1, mark.column + 1, (*path, name), "is here twice")
            keys.add(name)
            yield from _twice(value, (*path, name), seen)


def _child(node: Node | None, key: str | int) -> Node | None:
    if isinstance(node, SequenceNode) and isinstance(key, int):
        return node.value[key] if key < len(node.value) else None
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if isinstance(name, ScalarNode) and name.value == key:
                return value  # type: ignore[no-any-return]  # the stubs leave nodes' values open
    return None


def _block(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=WIDE)


def _json(value: Any, indent: int | None) -> str:
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False)
    except TypeError:
        raise _AnewError from None


def _indent(text: str) -> int | None:
    """How far the first line inside is moved in, if this stands on more than one line."""
    found = re.match(r"[\[{]\r?\n( +)", text)
    return len(found[1]) if found else None
