"""What differs between two configs, as a person would say it: `path: old -> new`.

Works on plain data and knows no key; items of lists are told apart by what names them, so a
route put first is one addition and not a change of all that follow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

MOST = 20
"""Lines told; a changed default can show at every service."""
WIDEST = 80
NAMES = ("name", "match", "address")


def changes(old: Any, new: Any) -> tuple[str, ...]:
    """At most MOST lines, and how many more there are."""
    lines = list(_differences("", old, new))
    if len(lines) > MOST:
        lines[MOST:] = [f"and {len(lines) - MOST} more"]
    return tuple(lines)


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    before, after = _parts(old), _parts(new)
    if before is None or after is None or type(old) is not type(new):
        yield _line(path, old, new)
        return
    if isinstance(new, list) and _reordered(before, after):
        yield f"{path}: in another order"
    for part in (*before, *(part for part in after if part not in before)):
        inside = part if part.startswith("[") or not path else f".{part}"
        yield from _differences(path + inside, before.get(part), after.get(part))


def _parts(value: Any) -> dict[str, Any] | None:
    """A value as named parts; None for what is told whole."""
    if isinstance(value, dict):
        return {str(key): part for key, part in value.items()}
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return {f"[{name}]": part for name, part in zip(_names(value), value, strict=True)}
    return None


def _names(items: list[dict[str, Any]]) -> list[str]:
    """What tells the items apart: a name that each has and no two share, or else the index."""
    for key in NAMES:
        names = [item.get(key) for item in items]
        texts = [name if isinstance(name, str) else _show(name) for name in names]
        if None not in names and len(set(texts)) == len(texts):
            return texts
    return [str(index) for index in range(len(items))]


def _reordered(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether what both have comes in another order, which for routes decides."""
    return [one for one in before if one in after] != [one for one in after if one in before]


def _line(path: str, old: Any, new: Any) -> str:
    if old is None:
        return f"{path}: added {_show(new)}"
    if new is None:
        return f"{path}: removed {_show(old)}"
    return f"{path}: {_show(old)} -> {_show(new)}"


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."
