"""What `scale` measures: the points of every axis, as files for the proxy. Starts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.shapes import ROUTES, Shape, addresses, rules

CONNECTIONS = 64
MANY = 1000
"""Clients of the endpoints' axis, whose origin takes so long that as many requests are under way:
one endpoint then has as many connections in use as a thousand have together."""

BALANCERS = ("peak_ewma", "least_request", "round_robin", "random")


@dataclass(frozen=True, slots=True)
class Case:
    """One point of an axis: what is added to the file, and how it is asked.

    With `nginx` it is nginx that stands before these addresses, for comparison. `late` is for
    the origin that takes its time.
    """

    count: int
    inbound: str = ""
    file: str = ""
    service: str = ""
    connections: int = CONNECTIONS
    asks: tuple[str, ...] = ()
    nginx: tuple[str, ...] = ()
    late: bool = False

    @property
    def outbound(self) -> bool:
        return bool(self.service)

    @property
    def more_seconds(self) -> int:
        """Added to a run of so many clients, so that what is measured is not their coming."""
        return self.connections // 1000


def of_connections(count: int) -> Case:
    return Case(count, connections=count)


def of_routes(shape: Shape, count: int) -> Case:
    """Each of so many routes is asked for in turn."""
    asks = []
    for index in range(count):
        method, path, lines = shape.ask(index)
        tenant = lines.partition(": ")[2].strip()
        asks.append(f"{method} {path} {tenant}".rstrip())
    listed = "".join(f"    - {one}\n" for one in rules(shape, count))
    return Case(count, inbound=f"  routes:\n{listed}", asks=tuple(asks))


def of_endpoints(count: int, origin: int, balancer: str, connections: int = MANY) -> Case:
    listed = ", ".join(addresses(count, origin))
    service = f"      endpoints: [{listed}]\n      load_balancer: {balancer}\n"
    return Case(count, service=service, connections=connections, late=connections == MANY)


def of_nginx(count: int, origin: int) -> Case:
    return Case(count, nginx=tuple(addresses(count, origin)), connections=MANY, late=True)


def of_workers(count: int) -> Case:
    return Case(count, file=f"workers: {count}\n" if count > 1 else "")


@dataclass(frozen=True, slots=True)
class Row:
    """One axis: its name, its points, and whether the bar is for it."""

    name: str
    cases: Sequence[Case]
    judged: bool = False


def rows(axes: Sequence[str], most: int, clients: int, quick: int, late: int) -> list[Row]:
    """All that is asked for. `most` is the last count, `clients` what this machine can open,
    `quick` and `late` are the ports of the two origins."""
    tens = [10**power for power in range(5) if 10**power <= most]
    upto = [count for count in tens if count <= 1000]
    found: list[Row] = []
    if "connections" in axes:
        counts = dict.fromkeys(min(count, clients) for count in tens)
        found.append(Row("connections", [of_connections(count) for count in counts]))
    if "routes" in axes:
        for name, shape in ROUTES.items():
            # Six kinds take turns in the mixed one: fewer than ten would not be all of them.
            counts_of = [count for count in tens if count >= 10] if name == "mixed" else upto
            cases = [of_routes(shape, count) for count in counts_of]
            found.append(Row(f"routes, {name}", cases, judged=True))
    if "endpoints" in axes:
        for name in BALANCERS:
            cases = [of_endpoints(count, late, name) for count in upto]
            found.append(Row(f"endpoints, {name}", cases, judged=True))
        found.append(Row("endpoints, nginx", [of_nginx(count, late) for count in upto]))
        few = [of_endpoints(count, quick, BALANCERS[0], CONNECTIONS) for count in upto]
        found.append(Row(f"endpoints, {CONNECTIONS} clients", few))
    if "workers" in axes:
        found.append(Row("workers", [of_workers(1), of_workers(2)]))
    return found


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

ORIGIN = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
worker_rlimit_nofile {files}; error_log stderr error;
events {{ worker_connections {files}; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    {listens}
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}
}}
"""
CONTROLLED = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
worker_rlimit_nofile {files}; error_log stderr error;
events {{ worker_connections {files}; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream svc {{ {servers} keepalive 4096; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://svc; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""
