"""Five servers that report what they understood: how each is configured and started.

One function per server: it writes the files that it needs and returns the command line. Each
answers 200 with the target that it saw; limits are so wide that none refuses for size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from .programs import Site, program

APPS = "tests.conformance.differential.apps"


def nginx(site: Site) -> list[str]:
    """The body is in a variable only where it is passed on: an inner server gives the answer."""
    return [program("nginx"), "-p", str(site.folder), "-c", site.write("conf", _nginx(site))]


def _nginx(site: Site) -> str:
    return f"""
daemon off; master_process off; pid {site.folder}/pid; error_log {site.folder}/errors;
events {{ worker_connections 512; }}
http {{
  client_body_temp_path {site.folder}/body; proxy_temp_path {site.folder}/proxy;
  fastcgi_temp_path {site.folder}/fastcgi; uwsgi_temp_path {site.folder}/uwsgi;
  scgi_temp_path {site.folder}/scgi;
  log_format seen escape=json '{{"raw":true,"status":"$status","method":"$request_method",'
    '"target":"$request_uri","host":"$http_host","body":"$request_body"}}';
  large_client_header_buffers 16 128k;
  server {{
    listen 127.0.0.1:{site.port};
    access_log {site.seen} seen;
    client_max_body_size 0; client_body_buffer_size 1m; client_body_in_single_buffer on;
    location / {{ proxy_pass http://unix:{site.folder}/answers; }}
  }}
  server {{
    listen unix:{site.folder}/answers;
    access_log off;
    location / {{ default_type text/plain; return 200 "$request_uri"; }}
  }}
}}
"""


def haproxy(site: Site) -> list[str]:
    return [program("haproxy"), "-db", "-f", site.write("conf", _haproxy(site))]


def _haproxy(site: Site) -> str:
    """Each sample is kept in a variable: the buffers are gone when the line is written."""
    kept = {"target": "url", "host": "req.hdr(host)", "body": "req.body"}
    lines = "\n".join(f"  http-request set-var(txn.{key}) {kept[key]},hex" for key in kept)
    fields = ",".join(f'"{key}":"%[var(txn.{key})]"' for key in kept)
    return f"""
global
  nbthread 1
  tune.bufsize 131072
  log stdout len 65535 format raw local0 info
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 10s
frontend origin
  bind 127.0.0.1:{site.port}
  log global
  log-format '{{"status":"%ST","method":"%HM",{fields}}}'
  http-request wait-for-body time 5s
{lines}
  http-request set-var(txn.url) url
  http-request return status 200 content-type text/plain lf-string %[var(txn.url)]
"""


def aiohttp(site: Site) -> list[str]:
    return [sys.executable, "-m", f"{APPS}.with_aiohttp", str(site.port)]


def gunicorn(site: Site) -> list[str]:
    """Threads, because the plain worker closes after each request and would hide what follows."""
    flags = ["-k", "gthread", "--threads", "4", "-w", "1", "--no-control-socket"]
    limits = ["--limit-request-line", "0", "--limit-request-field_size", "0"]
    where = ["-b", f"127.0.0.1:{site.port}", f"{APPS}.with_gunicorn:app"]
    return [sys.executable, "-m", "gunicorn", *flags, *limits, *where]


def h11(site: Site) -> list[str]:
    return [sys.executable, "-m", f"{APPS}.with_h11", str(site.port)]


SERVERS: dict[str, Callable[[Site], list[str]]] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "aiohttp": aiohttp,
    "gunicorn": gunicorn,
    "h11": h11,
}
