"""Lists of hosts as the file has them. Mistakes in them: tests/settings/bad/allow*.yaml."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from meshproxy.settings.allowed import PLACE_PATTERN
from meshproxy.settings.schema import Outbound
from meshproxy.settings.validate import validate


def outbound(text: str) -> Outbound:
    made = validate(f"outbound: {{{text}}}".encode(), "f.yaml", {}).file.outbound
    assert made is not None
    return made


def test_nothing_may_be_called_unasked() -> None:
    made = outbound("")
    assert (made.unknown_hosts, made.connect) == ("reject", "off")


def test_the_words_are_taken_as_they_stand() -> None:
    made = outbound("unknown_hosts: pass, connect: off")
    assert (made.unknown_hosts, made.connect) == ("pass", "off")


def test_a_list_is_shown_as_it_was_written_in_lower_case() -> None:
    said = 'allow: ["*.Example.com", "api.stripe.com:443", "[fd00::1]:*"], networks: [127.0.0.0/8]'
    shown: dict[str, Any] = outbound(f"connect: {{{said}}}").model_dump(mode="json")
    assert shown["connect"] == {
        "allow": ["*.example.com", "api.stripe.com:443", "[fd00::1]:*"],
        "networks": ["127.0.0.0/8"],
    }


@pytest.mark.parametrize(
    "text", ["a", "*", "*:443", "*.a.b", "*.a:*", "10.0.3.7:8080", "[::1]:80", "a_b.c-d."]
)
def test_an_editor_takes_what_the_file_takes(text: str) -> None:
    assert re.fullmatch(PLACE_PATTERN, text)
    outbound(f"unknown_hosts: {{allow: [{json.dumps(text)}], networks: ['::1/128']}}")


@pytest.mark.parametrize("text", ["http://a", "a b", "*a", "a.*", "a:http", "[g]", ""])
def test_an_editor_refuses_most_of_what_the_file_refuses(text: str) -> None:
    assert not re.fullmatch(PLACE_PATTERN, text)
