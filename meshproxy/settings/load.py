"""Bytes of a YAML file to a plain tree, and where in the file each value stands.

The only place that knows YAML. It takes a strict part of it: one document, no aliases,
anchors, merge keys, tags or duplicate keys, at most 32 levels and 1 MiB, and of the plain
scalars only null, true, false and decimal numbers are anything but text. What the keys mean
is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, TypeAlias

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from meshproxy.settings.errors import ConfigError, Path, Problem
from meshproxy.settings.variables import secrets, substitute

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_SECRET = 64 * 1024
SHOWN = ("static", "body")
"""Where the text of a file is no secret, as everyone may get it: the end of such a path."""

Mark: TypeAlias = tuple[int, int]
"""Line and column, counted from 1."""

_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")


@dataclass(slots=True)
class Document:
    """A file that was read: its tree, the places of values and keys, and its secrets.

    `problems` are those that reading found and went on after; `secrets` are the texts that
    came from `file:` scalars and from variables such as API_TOKEN, and must never be shown;
    `secret_paths` are the values that hold them.
    """

    source: str
    tree: dict[str, Any] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)
    secret_paths: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def mark(self, path: Path) -> Mark:
        """Where the value under `path` stands, or the nearest thing around it."""
        while path:
            found = self.values.get(path)
            if found is not None:
                return found
            path = path[:-1]
        return (0, 0)

    def key_mark(self, path: Path) -> Mark:
        """Where the key that leads to `path` stands."""
        return self.keys.get(path) or self.mark(path)

    def rule(self, path: Path) -> str:
        """`file:line` of `path`, for people; callers see it, so without the file's folder."""
        line = self.key_mark(path)[0]
        name = self.source.rpartition("/")[2] or self.source
        return f"{name}:{line}" if line else name


def read(
    data: bytes,
    source: str,
    environment: Mapping[str, str],
    read_file: Callable[[str], bytes] = lambda name: FilePath(name).read_bytes(),
) -> Document:
    """Parse `data`; `source` is its name for people, `environment` fills `${VAR}`.

    Raises ConfigError where nothing further can be said (YAML's own syntax, too deep, too
    large); everything else is collected in the document's `problems`.
    """
    document = Document(source)
    document_text = _text(data, source)
    loader = yaml.CSafeLoader(document_text)
    try:
        _Composer(loader, document, environment, read_file).compose()
    except yaml.MarkedYAMLError as error:
        raise _syntax(source, error) from None
    except yaml.YAMLError as error:
        raise _unreadable(source, document_text, error) from None
    finally:
        loader.dispose()
    return document


def resolve(text: str) -> Any:
    """The value of a plain scalar: null, a boolean, a decimal number, or the text itself.

    YAML 1.2's core schema without octal and hexadecimal numbers; `on`, `no`, `1:30` and dates
    stay text, and so do numbers that start with a zero.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and len(text) < 40:
        return float(text)
    return text


class _Composer:
    """Walks the parser's events and fills the document."""

    __slots__ = ("_document", "_environment", "_loader", "_read_file")

    def __init__(
        self,
        loader: Any,
        document: Document,
        environment: Mapping[str, str],
        read_file: Callable[[str], bytes],
    ) -> None:
        self._loader = loader
        self._document = document
        self._environment = environment
        self._read_file = read_file

    def compose(self) -> None:
        self._loader.get_event()  # the stream's start
        if isinstance(self._loader.get_event(), StreamEndEvent):
            return
        first = self._loader.get_event()
        tree = self._node(first, ())
        if isinstance(tree, dict):
            self._document.tree = tree
        elif tree is not None:
            self._problem(first, (), "the file must be a mapping, such as 'inbound: ...'")
        self._loader.get_event()  # the document's end
        extra = self._loader.get_event()
        if isinstance(extra, DocumentStartEvent):
            self._problem(extra, (), "a second document: a file has one; remove the '---'")

    def _node(self, event: Event, path: Path) -> Any:
        if isinstance(event, AliasEvent):
            self._problem(event, path, f"alias '*{event.anchor}': write the value out instead")
            return None
        self._refuse_extras(event, path)
        self._document.values.setdefault(path, _mark(event))
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            line, column = _mark(event)
            message = f"nested deeper than {MAX_DEPTH} levels"
            raise ConfigError(self._document.source, [Problem(line, column, (), message)])
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        return self._sequence(path)

    def _mapping(self, path: Path) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        seen: dict[str, int] = {}
        while not isinstance(event := self._loader.get_event(), MappingEndEvent):
            key = self._key(event, path)
            if key in seen:
                message = f"duplicate key {key!r}, first written on line {seen[key]}"
                self._problem(event, (*path, key), message)
                self._node(self._loader.get_event(), (*path, key))
                continue
            seen[key] = _mark(event)[0]
            self._document.keys[(*path, key)] = _mark(event)
            value = self._node(self._loader.get_event(), (*path, key))
            if value is not None:
                tree[key] = value
        return tree

    def _key(self, event: Event, path: Path) -> str:
        if isinstance(event, ScalarEvent):
            self._refuse_extras(event, path)
            if event.value == "<<" and not event.style:
                self._problem(event, (*path, "<<"), "merge key '<<': write the keys out instead")
            return str(event.value)
        if isinstance(event, AliasEvent):
            self._problem(event, path, f"alias '*{event.anchor}' as a key: write it out instead")
            return f"*{event.anchor}"
        line, column = _mark(event)
        message = "a list or mapping cannot be a key"
        raise ConfigError(self._document.source, [Problem(line, column, path, message)])

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._loader.get_event(), SequenceEndEvent):
            # None keeps its place, so that the indexes of the items after it stay true.
            items.append(self._node(event, (*path, len(items))))
        return items

    def _scalar(self, event: ScalarEvent, path: Path) -> Any:
        text = str(event.value)
        before = len(self._document.problems)
        if "${" in text:
            text = substitute(
                text, self._environment, lambda message: self._problem(event, path, message)
            )
            if len(self._document.problems) > before:
                return None
            self._hide(secrets(str(event.value), self._environment), path)
        # Only what the file itself says is a file's name, never what a variable says.
        if str(event.value).startswith("file:"):
            return self._from_file(event, text[len("file:") :], path)
        value = text if event.style else resolve(text)
        if value is None and path:
            self._problem(event, path, "has no value: write one, or remove the key")
        return value

    def _from_file(self, event: Event, name: str, path: Path) -> str:
        shown = path[-2:] == SHOWN
        what = f"file {name}" if shown else f"secret file {name}"
        try:
            data = self._read_file(name)
            if len(data) > MAX_SECRET:
                self._problem(event, path, f"{what} is larger than 64 KiB")
                return ""
            text = data.decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            self._problem(event, path, f"cannot read {what}: {why}")
            return ""
        if not shown:
            self._hide({text} - {""}, path)
        return text

    def _hide(self, texts: set[str], path: Path) -> None:
        if texts:
            self._document.secrets |= texts
            self._document.secret_paths.add(path)

    def _refuse_extras(self, event: Event, path: Path) -> None:
        if not isinstance(event, ScalarEvent | CollectionStartEvent):
            return
        if event.anchor is not None:
            self._problem(event, path, f"anchor '&{event.anchor}': anchors are not supported")
        if event.tag is not None:
            self._problem(event, path, f"tag {event.tag!r}: tags are not supported")

    def _problem(self, event: Event, path: Path, message: str) -> None:
        self._document.problems.append(Problem(*_mark(event), path, message))


def _mark(event: Event) -> Mark:
    start: Any = event.start_mark
    return start.line + 1, start.column + 1


def _text(data: bytes, source: str) -> str:
    if len(data) > MAX_BYTES:
        message = f"larger than 1 MiB: {len(data)} bytes"
        raise ConfigError(source, [Problem(0, 0, (), message)])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = f"not UTF-8: byte 0x{data[error.start]:02x}"
        raise ConfigError(source, [Problem(line, column, (), message)]) from None


def _syntax(source: str, error: yaml.MarkedYAMLError) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    what = ", ".join(part for part in (error.problem, error.context) if part)
    return ConfigError(source, [Problem(line, column, (), f"not YAML: {what}")])


def _unreadable(source: str, text: str, error: yaml.YAMLError) -> ConfigError:
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    at = found.start() if found else 0
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    what = str(error).partition("\n")[0]
    return ConfigError(source, [Problem(line, column, (), f"not YAML: {what}")])
