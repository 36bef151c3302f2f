"""Meaning beyond the bad files: what must not be told, and how long telling takes."""

from __future__ import annotations

import time

import pytest

from meshproxy.settings.errors import ConfigError
from meshproxy.settings.validate import validate


def told(text: str) -> list[str]:
    try:
        validate(text.encode(), "f.yaml", {})
    except ConfigError as error:
        return error.lines()
    return []


def routes(*matches: str) -> str:
    lines = "".join(f"    - match: {match}\n" for match in matches)
    return f"inbound:\n  app: 127.0.0.1:8080\n  routes:\n{lines}"


@pytest.mark.parametrize(
    "matches",
    [
        ("GET /a", "POST /a", "/a"),
        ("/a/b", "/a/*", "/*"),
        ("/a/*", "/a"),
        ("{path: /a, headers: {x: '1'}}", "{path: /a, headers: {x: '2'}}", "/a"),
        ("/a/*/c", "/a/b/*"),
    ],
)
def test_routes_that_can_match_are_left_alone(matches: tuple[str, ...]) -> None:
    assert told(routes(*matches)) == []


def test_an_inherited_per_try_timeout_may_be_longer_than_a_short_call() -> None:
    text = (
        "outbound:\n"
        "  defaults: {timeout: 5s, retry: {per_try_timeout: 800ms}}\n"
        "  services:\n"
        "    a:\n"
        "      endpoints: ['127.0.0.1:9000']\n"
        "      routes: [{match: /quick, timeout: 300ms, retry: {attempts: 1}}]\n"
    )
    assert told(text) == []


def test_a_call_without_a_timeout_has_room_for_any_try() -> None:
    text = (
        "outbound: {services: {a: {endpoints: ['127.0.0.1:9000'], timeout: off,"
        " retry: {per_try_timeout: 1h}}}}\n"
    )
    assert told(text) == []


def test_limits_of_one_name_on_different_walks_are_left_alone() -> None:
    text = (
        "inbound:\n"
        "  app: 127.0.0.1:8080\n"
        "  routes:\n"
        "    - {match: /a, rate_limits: [{name: x, limit: 1/s}]}\n"
        "    - {match: /b, rate_limits: [{name: x, limit: 1/s}]}\n"
    )
    assert told(text) == []


def test_ten_thousand_routes_are_checked_in_a_few_seconds() -> None:
    text = routes(*(f"GET /r{n}/*/x" for n in range(5000)), *(f"/l/{n}" for n in range(5000)))
    before = time.process_time()
    assert told(text) == []
    # Comparing each with each would be fifty million comparisons, minutes of them.
    assert time.process_time() - before < 30.0
