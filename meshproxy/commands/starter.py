"""`init` and `schema`: the two files that a project begins with.

The starter names every part once, says what it does, and is valid as it stands.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from meshproxy.commands.sources import UsageError

STARTER = """\
# yaml-language-server: $schema=meshproxy.schema.json
#   (meshproxy schema > meshproxy.schema.json, and editors complete and check this file)
#
#   meshproxy check -c FILE    tells every mistake at once
#   meshproxy run -c FILE      runs it; a saved change takes effect within a second
version: 1

service:
  name: my-service                      # in logs, traces and probes

# Callers -> this sidecar -> your app. Point the callers here instead of at the app.
inbound:
  listen: 0.0.0.0:15006
  app: http://127.0.0.1:8080
  timeout: 15s
  concurrency: {max: 200, queue: 50, queue_timeout: 1s}
  rate_limits:
    - {limit: 500/s, burst: 100}        # of everybody together
    # - {name: per-client, limit: 20/s, burst: 40, per: [ip]}
  # routes:                             # first match wins; the rest is inherited
  #   - {match: POST /orders, rate_limits: [{limit: 60/m}]}

# Your app -> this sidecar -> the services it calls. Send requests here with the service's
# name as Host, or set HTTP_PROXY=http://127.0.0.1:15001.
outbound:
  listen: 127.0.0.1:15001
  defaults:                             # every service starts from these
    timeout: 5s                         # the whole call, retries included
    retry: {attempts: 2, when: [connect-failure, reset, 502, 503, 504]}
    circuit_breaker: {consecutive_failures: 7, open_for: 1s}
  services:
    payments:
      endpoints: [127.0.0.1:9000]
      # prefix: /payments               # reachable by path too
      # routes:
      #   - {match: GET /quotes/*, timeout: 300ms}

metrics: {listen: 0.0.0.0:15020}        # /metrics, /livez, /readyz, /startupz
admin: {listen: 127.0.0.1:15000}        # /info, /config, /breakers ...; loopback only
logs: {level: info, format: json, access: {errors: true, slower_than: 500ms, sample: 1%}}
shutdown: {drain: 20s}
"""


def init(options: Namespace) -> int:
    """Write the starter; refuse to touch a file that exists."""
    if options.file == "-":
        sys.stdout.write(STARTER)
        return 0
    try:
        with Path(options.file).open("x", encoding="utf-8") as file:
            file.write(STARTER)
    except FileExistsError:
        raise UsageError(f"{options.file} exists and stays as it is") from None
    except OSError as error:
        raise UsageError(f"cannot write {options.file}: {error.strerror or error}") from None
    print(f"wrote {options.file}; next: meshproxy check -c {options.file}")
    return 0


def schema(options: Namespace) -> int:  # noqa: ARG001  # every command has the same shape
    """Print the JSON Schema."""
    from meshproxy.settings.packaged import schema_text  # init needs none

    sys.stdout.write(schema_text())
    return 0
