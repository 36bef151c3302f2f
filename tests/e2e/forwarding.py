"""What the tests of the forward proxy share: three configs, the ways to ask, and a canary."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from .harness import Client, Message, Sidecar, fetch, free_port
from .harness.client import request

OPEN = """
inbound: {listen: <inbound>, app: http://<app>}
outbound:
  listen: <outbound>
  unknown_hosts:
    networks: [127.0.0.0/8, "::1/128"]
    allow: ["127.0.0.1:*", "localhost:*", "*.localhost:*", "[::1]:*"]
  connect:
    networks: [127.0.0.0/8, "::1/128"]
    allow: ["127.0.0.1:*", "localhost:*"]
  services: {users: {endpoints: [<app>], listen: <users>}}
"""
CLOSED = """
inbound: {listen: <inbound>, app: http://<app>}
outbound:
  listen: <outbound>
  unknown_hosts: pass
  connect: {allow: ["*:*"]}
  services: {users: {endpoints: [<app>]}}
"""
OFF = "outbound: {listen: <outbound>, services: {users: {endpoints: [<app>]}}}"


class Canary:
    """A port of IPv4 and IPv6 loopback on which nobody must call."""

    def __init__(self) -> None:
        self.port = free_port()
        self._listening = [socket.create_server(("127.0.0.1", self.port))]
        if _has_ipv6():
            family = socket.AF_INET6
            self._listening.append(socket.create_server(("::1", self.port), family=family))

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Canary]:
        canary = cls()
        try:
            yield canary
        finally:
            for each in canary._listening:
                each.close()

    def calls(self) -> int:
        """Connections that wait to be accepted, which they no longer do after this."""
        count = 0
        for each in self._listening:
            each.setblocking(False)
            try:
                while True:
                    each.accept()[0].close()
                    count += 1
            except BlockingIOError:
                continue
        return count


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def refused(answer: Message) -> str:
    """The sentence of a 403 of ours."""
    assert answer.status == 403, answer
    assert answer.get("x-meshproxy-reason") == "FB"
    return str(json.loads(answer.body)["detail"])


def absolute(sidecar: Sidecar, authority: str, path: str = "/") -> Message:
    return fetch(sidecar.outbound, f"http://{authority}{path}", headers={"Host": authority})


def connect(sidecar: Sidecar, authority: str) -> Message:
    with Client(sidecar.outbound) as client:
        client.send(request("CONNECT", authority, {"Host": authority}))
        return client.response()
