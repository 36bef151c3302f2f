"""Whole files: bad ones with their exact messages, good ones with what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.settings.errors import ConfigError
from meshproxy.settings.schema import File
from meshproxy.settings.validate import Settings, redact, validate

BAD = sorted(Path(__file__).with_name("bad").glob("*.yaml"))
CONFIG = Path(__file__).parents[2] / "config"
GOOD = [
    CONFIG / "meshproxy.yaml",
    *sorted((CONFIG / "examples").glob("*.yaml")),
    *sorted((CONFIG / "demo").glob("*.yaml")),
]

ENVIRONMENT = {"WORD": "many", "INJECTION": "x}\nadmin: {listen: 0.0.0.0:1}"}


def valid(text: str, **environment: str) -> Settings:
    return validate(text.encode(), "f.yaml", environment)


def told(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        valid(text, **environment)
    return refused.value.lines()


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_file_is_told_exactly_what_is_wrong(file: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        validate(file.read_bytes(), file.name, ENVIRONMENT)
    assert refused.value.lines() == file.with_suffix(".txt").read_text().splitlines()


def test_there_are_enough_bad_files() -> None:
    assert len(BAD) >= 40


@pytest.mark.parametrize("file", GOOD, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_file_that_ships_is_valid(file: Path) -> None:
    assert validate(file.read_bytes(), file.name, {}).file


def test_the_smallest_file_is_the_app_alone() -> None:
    shown = valid("inbound: {app: '127.0.0.1:8080'}").effective()
    assert shown["inbound"]["listen"] == "0.0.0.0:15006"
    assert shown["inbound"]["timeout"] == "15s"
    assert shown["metrics"] == {"listen": "0.0.0.0:15020", "compat": []}
    assert shown["admin"] == {"listen": "127.0.0.1:15000"}
    assert shown["outbound"] is None


def test_breaker_and_retry_are_on_for_calls_and_off_for_the_own_app() -> None:
    shown = valid(
        "inbound: {app: '127.0.0.1:8080'}\n"
        "outbound: {services: {a: {endpoints: ['127.0.0.1:9000']}}}\n"
    ).effective()
    assert shown["inbound"]["retry"] == shown["inbound"]["circuit_breaker"] == "off"
    assert shown["outbound"]["services"]["a"]["retry"]["attempts"] == 1
    assert shown["outbound"]["services"]["a"]["circuit_breaker"]["consecutive_failures"] == 7


def test_a_route_shows_what_it_inherits() -> None:
    shown = valid(
        "outbound:\n"
        "  defaults: {timeout: 5s, retry: {attempts: 2, backoff: {base: 10ms}}}\n"
        "  services:\n"
        "    a:\n"
        "      endpoints: ['127.0.0.1:9000']\n"
        "      retry: {attempts: 3}\n"
        "      routes: [{match: /x, timeout: 1s}, {match: /y, retry: off}]\n"
    ).effective()
    x, y = shown["outbound"]["services"]["a"]["routes"]
    assert x["timeout"] == "1s"
    assert x["retry"]["attempts"] == 3
    assert x["retry"]["backoff"]["base"] == "10ms"
    assert y["timeout"] == "5s"
    assert y["retry"] == "off"


def test_two_halves_that_are_wrong_only_together_are_told_where_the_nearer_one_stands() -> None:
    lines = told(
        "outbound:\n"
        "  defaults: {circuit_breaker: {max_open_for: 2s}}\n"
        "  services:\n"
        "    a: {endpoints: ['127.0.0.1:9000'], circuit_breaker: {open_for: 5s}}\n"
    )
    place = "f.yaml:4:57: outbound.services.a.circuit_breaker"
    assert lines == [f"{place}: max_open_for (2s) must not be below open_for (5s)"]


def test_halves_that_are_right_together_are_taken() -> None:
    valid(
        "outbound:\n"
        "  services:\n"
        "    a:\n"
        "      endpoints: ['127.0.0.1:9000']\n"
        "      circuit_breaker: {max_open_for: 10m}\n"
        "      routes: [{match: /x, circuit_breaker: {open_for: 5m}}]\n"
    )


def test_a_mistake_that_many_places_inherit_is_told_once() -> None:
    services = "".join(f"    s{n}: {{endpoints: ['127.0.0.1:9000']}}\n" for n in range(5))
    lines = told(f"outbound:\n  defaults: {{timeout: 5}}\n  services:\n{services}")
    assert lines == ["f.yaml:2:23: outbound.defaults.timeout: add a unit: write 5s or 5ms, found 5"]


def test_meaning_is_checked_beside_other_mistakes_but_not_because_of_them() -> None:
    lines = told(
        "inbound: {app: '127.0.0.1:8080'}\n"
        "metrics: {listen: nonsense}\n"
        "outbound:\n"
        "  services:\n"
        "    a: {endpoints: ['127.0.0.1:15001']}\n"
        "    b: {endpoints: ['127.0.0.1:9000'], timeout: 1, retry: {per_try_timeout: 20s}}\n"
    )
    assert [line.split(": ")[0] for line in lines] == [
        "f.yaml:2:19",
        "f.yaml:5:21",
        "f.yaml:6:49",
    ]


def test_secrets_appear_neither_in_dumps_nor_in_messages(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush-hush\n")
    settings = valid(f"service: {{name: 'file:{secret}'}}\ninbound: {{app: '127.0.0.1:8080'}}\n")
    assert settings.file.service.name == "***"
    assert settings.effective()["service"]["name"] == "***"
    lines = told(f"logs: {{level: 'file:{secret}'}}\ninbound: {{app: '127.0.0.1:8080'}}\n")
    assert lines == ["f.yaml:1:15: logs.level: write debug, info, warning or error, found '***'"]


def test_only_where_a_header_is_compared_the_model_knows_a_secret(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush-hush")
    settings = valid(
        f"inbound: {{app: ':8080', routes: [{{match: {{headers: {{x-key: 'file:{secret}'}}}}}}]}}\n"
        "service: {version: 'v1 ${DEPLOY_TOKEN}'}\n",
        DEPLOY_TOKEN="hush",
    )
    assert settings.file.inbound is not None
    assert settings.file.inbound.routes[0].match.headers == {"x-key": "hush-hush"}
    assert settings.file.service.version == "***"
    assert "hush" not in str(settings.effective())


@pytest.mark.parametrize("secret", ["hush" * 40, "hush\nhush", "hush\"'\\", "hush\u00e9\x7f"])
def test_a_message_quotes_no_part_of_a_secret_however_it_is_spelled(secret: str) -> None:
    for value in ("'${A_KEY}'", "'a ${A_KEY} b'", "['${A_KEY}']", "{'x': '${A_KEY}'}"):
        for place in ("service: {name: %s}", "limits: {headers: %s}", "inbound: {app: %s}"):
            lines = told(f"{place % value}\noutbound: {{listen: 5}}\n", A_KEY=secret)
            assert "hush" not in "\n".join(lines)


def test_a_file_that_is_nothing_but_a_secret_is_refused_without_it() -> None:
    assert "hush" not in "\n".join(told("${A_TOKEN}", A_TOKEN="hush"))


def test_a_secret_is_hidden_inside_other_text_too() -> None:
    tree = {"a": ["x hush y", 1, None], "b": {"c": "hush"}}
    assert redact(tree, {"hush"}) == {"a": ["x *** y", 1, None], "b": {"c": "***"}}


def test_the_digest_follows_what_is_said_and_not_how() -> None:
    one = valid("inbound: {app: '127.0.0.1:8080', timeout: 5s}")
    same = valid("# hello\ninbound:\n  timeout: 5s\n  app: ${APP}\n", APP="127.0.0.1:8080")
    other = valid("inbound: {app: '127.0.0.1:8080', timeout: 6s}")
    assert one.digest == same.digest != other.digest


@pytest.mark.parametrize("file", GOOD, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_is_shown_reads_back_as_the_same(file: Path) -> None:
    settled = validate(file.read_bytes(), file.name, {}).file
    shown = settled.model_dump_json(exclude_none=True)
    assert File.model_validate_json(shown, strict=True) == settled


_keys = st.sampled_from(
    ["inbound", "outbound", "services", "defaults", "routes", "retry", "timeout", "app", "match",
     "endpoints", "rate_limits", "limit", "per", "tiers", "header", "listen", "tracing", "a"]
)  # fmt: skip
_leaves = st.sampled_from(["off", "5s", "127.0.0.1:80", "10/s", 1, -1, True, "ip", "/a", 1.5, "x"])
_trees = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(_keys, _trees, max_size=6))
def test_any_tree_is_valid_or_refused_with_places(tree: dict[str, object]) -> None:
    try:
        settings = validate(json.dumps(tree).encode(), "f.yaml", {})
    except ConfigError as error:
        lines = error.lines()
    else:
        lines = [str(settings.effective())]
    assert lines


@pytest.mark.parametrize("written", ["'Bearer ${API_TOKEN}'", "file:{file}", "Bearer sesame"])
def test_a_header_for_the_receiver_of_spans_is_sent_and_not_shown(
    written: str, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("Bearer sesame\n")
    text = f"""
inbound: {{app: '127.0.0.1:8080'}}
tracing:
  export:
    url: http://collector
    headers:
      authorization: {written.replace("{file}", str(file))}
"""
    settings = valid(text, API_TOKEN="sesame")
    tracing: Any = settings.file.tracing  # type: ignore[attr-defined]
    assert tracing.export.delivery().headers == {"authorization": "Bearer sesame"}
    assert "sesame" not in json.dumps(settings.effective())
    other = valid(text.replace("http://collector", "http://other"), API_TOKEN="sesame")
    assert settings.digest != other.digest
