"""The sidecar that the load scenarios drive: its ports and its file.

One inbound app with a limited route, and outbound services: sound, flaky, dead, one that
is cached and one that has a fallback. The reload scenario writes the same file with
another number in it.
"""

from __future__ import annotations

from dataclasses import dataclass

LIMIT = 50  # requests per second of one client on /limited, and its burst
FAILURES = 7  # in a row open the breaker of an endpoint


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports: the sidecar's own, then those of the origins; nobody listens on dead."""

    inbound: int
    outbound: int
    metrics: int
    admin: int
    app: int
    users: int
    sound: int
    flaky: int
    dead: int


def config(ports: Ports) -> str:
    """The sidecar's file, as YAML."""
    return f"""version: 1
service: {{name: load, version: "1"}}
inbound:
  listen: 127.0.0.1:{ports.inbound}
  app: http://127.0.0.1:{ports.app}
  timeout: 10s
  concurrency: {{max: 500, queue: 500, queue_timeout: 2s}}
  rate_limits:
    - {{name: everyone, limit: 100000/s, burst: 100000}}
  routes:
    - name: limited
      match: GET /limited
      rate_limits:
        - {{name: per-client, limit: {LIMIT}/s, burst: {LIMIT}, per: [header:x-client-id, ip]}}
outbound:
  listen: 127.0.0.1:{ports.outbound}
  defaults:
    timeout: 5s
    connect_timeout: 1s
    retry:
      attempts: 2
      when: [connect-failure, reset, 502, 503, 504]
      per_try_timeout: 2s
      backoff: {{strategy: exponential, base: 5ms, max: 50ms, jitter: full}}
      budget: {{ratio: 20%, min_per_second: 10}}
    circuit_breaker: {{consecutive_failures: {FAILURES}, open_for: 1s, max_open_for: 5s}}
  services:
    users: {{endpoints: ["127.0.0.1:{ports.users}"], prefix: /users}}
    flaky: {{endpoints: ["127.0.0.1:{ports.sound}", "127.0.0.1:{ports.flaky}"]}}
    dead: {{endpoints: ["127.0.0.1:{ports.dead}"]}}
    catalog: {{endpoints: ["127.0.0.1:{ports.sound}"], cache: {{}}}}
    helped:
      endpoints: ["127.0.0.1:{ports.dead}"]
      fallback: {{static: {{status: 200, body: "sorry"}}}}
tracing: {{propagate: [tracecontext, b3], sample: 1%}}
metrics: {{listen: 127.0.0.1:{ports.metrics}}}
admin: {{listen: 127.0.0.1:{ports.admin}}}
logs: {{level: info, format: json, access: {{errors: true}}}}
"""
