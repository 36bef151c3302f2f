"""Changing a YAML text in place: comments, order, quotes and spacing stay as they were.

Takes documents as they were read and as they should become, and writes only what differs
into the text: it knows nothing of what they mean. A document that must not be changed in
place (what an alias stands for changes, say) is written anew, without its comments, and
`written` says so. Whatever comes out is read again and held against what every reader saw.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from meshproxy.commands.anew import agree, becoming, block, leading, made, same
from meshproxy.commands.documents import Kind, Node, ReadError, Text, composed
from meshproxy.settings.errors import ConfigError

Span: TypeAlias = tuple[int, int, str]
"""What stands between two places of the text is replaced by this."""

REST = re.compile(r"(?P<comma>[ \t]*,)?[ \t]*(?:(?<=[ \t,])#[^\r\n]*)?(?=\r?\n)")
"""What may stand between the last piece of a line and its end."""

MOST_INDENT = 8

STUCK = "this cannot be changed without changing more: write it in plain block style"

ONLY_COMMENT = re.compile(r"[ \t]*(?:#.*)?")


class _AnewError(Exception):
    """This cannot be written into the text as it stands."""


def written(before: Text, after: Sequence[Any]) -> tuple[str, list[int]]:
    """The text that says `after`, and which documents lost comments and layout.

    Raises ConfigError where neither way leads to a text that says it.
    """
    pairs = list(zip(before.nodes, after, strict=True))
    changed = [index for index, (node, new) in enumerate(pairs) if not same(node.value, new)]
    if not changed:
        return before.text, []
    expected = [becoming(node, new) for node, new in pairs]
    editor = _Editor(before.text)
    chosen: dict[int, list[Span]] = {}
    lost: list[int] = []
    for index in changed:
        try:
            chosen[index] = list(editor.spans(*pairs[index]))
        except _AnewError:
            chosen[index] = [editor.anew(before.nodes[index], expected[index])]
            lost.append(index)
    if not _says(editor.applied(chosen), expected):
        # What spoils one document alone must not cost the others their comments.
        for index in set(changed) - set(lost):
            others = [*before.nodes[:index], expected[index], *before.nodes[index + 1 :]]
            if not _says(editor.applied({index: chosen[index]}), others):
                chosen[index] = [editor.anew(before.nodes[index], expected[index])]
                lost.append(index)
        if not _says(editor.applied(chosen), expected):
            problem = before.problem(changed[0], (), STUCK)
            raise ConfigError(before.source, [problem])
    return editor.applied(chosen), sorted(lost)


def _says(text: str, expected: list[Node]) -> bool:
    """Whether every reader sees in this text what it should."""
    try:
        nodes = composed(text)
    except ReadError:
        return False
    return len(nodes) == len(expected) and all(map(agree, nodes, expected))


class _Editor:
    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def applied(self, spans: dict[int, list[Span]]) -> str:
        """The text with all of these edits in it."""
        pieces: list[str] = []
        done = 0
        for start, end, put in sorted(span for some in spans.values() for span in some):
            pieces += self._text[done:start], put
            done = end
        return "".join([*pieces, self._text[done:]])

    def anew(self, node: Node, expected: Node) -> Span:
        """A document in whole; what stands before and behind it stays."""
        start = self._line_start(node.start.at)
        put = block(expected)
        if self._text[start : node.start.at].strip(" "):
            start, put = node.start.at, f"\n{put}"
        return start, self._after(node), put.replace("\n", self._newline)

    def spans(self, node: Node, new: Any) -> Iterator[Span]:
        """What must be replaced so that this node says `new`."""
        if same(node.value, new):
            return
        if node.kind is Kind.MAPPING and isinstance(new, dict):
            yield from self._mapping(node, new)
        elif node.kind is Kind.SEQUENCE and isinstance(new, list):
            yield from self._sequence(node, new)
        elif node.kind is Kind.SCALAR and node.style not in {"|", ">"}:
            yield self._value(node, new)
        else:
            raise _AnewError

    def _mapping(self, node: Node, new: dict[str, Any]) -> Iterator[Span]:
        if node.value.keys() - new.keys():
            raise _AnewError
        for key, value in node.value.items():
            child = node.own(key)
            if child is not None:
                yield from self.spans(child, new[key])
            elif not same(value, new[key]):
                raise _AnewError  # it stands somewhere else and is merged in
        fresh = {key: value for key, value in new.items() if key not in node.value}
        if fresh and node.flow:
            yield from self._into_flow(
                node, [f"{_json(key)}: " for key in fresh], [*fresh.values()]
            )
        elif fresh:
            yield self._put(self._after(node), self._column(node.inner), block(made(fresh)))

    def _sequence(self, node: Node, new: list[Any]) -> Iterator[Span]:
        count, before = len(node.items), leading(node.value, new)
        if len(new) < count:
            raise _AnewError
        for child, value in zip(node.items, new[before:], strict=False):
            yield from self.spans(child, value)
        fresh = new[:before] or new[count:]
        if node.flow and before and count:
            yield from self._before_flow(node, fresh)
        elif node.flow and fresh:
            yield from self._into_flow(node, [""] * len(fresh), fresh)
        elif fresh:
            dash = node.inner if self._text[node.inner] == "-" else node.inner - 1
            at = self._before(dash) if before else self._after(node)
            yield self._put(at, self._column(dash), block(made(fresh)))

    def _value(self, node: Node, new: Any) -> Span:
        """A value in one piece: JSON is YAML wherever YAML is written in flow style."""
        put = _json(new)
        if node.start.at == node.end.at:
            put = f" {put}"  # nothing stands there, right behind the colon
        return node.start.at, node.end.at, put

    # ---- between brackets

    def _into_flow(self, node: Node, names: list[str], values: list[Any]) -> Iterator[Span]:
        """At the end of what stands between brackets, on lines of its own where that does."""
        if self._text[node.inner - 1] not in "{[":
            raise _AnewError  # one pair of a list, without brackets of its own
        put = ", ".join(f"{name}{_json(value)}" for name, value in zip(names, values, strict=True))
        if not node.items:
            follows = self._text[node.inner : node.inner + 1]
            yield node.inner, node.inner, f"{put} " if follows == "#" else put
            return
        last = node.items[-1].end.at
        first = node.items[0].start.at
        rest = REST.match(self._text, last)
        if "\n" not in self._text[node.inner : first] or rest is None:
            yield last, last, f", {put}"
            return
        comma = "," if rest["comma"] is None else ""
        lines = f",{self._newline}".join(self._lines(node, names, values))
        yield last, rest.end(), f"{comma}{rest[0]}{self._newline}{lines}"

    def _before_flow(self, node: Node, values: list[Any]) -> Iterator[Span]:
        first = node.items[0].start.at
        if "\n" not in self._text[node.inner : first]:
            yield first, first, "".join(f"{_json(value)}, " for value in values)
            return
        # Behind the bracket's own comment, and before those that lead the first item.
        at = self._text.index("\n", node.inner)
        at -= self._text[at - 1] == "\r"
        lines = self._lines(node, [""] * len(values), values)
        yield at, at, "".join(f"{self._newline}{line}," for line in lines)

    def _lines(self, node: Node, names: list[str], values: list[Any]) -> list[str]:
        """New entries as lines of their own, moved in as the first entry is."""
        margin = " " * self._column(node.items[0].start.at)
        opening = self._text[self._line_start(node.inner) :]
        step = len(margin) - (len(opening) - len(opening.lstrip(" ")))
        indent = step if 0 < step <= MOST_INDENT else 2
        return [
            margin + (name + _json(value, indent)).replace("\n", self._newline + margin)
            for name, value in zip(names, values, strict=True)
        ]

    # ---- between lines

    def _put(self, at: int, column: int, text: str) -> Span:
        indented = re.sub(r"(?m)^(?=.)", " " * column, text)
        if at and self._text[at - 1] != "\n":
            indented = f"\n{indented}"
        return at, at, indented.replace("\n", self._newline)

    def _before(self, at: int) -> int:
        """The start of this line, and of the comments that lead it."""
        start = self._line_start(at)
        if self._text[start:at].strip(" "):
            raise _AnewError  # a list in a list: - - a
        while start:
            above = self._line_start(start - 1)
            if not ONLY_COMMENT.fullmatch(self._text[above:start].rstrip("\r\n")):
                break
            start = above
        return start

    def _after(self, node: Node) -> int:
        """The place after the last line of a node, comments behind it not counted."""
        if node.items and not node.flow:
            return self._after(node.items[-1])
        if node.style in {"|", ">"} and node.end.column == 0:
            return node.end.at
        end = self._text.find("\n", node.end.at)
        return len(self._text) if end < 0 else end + 1

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _column(self, at: int) -> int:
        return at - self._line_start(at)


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False)
