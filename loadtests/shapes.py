"""Files with many routes or many endpoints, and a request for each route. Starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from loadtests.bench_exchange import POLICIES

METHODS = ("GET", "POST", "PUT", "DELETE")


@dataclass(frozen=True, slots=True)
class Shape:
    """Routes of one kind: how the one at an index is written, and what a client asks for then.

    `ask` gives method, path, and field lines.
    """

    match: Callable[[int], str]
    ask: Callable[[int], tuple[str, str, str]]


def _method(index: int) -> str:
    return METHODS[index % len(METHODS)]


ROUTES: dict[str, Shape] = {
    "exact": Shape(lambda i: f"/svc{i}/items", lambda i: ("GET", f"/svc{i}/items", "")),
    "prefix": Shape(lambda i: f"/svc{i}/*", lambda i: ("GET", f"/svc{i}/x/y", "")),
    "wildcard": Shape(
        lambda i: f"/users{i}/*/orders", lambda i: ("GET", f"/users{i}/7/orders", "")
    ),
    "star first": Shape(lambda i: f"/*/orders{i}", lambda i: ("GET", f"/7/orders{i}", "")),
    "methods": Shape(
        lambda i: f"{_method(i)} /item{i // 4}", lambda i: (_method(i), f"/item{i // 4}", "")
    ),
    "headers": Shape(
        lambda i: f"{{path: /r/*, headers: {{x-tenant: t{i}}}}}",
        lambda i: ("GET", "/r/1", f"x-tenant: t{i}\r\n"),
    ),
}
_EACH = tuple(ROUTES.values())
ROUTES["mixed"] = Shape(
    lambda i: _EACH[i % len(_EACH)].match(i), lambda i: _EACH[i % len(_EACH)].ask(i)
)

CALM = "{consecutive_failures: 7, failure_rate: 50%, window: 10s"
BALANCERS: dict[str, Mapping[str, str]] = {
    "peak_ewma": {},
    "least_request": {"load_balancer": "least_request"},
    "round_robin": {"load_balancer": "round_robin"},
    "random": {"load_balancer": "random"},
    "ring_hash": {"load_balancer": "{strategy: ring_hash, hash: header:x-client-id}"},
    "slow_start": {"load_balancer": "{strategy: peak_ewma, slow_start: 30s}"},
    "sticky": {"sticky": "{}"},
    "health_check": {"health_check": "{path: /healthz}"},
    "panic": {"circuit_breaker": f"{CALM}, panic: 50%}}"},
}


def request(shape: Shape, index: int, host: str, more: str = "") -> bytes:
    """A request that the route at `index` is for, with `more` behind its path."""
    method, path, lines = shape.ask(index)
    path += more
    if method != "GET":
        lines += "content-length: 0\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nx-client-id: bench\r\n{lines}\r\n".encode()


def rules(shape: Shape, count: int) -> list[str]:
    """So many routes, as the file has them."""
    matches = [shape.match(index) for index in range(count)]
    return [f"{{match: {text if text[0] == '{' else repr(text)}}}" for text in matches]


def routes_file(shape: Shape, count: int, direction: str) -> str:
    """A file with these routes in front of one endpoint."""
    listed = rules(shape, count)
    policies = [f"{key}: {value}" for key, value in POLICIES.items()]
    if direction == "inbound":
        lines = ["inbound:", *_in(2, ["app: http://127.0.0.1:8080", *policies, "routes:"])]
        return "\n".join([*lines, *_in(4, [f"- {one}" for one in listed])]) + "\n"
    lines = ["outbound:", "  services:", "    svc:"]
    lines += _in(6, ["endpoints: ['10.0.0.1:80']", *policies, "routes:"])
    return "\n".join([*lines, *_in(8, [f"- {one}" for one in listed])]) + "\n"


def endpoints_file(service: Mapping[str, str], count: int) -> str:
    """A file with a service of so many endpoints."""
    service = {**POLICIES, "endpoints": f"[{', '.join(addresses(count, 80, 10))}]", **service}
    lines = ["outbound:", "  services:", "    svc:"]
    return (
        "\n".join([*lines, *_in(6, [f"{key}: {value}" for key, value in service.items()])]) + "\n"
    )


def addresses(count: int, port: int, net: int = 127) -> list[str]:
    """So many different addresses; those of 127.0.0.0/8 are all this machine's."""
    return [f"{net}.{i >> 14 & 255}.{i >> 7 & 127}.{(i & 127) + 1}:{port}" for i in range(count)]


def _in(depth: int, lines: Sequence[str]) -> list[str]:
    return [" " * depth + line for line in lines]
