"""What `scale` measures: the points of every axis, as files for the proxy. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.shapes import ROUTES, Shape, addresses, rules

CONNECTIONS = 64
MANY = 1000
"""Clients of the endpoints' axis, whose origin takes so long that as many requests are under way:
one endpoint then has as many connections in use as a thousand have together."""

ASKS = {"mixed": 12, "methods": 12}
"""Fewest requests that take turns. Six kinds of routes or four methods do in these, and cost
differently: so each is asked for as often with one route as with a thousand, and what grows is the
number of routes alone. What no route is for goes to the app all the same."""

QUICK, LATE, UNEVEN = "quick", "late", "uneven"
"""The origins: one answers at once, one late, and one late by as much as chance will have it."""

BALANCERS = ("peak_ewma", "least_request", "round_robin")
BY_CHANCE = "random"
"""Some endpoints are asked four times at once while others are not: its connections grow, too."""


@dataclass(frozen=True, slots=True)
class Case:
    """One point of an axis: what is added to the file, and how it is asked.

    With `nginx` it is nginx that stands before these addresses, for comparison. With `anew` no
    request line comes a second time.
    """

    count: int
    inbound: str = ""
    file: str = ""
    service: str = ""
    connections: int = CONNECTIONS
    asks: tuple[str, ...] = ()
    anew: bool = False
    nginx: tuple[str, ...] = ()
    origin: str = QUICK

    @property
    def outbound(self) -> bool:
        return bool(self.service)

    @property
    def more_seconds(self) -> int:
        """Added to a run of so many clients, so that what is measured is not their coming."""
        return self.connections // 1000


def of_connections(count: int) -> Case:
    return Case(count, connections=count)


def of_routes(shape: Shape, count: int, asked: int = 0, anew: bool = False) -> Case:
    """Each of so many routes is asked for in turn, and at least so many requests are."""
    asks = []
    for index in range(max(count, asked)):
        method, path, lines = shape.ask(index)
        tenant = lines.partition(": ")[2].strip()
        asks.append(f"{method} {path} {tenant}".rstrip())
    listed = "".join(f"    - {one}\n" for one in rules(shape, count))
    return Case(count, inbound=f"  routes:\n{listed}", asks=tuple(asks), anew=anew)


Ports = Mapping[str, int]


def of_endpoints(
    count: int, ports: Ports, balancer: str, origin: str = LATE, connections: int = MANY
) -> Case:
    listed = ", ".join(addresses(count, ports[origin]))
    service = f"      endpoints: [{listed}]\n      load_balancer: {balancer}\n"
    return Case(count, service=service, connections=connections, origin=origin)


def of_nginx(count: int, ports: Ports) -> Case:
    return Case(count, nginx=tuple(addresses(count, ports[LATE])), connections=MANY, origin=LATE)


def of_workers(count: int) -> Case:
    return Case(count, file=f"workers: {count}\n" if count > 1 else "")


@dataclass(frozen=True, slots=True)
class Row:
    """One axis: its name, its points, and whether the bar is for it."""

    name: str
    cases: Sequence[Case]
    judged: bool = False


def rows(axes: Sequence[str], most: int, clients: int, ports: Ports) -> list[Row]:
    """All that is asked for. `most` is the last count, `clients` what this machine can open."""
    tens = [10**power for power in range(5) if 10**power <= most]
    upto = [count for count in tens if count <= 1000]
    found: list[Row] = []
    if "connections" in axes:
        counts = dict.fromkeys(min(count, clients) for count in tens)
        found.append(Row("connections", [of_connections(count) for count in counts]))
    if "routes" in axes:
        found += [_of_kind(name, shape, tens, upto) for name, shape in ROUTES.items()]
        found.append(_of_kind("mixed", ROUTES["mixed"], upto, upto, anew=True))
    if "endpoints" in axes:
        found += _to_endpoints(upto, ports)
    if "workers" in axes:
        found.append(Row("workers", [of_workers(1), of_workers(2)]))
    return found


def _of_kind(
    name: str, shape: Shape, tens: Sequence[int], upto: Sequence[int], anew: bool = False
) -> Row:
    counts, asked = tens if name == "mixed" else upto, ASKS.get(name, 0)
    cases = [of_routes(shape, count, asked, anew) for count in counts]
    return Row(f"routes, {name}{', anew' if anew else ''}", cases, judged=True)


def _to_endpoints(counts: Sequence[int], ports: Ports) -> list[Row]:
    def row(name: str, *how: Any, judged: bool = False) -> Row:
        cases = [of_endpoints(count, ports, *how) for count in counts]
        return Row(f"endpoints, {name}", cases, judged)

    first = BALANCERS[0]
    return [
        *(row(name, name, judged=True) for name in BALANCERS),
        row(BY_CHANCE, BY_CHANCE),
        row("uneven answers", first, UNEVEN),
        row(f"{CONNECTIONS} clients", first, QUICK, CONNECTIONS),
        Row("endpoints, nginx", [of_nginx(count, ports) for count in counts]),
    ]


CONFIG = """version: 1
inbound:
  listen: 127.0.0.1:{inbound}
  app: http://127.0.0.1:{origin}
  concurrency: {{max: 512, queue: 20000, queue_timeout: 60s}}
  rate_limits: [{{name: all, limit: 1000000/s, burst: 1000000}}]
  retry: {{attempts: 2, per_try_timeout: 15s}}
  circuit_breaker: {{consecutive_failures: 7, failure_rate: 50%, window: 10s}}
  timeout: 60s
{more}outbound:
  listen: 127.0.0.1:{outbound}
  services:
    svc:
      hosts: ["127.0.0.1"]
{service}      rate_limits: [{{name: all, limit: 1000000/s, burst: 1000000}}]
tracing: {{propagate: [tracecontext, b3], sample: 1%}}
metrics: {{listen: 127.0.0.1:{metrics}}}
admin: {{listen: 127.0.0.1:{admin}}}
logs: {{level: info, format: json, access: {{errors: true, sample: 0%}}}}
limits: {{connections: 16000}}
{file}"""

NGINX = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
worker_rlimit_nofile {files}; error_log stderr error;
events {{ worker_connections {files}; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
"""
"""How both of them begin, up to the first `server` or `upstream`."""

ORIGIN = (
    NGINX
    + """  server {{
    {listens}
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}
}}
"""
)
CONTROLLED = (
    NGINX
    + """  upstream svc {{ {servers} keepalive 4096; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://svc; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""
)
