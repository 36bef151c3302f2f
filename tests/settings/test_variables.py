"""Variables inside one scalar."""

from __future__ import annotations

import pytest

from meshproxy.settings.variables import secrets, substitute

ENVIRONMENT = {"A": "1", "EMPTY": "", "LOOKS": "${A}"}


def filled(text: str) -> tuple[str, list[str]]:
    told: list[str] = []
    return substitute(text, ENVIRONMENT, told.append), told


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("x${A}y${A}z", "x1y1z"),
        ("${A:-2}", "1"),
        ("${NONE:-2}", "2"),
        ("${NONE:-}", ""),
        ("${EMPTY:-2}", "2"),
        ("${EMPTY}", ""),
        ("${A:?say it}", "1"),
        ("$${A}", "${A}"),
        ("$${", "${"),
        ("$A $ {A}", "$A $ {A}"),
        ("${LOOKS}", "${A}"),
        ("${NONE:-http://x:80/}", "http://x:80/"),
    ],
)
def test_a_reference_becomes_its_value(text: str, value: str) -> None:
    assert filled(text) == (value, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NONE}", "variable NONE is not set: set it, or write ${NONE:-default}"),
        ("${NONE:?the port}", "variable NONE is not set: the port"),
        ("${NONE:?}", "variable NONE is not set"),
        ("${EMPTY:?the port}", "variable EMPTY is not set: the port"),
        ("${}", "a '${' without a variable: write ${NAME}, or $${ for the characters"),
        ("${A", "a '${' without a variable: write ${NAME}, or $${ for the characters"),
        ("${A-x}", "a '${' without a variable: write ${NAME}, or $${ for the characters"),
    ],
)
def test_what_cannot_be_filled_in_is_told(text: str, message: str) -> None:
    assert filled(text)[1] == [message]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("${API_TOKEN}", {"a"}),
        ("x ${DB_PASSWORD:-none} ${api_key:?no}", {"b", "c"}),
        ("${KEY}", {"d"}),
        ("${TOKENS} ${KEY_FILE} ${MONKEY} ${HOST}", set()),
        ("$${API_TOKEN} ${EMPTY_KEY} ${UNSET_KEY:-x} ${", set()),
    ],
)
def test_a_variable_with_the_name_of_a_secret_is_one(text: str, found: set[str]) -> None:
    environment = {"API_TOKEN": "a", "DB_PASSWORD": "b", "api_key": "c", "KEY": "d", "TOKENS": "e",
                   "KEY_FILE": "f", "MONKEY": "g", "HOST": "h", "EMPTY_KEY": ""}  # fmt: skip
    assert secrets(text, environment) == found
