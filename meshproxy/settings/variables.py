"""Variables of the environment inside one scalar: `${VAR}`, `:-default`, `:?message`, `$${`.

Works on text that the YAML parser has already cut out, so a value can never become several
keys; what was substituted is not looked at again (no recursion).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_REFERENCE = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<how>:-|:\?)(?P<word>[^}]*))?\}|\$\{"
)


_SECRET = re.compile(
    r"(^|_)(SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|KEY)$", re.IGNORECASE
)


def secrets(text: str, environment: Mapping[str, str]) -> set[str]:
    """The values in `text` that come from variables whose names call them secret."""
    names = {found["name"] for found in _REFERENCE.finditer(text) if found["name"]}
    return {environment.get(name, "") for name in names if _SECRET.search(name)} - {""}


def substitute(text: str, environment: Mapping[str, str], complain: Callable[[str], None]) -> str:
    """`text` with its variables filled in; `complain(message)` hears of those it cannot fill."""

    def fill(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        if found["name"] is None:
            complain("a '${' without a variable: write ${NAME}, or $${ for the characters")
            return ""
        return _value(found["name"], found["how"], found["word"] or "", environment, complain)

    return _REFERENCE.sub(fill, text)


def _value(
    name: str,
    how: str | None,
    word: str,
    environment: Mapping[str, str],
    complain: Callable[[str], None],
) -> str:
    value = environment.get(name)
    if how is None:
        if value is None:
            complain(f"variable {name} is not set: set it, or write ${{{name}:-default}}")
        return value or ""
    # As in a shell, the colon makes an empty variable count as unset.
    if value:
        return value
    if how == ":-":
        return word
    complain(f"variable {name} is not set: {word}" if word else f"variable {name} is not set")
    return ""
