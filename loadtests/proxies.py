"""Who is compared: how each proxy is configured and started.

One function per proxy: it writes the files it needs and returns the command line.
Knows nothing of what is measured. Limits are set so high that none refuses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtests import tools

SMALL_JSON = '{"items":["' + "x" * (260 - 14) + '"]}'
PLENTY = 1_000_000


@dataclass(frozen=True, slots=True)
class Site:
    """Where a proxy stands: its ports, the origin's, and a folder of its own."""

    port: int
    origin: int
    metrics: int
    admin: int
    folder: Path

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


def origin(site: Site) -> list[str]:
    """nginx that answers by itself: a small JSON, a POST, a file of 1 MiB."""
    site.write("1m", "x" * (1 << 20))
    text = f"""
daemon off; master_process off; worker_processes 1; pid {site.folder}/origin.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; open_file_cache max=8;
  keepalive_requests 100000000; keepalive_timeout 600s;
  default_type application/json; {_nginx_temp(site.folder)}
  server {{
    listen 127.0.0.1:{site.port} backlog=1024;
    location = /small {{ return 200 '{SMALL_JSON}'; }}
    location = /post {{ client_max_body_size 1m; return 200 '{{"stored":true}}'; }}
    location = /1m {{ root {site.folder}; }}
  }}
}}
"""
    return [tools.program("nginx"), "-p", str(site.folder), "-c", site.write("origin.conf", text)]


def nginx(site: Site) -> list[str]:
    """nginx as a plain HTTP proxy with an upstream keep-alive pool."""
    text = f"""
daemon off; master_process off; worker_processes 1; pid {site.folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; {_nginx_temp(site.folder)}
  keepalive_requests 100000000; keepalive_timeout 600s;
  upstream origin {{
    server 127.0.0.1:{site.origin};
    keepalive 128; keepalive_requests 100000000; keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{site.port} backlog=1024;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_max_temp_file_size 0;
    }}
  }}
}}
"""
    return [tools.program("nginx"), "-p", str(site.folder), "-c", site.write("nginx.conf", text)]


def _nginx_temp(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)


def haproxy(site: Site) -> list[str]:
    """HAProxy as a plain HTTP proxy, one thread, connections to the server shared."""
    text = f"""
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:{site.port}
  default_backend origin
backend origin
  server one 127.0.0.1:{site.origin}
"""
    return [tools.program("haproxy"), "-db", "-f", site.write("haproxy.cfg", text)]


def envoy(site: Site) -> list[str]:
    """Envoy: local rate limit, retries, outlier detection, circuit breakers; one worker."""
    config = site.write("envoy.yaml", ENVOY.format(site=site, plenty=PLENTY))
    flags = ["--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return [tools.envoy(), "-c", config, *flags]


ENVOY = """
static_resources:
  listeners:
  - name: in
    address: {{socket_address: {{address: 127.0.0.1, port_value: {site.port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.\
http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          http_filters:
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.\
local_ratelimit.v3.LocalRateLimit
              stat_prefix: limit
              token_bucket:
                max_tokens: {plenty}
                tokens_per_fill: {plenty}
                fill_interval: 1s
              filter_enabled: {{default_value: {{numerator: 100, denominator: HUNDRED}}}}
              filter_enforced: {{default_value: {{numerator: 100, denominator: HUNDRED}}}}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: /}}
                route:
                  cluster: origin
                  timeout: 15s
                  retry_policy:
                    retry_on: connect-failure,reset,retriable-status-codes
                    retriable_status_codes: [502, 503, 504]
                    num_retries: 2
                    per_try_timeout: 5s
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    circuit_breakers:
      thresholds:
      - max_connections: 1024
        max_pending_requests: 1024
        max_requests: 1024
        retry_budget: {{budget_percent: {{value: 20}}, min_retry_concurrency: 10}}
    outlier_detection:
      consecutive_5xx: 7
      interval: 10s
      base_ejection_time: 1s
      max_ejection_percent: 100
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {site.origin}}}}}
"""


def aiohttp(site: Site) -> list[str]:
    """aiohttp's server and client back to back, on uvloop, with nothing else on."""
    target = f"http://127.0.0.1:{site.origin}"
    return [sys.executable, "-m", "loadtests.aiohttp_proxy", str(site.port), target]


def meshproxy(site: Site) -> list[str]:
    """meshproxy with all five policies, trace headers, metrics and the error log on."""
    config = site.write("meshproxy.yaml", MESHPROXY.format(site=site, plenty=PLENTY))
    return [sys.executable, "-m", "meshproxy", "run", "-c", config]


MESHPROXY = """
version: 1
service: {{name: bench, version: "1"}}
inbound:
  listen: 127.0.0.1:{site.port}
  app: http://127.0.0.1:{site.origin}
  timeout: 15s
  connect_timeout: 1s
  concurrency: {{max: 1024, queue: 1024, queue_timeout: 1s}}
  rate_limits:
    - {{name: all, limit: {plenty}/s, burst: {plenty}}}
    - {{name: per-client, limit: {plenty}/s, burst: {plenty}, per: [header:x-client-id, ip]}}
  retry:
    attempts: 2
    when: [connect-failure, reset, 502, 503, 504]
    per_try_timeout: 5s
    backoff: {{strategy: exponential, base: 25ms, max: 250ms, jitter: full}}
    budget: {{ratio: 20%, min_per_second: 10}}
  circuit_breaker:
    consecutive_failures: 7
    failure_rate: 50%
    window: 10s
    min_requests: 20
    open_for: 1s
    max_open_for: 60s
tracing:
  propagate: [tracecontext, b3]
  sample: 1%
metrics: {{listen: 127.0.0.1:{site.metrics}}}
admin: {{listen: 127.0.0.1:{site.admin}}}
logs: {{level: info, format: json, access: {{errors: true, sample: 0%}}}}
"""

BUILDERS: dict[str, Callable[[Site], list[str]]] = {
    "meshproxy": meshproxy,
    "envoy": envoy,
    "nginx": nginx,
    "haproxy": haproxy,
    "aiohttp": aiohttp,
}


def programs_of(names: list[str]) -> set[str]:
    """The Debian packages that a comparison of these proxies needs, origin and load included."""
    return {"nginx", "wrk"} | ({"haproxy"} & set(names))


def versions_of(names: list[str]) -> dict[str, str]:
    """What each program says of its own version."""
    asks = {
        "nginx": lambda: tools.version([tools.program("nginx"), "-v"]),
        "haproxy": lambda: tools.version([tools.program("haproxy"), "-v"]),
        # It opens with its own path, which is nobody's business but this machine's.
        "envoy": lambda: tools.version([tools.envoy(), "--version"]).rpartition("version: ")[2],
        "meshproxy": lambda: tools.version([sys.executable, "-m", "meshproxy", "version"]),
        "aiohttp": lambda: tools.version(
            [sys.executable, "-c", "import aiohttp; print(aiohttp.__version__)"]
        ),
    }
    return {name: asks[name]() for name in names}
