"""The proxies that are compared with meshproxy, each with its defaults.

One function per proxy: it writes the file that it needs and returns the command line. Nothing
is set but what a sidecar cannot do without: one listener, one origin, kept connections to it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from loadtests.tools import envoy as envoy_binary
from loadtests.tools import version

from .programs import Site, program


def nginx(site: Site) -> list[str]:
    text = f"""
daemon off; master_process off; pid {site.folder}/pid; error_log {site.folder}/errors;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {site.folder}/body; proxy_temp_path {site.folder}/proxy;
  fastcgi_temp_path {site.folder}/fastcgi; uwsgi_temp_path {site.folder}/uwsgi;
  scgi_temp_path {site.folder}/scgi;
  upstream origin {{ server 127.0.0.1:{site.origin}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{site.port};
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""
    return [program("nginx"), "-p", str(site.folder), "-c", site.write("conf", text)]


def haproxy(site: Site) -> list[str]:
    text = f"""
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend in
  bind 127.0.0.1:{site.port}
  default_backend origin
backend origin
  server one 127.0.0.1:{site.origin}
"""
    return [program("haproxy"), "-db", "-f", site.write("conf", text)]


def envoy(site: Site) -> list[str]:
    flags = ["--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return [envoy_binary(), "-c", site.write("envoy.yaml", ENVOY.format(site=site)), *flags]


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
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: origin}}}}]
  clusters:
  - name: origin
    type: STATIC
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {site.origin}}}}}
"""

PROXIES: dict[str, Callable[[Site], list[str]]] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "envoy": envoy,
}

_ASKS: dict[str, Callable[[], list[str]]] = {
    "meshproxy": lambda: [sys.executable, "-m", "meshproxy", "version"],
    "nginx": lambda: [program("nginx"), "-v"],
    "haproxy": lambda: [program("haproxy"), "-v"],
    "envoy": lambda: [envoy_binary(), "--version"],
    "aiohttp": lambda: _library("aiohttp"),
    "gunicorn": lambda: _library("gunicorn"),
    "h11": lambda: _library("h11"),
}


def _library(name: str) -> list[str]:
    return [sys.executable, "-c", f"import {name}; print({name}.__version__)"]


def number(name: str) -> str:
    """The version that a program gives itself: its first three numbers."""
    said = version(_ASKS[name]())
    found = re.search(r"\d+\.\d+\.\d+", said.rpartition("version: ")[2])
    return found.group() if found else said
