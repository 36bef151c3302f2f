"""A client comes back to its endpoint while that may be tried, and learns of a new one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Endpoint
from meshproxy.policies.contract import fields_read, picking
from meshproxy.policies.load_balancer import LoadBalancerSpec
from meshproxy.policies.sticky import StickySpec, mark

from .attempts import exchange_of, scope_of


class Scene:
    """A sticky cluster and its clients."""

    def __init__(self, *names: str, **spec: Any) -> None:
        scope = scope_of(*names)
        self.ends = list(scope.cluster.endpoints)
        self.sticky: Any = StickySpec.model_validate(spec).build(scope)
        balancer = LoadBalancerSpec.model_validate("round_robin").build(scope)
        self.pick = picking([balancer, self.sticky])
        self.open: set[Endpoint] = set()

    def ask(
        self, cookie: str = "", status: int = 200, tried: tuple[Endpoint, ...] = ()
    ) -> tuple[Exchange, str]:
        """One request to its answer: what became of it, and the cookie it sets."""
        exchange = exchange_of(cookie=cookie) if cookie else exchange_of()
        exchange.tried = tried
        exchange.endpoint = self.pick(exchange, lambda end, now: end not in self.open, 100.0)
        exchange.status = status
        self.sticky.respond(exchange, 100.1)
        assert len(exchange.answer_lines) < 2
        return exchange, b"".join(exchange.answer_lines).decode()


def pair(line: str) -> str:
    return line.removeprefix("set-cookie: ").partition(";")[0]


def test_the_first_answer_sets_a_cookie_that_brings_the_client_back() -> None:
    scene = Scene("a", "b", "c")
    first, line = scene.ask()
    for _ in range(10):
        again, silent = scene.ask(f"theme=dark; {pair(line)}; x=y")
        assert again.endpoint is first.endpoint
        assert silent == ""


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() -> None:
    scene = Scene("10.0.0.1:80", "10.0.0.2:80")
    exchange, line = scene.ask()
    assert exchange.endpoint is not None
    print_ = mark("payments", exchange.endpoint.name).decode()
    assert line == (
        f"set-cookie: meshproxy_upstream={print_}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax\r\n"
    )
    assert "10.0.0" not in line


@pytest.mark.parametrize(
    ("spec", "attributes"),
    [
        ({"ttl": "off"}, "; Path=/; HttpOnly; SameSite=Lax\r\n"),
        ({"ttl": "100ms"}, "; Path=/; Max-Age=1; HttpOnly; SameSite=Lax\r\n"),
        ({"ttl": "2h", "path": "/shop"}, "; Path=/shop; Max-Age=7200; HttpOnly; SameSite=Lax\r\n"),
    ],
)
def test_time_and_path_are_the_file_s(spec: dict[str, str], attributes: str) -> None:
    assert Scene("a", "b", **spec).ask()[1].endswith(attributes)


def test_when_its_endpoint_may_not_be_tried_the_client_gets_another_for_good() -> None:
    scene = Scene("a", "b", "c")
    first, line = scene.ask()
    assert first.endpoint is not None
    scene.open.add(first.endpoint)
    second, moved = scene.ask(pair(line))
    assert second.endpoint is not first.endpoint
    scene.open.clear()
    third, silent = scene.ask(pair(moved))
    assert third.endpoint is second.endpoint
    assert silent == ""


def test_a_retry_goes_elsewhere_and_the_cookie_with_it() -> None:
    scene = Scene("a", "b")
    first, line = scene.ask()
    assert first.endpoint is not None
    second, moved = scene.ask(pair(line), tried=(first.endpoint,))
    assert second.endpoint is not first.endpoint
    assert pair(moved) != pair(line)


@pytest.mark.parametrize("status", [500, 503])
def test_nobody_is_bound_to_an_endpoint_by_its_failure(status: int) -> None:
    assert Scene("a", "b").ask(status=status)[1] == ""


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_a_cookie_that_names_nobody_is_as_good_as_none(value: str) -> None:
    scene = Scene("a", "b")
    exchange, line = scene.ask(f"meshproxy_upstream={value}")
    assert exchange.endpoint in scene.ends
    assert line.startswith("set-cookie: meshproxy_upstream=")


def test_a_mark_is_of_one_cluster_and_one_address() -> None:
    assert len({mark("a", "x:1"), mark("a", "x:2"), mark("b", "x:1")}) == 3
    assert mark("payments", "10.0.3.11:8080") == b"a444bc8051514ca0"


def test_where_there_is_one_endpoint_there_is_nothing_to_stick_to() -> None:
    assert StickySpec().build(scope_of("a")) is None


def test_it_reads_the_cookies_and_leaves_them_to_the_upstream() -> None:
    reads, replaces = fields_read([Scene("a", "b").sticky])
    assert (set(reads), set(replaces)) == ({b"cookie"}, set())


@pytest.mark.parametrize(
    "spec",
    [
        {"cookie": "a b"}, {"cookie": ""}, {"cookie": "a;b"}, {"path": "shop"},
        {"path": "/a; Domain=evil"}, {"path": "/a\r\nx: y"}, {"ttl": 60}, {"secure": True},
    ],
)  # fmt: skip
def test_what_would_break_the_field_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StickySpec.model_validate(spec)


def test_the_endpoint_of_the_cookie_is_told_as_certain_while_it_may_be_tried() -> None:
    scene = Scene("a", "b", "c")
    first, line = scene.ask()
    asked = exchange_of(cookie=pair(line))
    choice = scene.sticky.choose(asked, lambda end, now: True, 100.0)
    assert choice.candidates == ((first.endpoint, 1.0),)
    assert scene.sticky.choose(asked, lambda end, now: end is not first.endpoint, 100.0) is None
    assert scene.sticky.choose(exchange_of(), lambda end, now: True, 100.0) is None
