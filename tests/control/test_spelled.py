"""What is spelled is YAML that reads back as what it was, and looks as a person writes it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.control.spelled import spelled

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=12)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_it_reads_back_as_what_it_was(value: Any) -> None:
    assert yaml.safe_load("\n".join(spelled(value))) == value


@given(st.from_regex(r"[0-9a-zA-Z:._/*%+-]{1,8}", fullmatch=True))
def test_no_word_turns_into_something_else(word: str) -> None:
    assert yaml.safe_load("\n".join(spelled({"key": word, "list": [word]}))) == {
        "key": word, "list": [word],
    }  # fmt: skip


@pytest.mark.parametrize(
    "word",
    ["off", "Yes", "1:30", "1e5", "0x1f", "0o7", "1_000", "2001-01-01", ".5", "~", "null", "=",
     "a: b", "a #b", "*", "-", "true", "12", "-1", "1.5", "", " a", "a ", "<<", "y", ".inf"],
)  # fmt: skip
def test_what_yaml_would_read_otherwise_is_quoted(word: str) -> None:
    (line,) = spelled({"key": word})
    assert line.startswith('key: "')
    assert yaml.safe_load(line) == {"key": word}


def test_it_looks_as_a_person_writes_it() -> None:
    config = {
        "inbound": {
            "app": "http://127.0.0.1:8080",
            "timeout": "15s",
            "rate_limits": [{"limit": "500/s", "per": ["ip", "header:x-id"], "tiers": None}],
            "routes": [],
            "concurrency": {"max": 200, "share": "20%"},
        },
        "listen": "0.0.0.0:15006",
        "empty": {},
        "match": "GET /quotes/*",
    }
    assert spelled(config) == [
        "inbound:",
        "  app: http://127.0.0.1:8080",
        "  timeout: 15s",
        "  rate_limits:",
        "    - limit: 500/s",
        "      per: [ip, header:x-id]",
        "      tiers: null",
        "  routes: []",
        "  concurrency:",
        "    max: 200",
        "    share: 20%",
        "listen: 0.0.0.0:15006",
        "empty: {}",
        "match: GET /quotes/*",
    ]
