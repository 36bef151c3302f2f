"""What a plain (unquoted) YAML scalar means to kubectl, and which ones others take otherwise.

kubectl reads with a descendant of go-yaml v2: YAML 1.1's booleans and octals, 1.2's `0o17`,
Go's floats, no base 60, and dates that stay text. Pure functions of one text.
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

NOT_A_NUMBER = math.nan
"""One object: a tree that has it in it is equal to itself by identity."""


def _cased(value: Scalar, *words: str) -> dict[str, Scalar]:
    return {form: value for word in words for form in (word, word.capitalize(), word.upper())}


WORDS: dict[str, Scalar] = {
    **_cased(True, "true", "yes", "on", "y"),
    **_cased(False, "false", "no", "off", "n"),
    **_cased(None, "null"),
    **dict.fromkeys(("", "~"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), NOT_A_NUMBER),
    **{f"{sign}{word}": math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
"""Just these spellings: `nUll` and `yEs` are text."""

# Of the forms of Go's strconv.ParseInt with base 0; a leading 0 alone is octal.
INTEGER = re.compile(
    r"[-+]?(?:0[xX](?P<x>[0-9a-fA-F]+)|0[oO]?(?P<o>[0-7]+)|0[bB](?P<b>[01]+)|(?:0|[1-9][0-9]*))"
)
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
MOST_BITS = 64
"""A longer integer is a float to Go."""

DOUBTFUL = re.compile(
    r"""
    | ~ | <<? | = | null | true | false | yes | no | on | off | y | n
    | [-+]?\.(?:inf|nan)
    | [-+]?0[xob][0-9a-f_]*
    | [-+]?\.?[0-9][0-9._:,]*(?:e[-+]?[0-9_]*)?
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def resolve(text: str) -> Scalar:
    """The value that kubectl reads where this stands without quotes."""
    if text in WORDS:
        return WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    # Underscores are nothing, except behind a leading point.
    plain = text if text[0] == "." else text.replace("_", "")
    integer = INTEGER.fullmatch(plain)
    if integer is not None:
        number = _integer(plain, integer)
        if -(2 ** (MOST_BITS - 1)) <= number < 2**MOST_BITS:
            return number
    return float(plain) if FLOAT.fullmatch(plain) else text


def doubtful(text: str) -> bool:
    """Whether any reader, of YAML 1.1 or 1.2, may take this for something else than text."""
    return not isinstance(resolve(text), str) or DOUBTFUL.fullmatch(text) is not None


def _integer(text: str, found: re.Match[str]) -> int:
    sign = -1 if text.startswith("-") else 1
    for name, base in (("x", 16), ("o", 8), ("b", 2)):
        if found[name] is not None:
            return sign * int(found[name], base)
    # More digits than any number of 64 bits has; int() refuses thousands of them.
    return int(text) if len(text) <= MOST_BITS else sign << MOST_BITS
