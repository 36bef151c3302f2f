"""A request costs the same with few and with many routes or endpoints: counted, not timed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from loadtests.flat import PLACES, UNSEEN, routed, spread, steps
from loadtests.shapes import BALANCERS, ROUTES, addresses, request, routes_file
from meshproxy.logic.match import RouteIndex, Rule
from meshproxy.settings.validate import validate

BAR = 1.10
FEW, MANY = 10, 1000
WARM = 300


def played(run: Callable[[asyncio.AbstractEventLoop], Coroutine[None, None, float]]) -> float:
    """A figure that is found on a loop of its own."""

    async def on_loop() -> float:
        return await run(asyncio.get_running_loop())

    return uvloop.run(on_loop())


def of_routes(shape: str, count: int, place: str, direction: str, query: str = "") -> float:
    async def run(loop: asyncio.AbstractEventLoop) -> float:
        rig = routed(ROUTES[shape], count, PLACES[place], loop, direction, query)
        rig.run(WARM)
        return steps(rig, 50)

    return played(run)


def of_endpoints(balancer: str, count: int) -> float:
    async def run(loop: asyncio.AbstractEventLoop) -> float:
        return steps(spread(BALANCERS[balancer], count, loop), 300)

    return played(run)


@pytest.mark.parametrize(
    ("shape", "direction"), [*((shape, "inbound") for shape in ROUTES), ("mixed", "outbound")]
)
def test_the_last_of_a_thousand_routes_costs_what_the_last_of_ten_does(
    shape: str, direction: str
) -> None:
    few = of_routes(shape, FEW, "last", direction)
    assert of_routes(shape, MANY, "last", direction) <= BAR * few


@pytest.mark.parametrize("shape", ROUTES)
def test_a_request_line_that_nobody_remembers_costs_with_a_thousand_what_it_does_with_ten(
    shape: str,
) -> None:
    few = of_routes(shape, FEW, "last", "inbound", UNSEEN)
    assert few > of_routes(shape, FEW, "last", "inbound")
    assert of_routes(shape, MANY, "last", "inbound", UNSEEN) <= BAR * few


@pytest.mark.parametrize("place", PLACES)
def test_a_thousand_mixed_routes_cost_what_one_does(place: str) -> None:
    assert of_routes("mixed", MANY, place, "inbound") <= BAR * of_routes(
        "exact", 1, place, "inbound"
    )


@pytest.mark.parametrize("balancer", BALANCERS)
def test_a_thousand_endpoints_cost_what_ten_do(balancer: str) -> None:
    assert of_endpoints(balancer, MANY) <= BAR * of_endpoints(balancer, FEW)


class Scan:
    """What a table without an index would do for each request."""

    def __init__(self, count: int) -> None:
        self._paths = [f"/{number}" for number in range(count)]

    def run(self, count: int) -> None:
        for _ in range(count):
            for path in self._paths:
                if path == "/none":
                    return


def test_a_search_through_the_list_would_be_noticed() -> None:
    assert steps(Scan(MANY)) > 50 * steps(Scan(FEW))


def test_every_request_of_a_shape_is_for_the_route_at_its_index() -> None:
    for shape in ROUTES.values():
        settings = validate(routes_file(shape, 40, "inbound").encode(), "f.yaml", {})
        assert settings.file.inbound is not None
        rules: list[Rule] = [route.match.rule() for route in settings.file.inbound.routes]
        index = RouteIndex(rules)
        for at in range(40):
            head = request(shape, at, "svc").split(b"\r\n")
            method, path, _ = head[0].split()
            fields = dict(line.split(b": ", 1) for line in head[1:-2])
            assert index.find(method, path, fields.get) == at


def test_addresses_are_all_different_and_valid() -> None:
    listed = addresses(10_000, 80)
    assert len(set(listed)) == len(listed)
    for address in listed:
        parts = [int(part) for part in address.partition(":")[0].split(".")]
        assert parts[0] == 127
        assert 0 < parts[3] < 255
        assert max(parts) < 256
