"""Asking a running sidecar: `reload`, `drain`, `healthcheck`.

One raw request over a socket, since a health check must not cost the import of an HTTP
client. Finds the address in the config without judging it: the sidecar may well be running
on an older one.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from argparse import Namespace
from typing import Any, TypeAlias

from meshproxy.commands.sources import UsageError, chosen, read

METRICS = "127.0.0.1:15020"
ADMIN = "127.0.0.1:15000"
MAX_ANSWER = 1024 * 1024

Address: TypeAlias = tuple[str, int]
"""Where a port of the sidecar is, as one dials it from this machine."""

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def reload(options: Namespace) -> int:
    """POST /reload; tells what changed, or every reason why nothing did."""
    address = admin_address(options)
    status, body = ask(address, "POST", "/reload", options.timeout)
    outcome = _plain(body)
    if status == 200:
        # The sidecar watches its file, so it may well have been faster than this command.
        done = "reloaded" if outcome.get("changes") else "nothing new, in force"
        print(f"{done}: generation {outcome.get('generation')}, {outcome.get('digest')}")
        _print_all(outcome.get("changes") or [], sys.stdout)
        return 0
    _print_all(outcome.get("errors") or [outcome.get("error") or f"status {status}"], sys.stderr)
    if status == 422:
        print("not reloaded: the config before it stays in force", file=sys.stderr)
    return 1


def drain(options: Namespace) -> int:
    """POST /drain, or /drain/inbound."""
    address = admin_address(options)
    path = "/drain/inbound" if options.inbound else "/drain"
    status, body = ask(address, "POST", path, options.timeout)
    if status in (200, 202):
        print("draining inbound" if options.inbound else "draining", flush=True)
        time.sleep(options.wait)
        return 0
    print(_plain(body).get("error") or f"status {status}", file=sys.stderr)
    return 1


def upgrade(options: Namespace) -> int:
    """POST /upgrade; tells why the old process goes on, if it does."""
    address = admin_address(options)
    status, body = ask(address, "POST", "/upgrade", options.timeout)
    if status == 200:
        print("upgraded")
        return 0
    print(_plain(body).get("error") or f"status {status}", file=sys.stderr)
    return 1


def healthcheck(options: Namespace) -> int:
    """GET /readyz or /livez; says nothing but why not."""
    path = "/livez" if options.live else "/readyz"
    if options.url is not None:
        address, path = _split(options.url, path)
    else:
        address = _dialled(_configured(options.config, "metrics") or METRICS)
    status, body = ask(address, "GET", path, options.timeout)
    if status == 200:
        return 0
    checks = _plain(body).get("checks") or {}
    failed = [f"{name}: {check['detail']}" for name, check in checks.items() if not check["ok"]]
    print("; ".join(failed) or f"{path} answered {status}", file=sys.stderr)
    return 1


def ask(address: Address, method: str, path: str, timeout: float) -> tuple[int, bytes]:
    """Status and body of one HTTP/1.0 exchange within `timeout` seconds.

    Raises OSError in words for people.
    """
    try:
        return _asked(address, method, path, timeout)
    except TimeoutError:
        raise OSError(f"no answer from {spelled(address)} in {timeout:g} s") from None
    except OSError as error:
        why = error.strerror or error
        raise OSError(f"cannot reach the sidecar at {spelled(address)}: {why}") from None


def _asked(address: Address, method: str, path: str, timeout: float) -> tuple[int, bytes]:
    until = time.monotonic() + timeout
    with socket.create_connection(address, timeout) as connection:
        # The name the admin port insists on, wherever the tunnel to it begins.
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        request = f"{method} {path} HTTP/1.0\r\nHost: localhost\r\n{length}\r\n"
        connection.sendall(request.encode())
        pieces: list[bytes] = []
        while sum(map(len, pieces)) < MAX_ANSWER:
            connection.settimeout(max(0.001, until - time.monotonic()))
            piece = connection.recv(65536)
            if not piece:
                break
            pieces.append(piece)
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", head)
    if found is None:
        raise ConnectionError("what listens there does not speak HTTP")
    return int(found[1]), body


def admin_address(options: Namespace) -> Address:
    """By --admin, else as the config says, else where it is by default."""
    text: str = options.admin or _configured(options.config, "admin") or ADMIN
    return _dialled(text.removeprefix("http://").removesuffix("/"))


def _configured(option: str | None, section: str) -> str | None:
    """What the config says about `listen` of `metrics` or `admin`, None if nothing."""
    name = chosen(option, os.environ)
    if name is None:
        return None
    data, name = read(name)
    text = data.decode("utf-8", "replace")
    # As most write it, it can be seen without parsing: 25 ms less for each health check, and
    # a file that is no YAML at the moment says nothing of the sidecar that still runs.
    seen = re.search(
        rf"^{section}:[^\w#]*listen:\s*[\"']?([^\s\"',}}#$]+)[\s\"',}}]", text, re.MULTILINE
    )
    if seen is not None:
        return seen[1]
    return _parsed(data, name, section) if section in text else None


def _parsed(data: bytes, name: str, section: str) -> str | None:
    from meshproxy.settings.errors import ConfigError
    from meshproxy.settings.load import read as read_yaml

    try:
        inside = read_yaml(data, name, os.environ).tree.get(section)
    except ConfigError:
        return None
    listen = inside.get("listen") if isinstance(inside, dict) else None
    return listen if isinstance(listen, str) else None


def _dialled(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{text!r} is no address to ask: write HOST:PORT")
    return WILDCARDS.get(host, host), int(port)


def spelled(address: Address) -> str:
    """As one writes it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(url: str, default: str) -> tuple[Address, str]:
    rest = url.removeprefix("http://")
    if "://" in rest:
        raise UsageError(f"only http:// is asked, not {url!r}")
    where, slash, path = rest.partition("/")
    return _dialled(where if re.search(r":\d+$", where) else f"{where}:80"), (
        f"/{path}" if slash else default
    )


def _plain(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _print_all(lines: list[str], where: Any) -> None:
    for line in lines:
        print(line, file=where)
