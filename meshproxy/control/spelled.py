"""Plain data as YAML that a person reads: one key a line, short lists in one line.

What it writes means the same to any YAML reader; it reads none itself and knows no key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

WIDEST = 88
"""Characters of a list that stays in one line."""

_PLAIN = re.compile(r"[A-Za-z/](?:[\w./*%+@-]|:(?=[\w./*-])| (?=[\w./*-]))*", re.ASCII)
_AMOUNT = re.compile(r"\d+(?:\.\d+)?(?:ms|us|s|m|h|d|B|[KMG]i?B|%|/\d*(?:ms|s|m|h|d))", re.ASCII)
_ADDRESS = re.compile(r"\d+(?:\.\d+){3}(?::\d+)?(?:/\d+)?", re.ASCII)
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What nobody sees, or no YAML holds as it is."""
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1 takes for something else than text."""


def spelled(value: Any) -> list[str]:
    """The lines, without their ends."""
    if _is_block(value):
        return list(_block(value, ""))
    return [_flow(value)]


def _block(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            name = f"{indent}{_scalar(str(key))}:"
            if _is_block(part):
                yield name
                yield from _block(part, f"{indent}  ")
            else:
                yield f"{name} {_flow(part)}"
        return
    for part in value:
        if _is_block(part):
            first, *rest = _block(part, f"{indent}  ")
            yield f"{indent}- {first.lstrip(' ')}"
            yield from rest
        else:
            yield f"{indent}- {_flow(part)}"


def _is_block(value: Any) -> bool:
    """Whether it takes lines of its own."""
    if isinstance(value, dict):
        return bool(value)
    if not isinstance(value, list) or not value:
        return False
    return any(isinstance(part, dict | list) for part in value) or len(_flow(value)) > WIDEST


def _flow(value: Any) -> str:
    if isinstance(value, list):
        # In a flow, a comma or a bracket would end a plain word: none is in `_PLAIN`.
        return f"[{', '.join(_flow(part) for part in value)}]"
    return "{}" if isinstance(value, dict) else _scalar(value)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    if plain or _AMOUNT.fullmatch(value) or _ADDRESS.fullmatch(value):
        return value
    return _UNSEEN.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False)
    )
