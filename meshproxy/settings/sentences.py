"""pydantic's findings as sentences for people: what is wrong, what was found, what is near.

Knows pydantic's error types and the keys of the models; places in the file are not its
business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from meshproxy.policies.keys import PATTERN as PER_PATTERN
from meshproxy.policies.ring_hash import PATTERN as HASH_PATTERN
from meshproxy.policies.sticky import PATH_PATTERN as COOKIE_PATH_PATTERN
from meshproxy.settings import future
from meshproxy.settings.errors import Path, nearest
from meshproxy.settings.schema import File
from meshproxy.settings.words import HOST_PATTERN, NAME_PATTERN

_KINDS = {
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "finite_number": "write a finite number",
    "list_type": "write a list, as in [a, b]",
    "tuple_type": "write a list, as in [a, b]",
    "frozen_set_type": "write a list, as in [a, b]",
    "set_type": "write a list, as in [a, b]",
    "dict_type": "write a mapping, as in {{key: value}}",
    "model_type": "write a mapping, as in {{key: value}}",
    "model_attributes_type": "write a mapping, as in {{key: value}}",
    "string_too_short": "write at least {min_length} characters",
    "string_too_long": "write at most {max_length} characters",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "write at least {min_length}",
    "too_long": "write at most {max_length}",
}
_PATTERNS = {
    NAME_PATTERN: "a name has letters, digits, '.', '_' and '-', at most 63",
    PER_PATTERN: "write ip, method, route or header:NAME",
    COOKIE_PATH_PATTERN: "write a path such as /",
    HASH_PATTERN: "write header:NAME, cookie:NAME or ip",
    HOST_PATTERN: "write a host such as payments or payments.shop.svc:8080",
}
_URL_SECRETS = (
    re.compile(r"(://).*(?=@)", re.DOTALL),
    re.compile(r"(://[^?]*\?).*", re.DOTALL),
)
"""Users and passwords, and queries."""
_OFFERED = re.compile(r"[a-z][a-z0-9_-]+(?=,|$| or )")


def sentence(error: Mapping[str, Any], path: Path, found: Any) -> str:
    """One of pydantic's errors, about the value `found` under `path` of the tree."""
    kind = error["type"]
    if kind == "missing":
        return "missing: it has no default, write it"
    if kind == "extra_forbidden":
        return future.key(path) or _unknown(str(path[-1]), path[:-1])
    yet = future.value(path, found)
    if yet is not None:
        return yet
    what = _what(error)
    # What stands behind a mapping may be one of its keys, which the sentence names then.
    shown = "" if isinstance(found, dict) and kind not in _KINDS else f", found {show(found)}"
    return f"{what}{shown}{_near(what, found)}"


def is_echo(error: Mapping[str, Any], found: Any) -> bool:
    """Whether a list is only too short because its entries were wrong, which is told of each."""
    return error["type"] == "too_short" and bool(len(found) >= error["ctx"]["min_length"])


def _unknown(key: str, around: Path) -> str:
    if around and key in File.model_fields:
        return f"unknown key: {key!r} stands at the top of the file"
    return f"unknown key{nearest(key, keys_at(around))}"


def keys_at(path: Path) -> set[str]:
    """The keys that the models know in the mapping under `path`."""
    models: list[type[BaseModel]] = [File]
    for part in path:
        inner = [
            deeper
            for model in models
            if part in model.model_fields
            for deeper in models_in(model.model_fields[str(part)].annotation)
        ]
        if not inner and any(model.model_config.get("extra") == "allow" for model in models):
            return set()  # a key of the user's own, such as a tier
        # An index of a list or a free key of a mapping leads to the same models.
        models = inner or models
    return {name for model in models for name in model.model_fields}


def show(found: Any) -> str:
    """A value of the tree as one writes it, cut short and without the secrets of a URL."""
    if isinstance(found, dict):
        return "a mapping"
    if isinstance(found, list | tuple):
        return "a list"
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, str):
        for secret in _URL_SECRETS:
            found = secret.sub(r"\1***", found)
    text = repr(found) if isinstance(found, str) else str(found)
    return text if len(text) <= 60 else f"{text[:57]}..."


def models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    """The models that a field's type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def _what(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _KINDS:
        return _KINDS[kind].format(**context)
    if kind in ("string_type", "string_sub_type"):
        number = isinstance(error["input"], int | float) and not isinstance(error["input"], bool)
        return "write text: put quotes around it" if number else "write text"
    if kind in ("literal_error", "enum"):
        return f"write {context['expected'].replace(chr(39), '')}"
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return _PATTERNS.get(pattern, f"must look like {pattern}")
    return str(error["msg"]).removeprefix("Value error, ").partition(", got ")[0]


def _near(what: str, found: Any) -> str:
    """A guess where the sentence offers words to choose from."""
    if not what.startswith("write ") or not isinstance(found, str):
        return ""
    said = nearest(found, (word for word in _OFFERED.findall(what) if word != found))
    return said if "did you mean" in said else ""
