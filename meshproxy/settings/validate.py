"""Bytes to settings, or every reason why not, each with its place in the file.

Joins the steps: read, settle inheritance, hold against the models, check the meaning. It
knows paths and places; the sentences come from the steps themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from meshproxy.policies.registry import REGISTRY
from meshproxy.settings import meaning, otel
from meshproxy.settings.errors import ConfigError, Path, Problem
from meshproxy.settings.inherit import Inherited, at_path, settle
from meshproxy.settings.load import Document, read
from meshproxy.settings.schema import TOP_LEVEL, File, Timeouts
from meshproxy.settings.sentences import is_echo, sentence

INHERITED = (
    *Timeouts.model_fields,
    *(spec.key for spec in REGISTRY if spec.key not in TOP_LEVEL and not spec.adds_up),
)
EITHER = {spec.key: spec.either for spec in REGISTRY if spec.either}
_ROUNDS = 20

COLLECTOR_HEADERS = ("tracing", "export", "headers")
HIDDEN = "***"
"""What is shown of a secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid file: its model with everything settled, and the document with its places."""

    file: File
    document: Document
    inherited: Inherited
    digest: str

    def says(self, path: Path) -> bool:
        """Whether the file itself has this key (inherited ones are elsewhere)."""
        return path in self.document.keys

    def effective(self) -> dict[str, Any]:
        """The whole config with every default, as plain data; secrets are shown as `***`."""
        shown: dict[str, Any] = redact(self.file.model_dump(mode="json"), self.document.secrets)
        return shown


def validate(data: bytes, source: str, environment: Mapping[str, str]) -> Settings:
    """Read and check a whole file. `source` is its name in messages.

    What the file leaves out, variables of OpenTelemetry may say.

    Raises ConfigError with every problem that could be found at once.
    """
    document = read(data, source, environment)
    _veil(document)
    document.problems += otel.fill(document.tree, environment)
    inherited = settle(document.tree, INHERITED, EITHER)
    errors, file = _model(inherited.tree)
    problems = [*document.problems, *_placed(errors, document, inherited)]
    if file is None:
        file = _repaired(inherited.tree, errors)
    if file is not None:
        told = meaning.problems(file, document, inherited)
        problems += [one for one in told if not _overlaps(one.path, problems)]
    if problems:
        raise ConfigError(source, (_redacted(one, document.secrets) for one in problems))
    assert file is not None  # noqa: S101  # no problem, so the models took it
    return Settings(file, document, inherited, _digest(inherited.tree))


def _veil(document: Document) -> None:
    """Take secrets out of where they would be shown: names, addresses and the like.

    What is compared with a request alone, the value of a header in a match, stays; and so does
    what is only sent on, a header for the receiver of spans.
    """
    for path in document.secret_paths:
        around = at_path(document.tree, path[:-1])
        used = path[-3:-1] == ("match", "headers") or path[:-1] == COLLECTOR_HEADERS
        if path and not used and at_path(document.tree, path) is not None:
            around[path[-1]] = HIDDEN


def redact(tree: Any, secrets: Iterable[str]) -> Any:
    """The same plain data with `***` in the place of every secret."""
    if isinstance(tree, dict):
        return {key: redact(value, secrets) for key, value in tree.items()}
    if isinstance(tree, list):
        return [redact(value, secrets) for value in tree]
    return _hide(tree, secrets) if isinstance(tree, str) else tree


def _hide(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        # Also as a message may quote it.
        for spelled in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]):
            text = text.replace(spelled, HIDDEN)
    return text


def _redacted(problem: Problem, secrets: set[str]) -> Problem:
    if not secrets:
        return problem
    message = _hide(problem.message, secrets)
    return Problem(problem.line, problem.column, problem.path, message)


def _model(tree: dict[str, Any]) -> tuple[list[Any], File | None]:
    try:
        # JSON's strict mode takes lists for tuples and nothing else for anything else.
        return [], File.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        return error.errors(include_url=False), None


def _placed(errors: list[Any], document: Document, inherited: Inherited) -> list[Problem]:
    problems: dict[Path, Problem] = {}
    known = [problem.path for problem in document.problems]
    for error in errors:
        at = _path(error, inherited.tree)
        path, found = inherited.origin(at), redact(at_path(inherited.tree, at), document.secrets)
        if at[:-1] == COLLECTOR_HEADERS:
            found = HIDDEN
        told = path in problems or any(path[: len(one)] == one for one in known if one)
        if not told and not is_echo(error, found):
            mark = document.key_mark if error["type"] == "extra_forbidden" else document.mark
            problems[path] = Problem(*mark(path), path, sentence(error, at, found))
    return list(problems.values())


def _path(error: Mapping[str, Any], tree: Any) -> Path:
    """The path in the tree of pydantic's location, which also names types and tags."""
    path: Path = ()
    for part in error["loc"]:
        if isinstance(tree, dict) and part in tree:
            tree, path = tree[str(part)], (*path, part)
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree, path = tree[part], (*path, part)
    return (*path, error["loc"][-1]) if error["type"] == "missing" else path


def _repaired(tree: dict[str, Any], errors: list[Any]) -> File | None:
    """A model of what is left without the mistakes, so that its meaning can be checked too."""
    tree = json.loads(json.dumps(tree))
    file: File | None = None
    for _ in range(_ROUNDS):
        for error in errors:
            path = _path(error, tree)
            _remove(tree, path[:-1] if error["type"] == "missing" else path)
        errors, file = _model(tree)
        if file is not None:
            break
    return file


def _remove(tree: Any, path: Path) -> None:
    """Take out a key; for an item of a list the list's key, so that indexes stay true."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    around = at_path(tree, path[:-1])
    if isinstance(around, dict) and path:
        around.pop(path[-1], None)


def _overlaps(path: Path, problems: Iterable[Problem]) -> bool:
    """Whether a mistake beside or around `path` may be all that is wrong with it."""
    return any(_near(path, one.path) or _near(one.path, path) for one in problems)


def _near(one: Path, other: Path) -> bool:
    """Whether `one` lies under `other`, beside it, or in a mapping beside it."""
    beside = one[: len(other) - 1] == other[:-1] and len(one) <= len(other) + 1
    return one[: len(other)] == other or (beside and len(other) > 1)


def _digest(tree: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]
