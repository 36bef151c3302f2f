"""Active health checks on real sockets: who is asked, who is left out, and who gets to know.

Intervals here are 100 ms, so that what takes three checks takes a moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .harness import Message, Origin, Sidecar, answering, eventually, fetch, reply

CHECK = "{path: /healthz, interval: INTERVAL, timeout: 1s, healthy: 2, unhealthy: 3}"
CONFIG = f"""
outbound:
  listen: <outbound>
  defaults: {{retry: off, load_balancer: round_robin}}
  services:
    pair:
      endpoints: [<one>, <two>]
      circuit_breaker: BREAKER
      health_check: {CHECK}
"""
APP = f"""
inbound:
  listen: <inbound>
  app: http://<app>
  health_check: {CHECK}
"""


def written(config: str, breaker: str = "off", interval: str = "100ms") -> str:
    return config.replace("BREAKER", breaker).replace("INTERVAL", interval)


class Server:
    """An origin whose health a test decides; its other requests get its name."""

    def __init__(self, name: str, origin: Origin) -> None:
        self.name = name
        self.origin = origin
        self.health = 200
        self.status = 200
        origin.forget(answering(self.answer))

    def answer(self, seen: Message) -> bytes:
        if seen.target == "/healthz":
            return reply(self.health, b"")
        return reply(self.status, self.name.encode())

    def checks(self) -> list[Message]:
        return [seen for seen in self.origin.requests if seen.target == "/healthz"]

    def served(self) -> int:
        return len(self.origin.requests) - len(self.checks())


@contextmanager
def pair(breaker: str = "off") -> Iterator[tuple[Sidecar, Server, Server]]:
    """A sidecar in front of two servers, both found healthy."""
    with Origin.running() as one, Origin.running() as two:
        servers = Server("one", one), Server("two", two)
        given = {"one": one.address, "two": two.address}
        with Sidecar.running(written(CONFIG, breaker), **given) as sidecar:
            for server in servers:
                checked(sidecar, server)
            yield sidecar, *servers


def checked(sidecar: Sidecar, server: Server, healthy: bool = True) -> None:
    """Its checks have found it so."""
    at = server.origin.address
    eventually(
        lambda: (
            sidecar.samples("meshproxy_endpoint_healthy", endpoint=at) == [float(healthy)]
            and shown(sidecar, at).get("health", {}).get("checked")
        ),
        what=f"healthy: {healthy}",
    )


def shown(sidecar: Sidecar, address: str) -> dict[str, Any]:
    """What /clusters says of an endpoint."""
    clusters: Any = sidecar.admin_json("/clusters")
    return next(
        endpoint
        for cluster in clusters
        for endpoint in cluster["endpoints"]
        if endpoint["address"] == address
    )


def ask(sidecar: Sidecar) -> Message:
    return fetch(sidecar.outbound, "/", headers={"Host": "pair"})


def answers(sidecar: Sidecar, times: int = 10) -> set[bytes]:
    return {ask(sidecar).body for _ in range(times)}


def test_a_server_that_fails_its_checks_gets_no_requests_until_it_is_back() -> None:
    with pair() as (sidecar, one, two):
        assert answers(sidecar) == {b"one", b"two"}
        one.health = 503
        checked(sidecar, one, healthy=False)
        assert answers(sidecar) == {b"two"}
        one.health = 204
        checked(sidecar, one)
        eventually(lambda: b"one" in answers(sidecar, 2), what="its return")
        assert two.served()
        labels = {"endpoint": one.origin.address, "upstream": "pair"}
        assert sidecar.total("meshproxy_health_checks_total", result="status", **labels) >= 3
        assert sidecar.total("meshproxy_health_checks_total", result="success", **labels) >= 2
        said = [line["healthy"] for line in sidecar.log_lines() if line["event"] == "health"]
        assert said == [False, True]


def test_checks_have_connections_of_their_own_and_count_as_no_traffic() -> None:
    with pair() as (sidecar, one, _):
        eventually(lambda: len(one.checks()) >= 3, what="three checks")
        seen = one.checks()[:3]
        assert len({check.connection for check in seen}) == 3
        assert seen[0].get("host") == one.origin.address
        assert sidecar.total("meshproxy_upstream_attempts_total") == 0
        assert sidecar.total("meshproxy_requests_total") == 0


def test_where_all_fail_their_checks_callers_are_refused_at_once_and_told_why() -> None:
    with pair() as (sidecar, one, two):
        one.health = two.health = 500
        for server in (one, two):
            checked(sidecar, server, healthy=False)
        refused = ask(sidecar)
        assert (refused.status, refused.get("x-meshproxy-reason")) == (503, "UH")
        assert b"all 2 endpoints of pair fail" in refused.body
        assert (one.served(), two.served()) == (0, 0)


def test_in_panic_all_are_used_though_they_fail_their_checks() -> None:
    with pair("{panic: 60%}") as (sidecar, one, two):
        one.health = 500
        checked(sidecar, one, healthy=False)
        assert answers(sidecar) == {b"one", b"two"}
        (cluster,) = [each for each in _clusters(sidecar) if each["name"] == "pair"]
        assert cluster["panic"] is True
        assert sidecar.samples("meshproxy_upstream_panic", upstream="pair") == [1.0]
        one.health = 200
        checked(sidecar, one)
        assert sidecar.samples("meshproxy_upstream_panic", upstream="pair") == [0.0]
        assert sidecar.samples("meshproxy_upstream_panics_total", upstream="pair") == [1.0]
        assert two.served()


def _clusters(sidecar: Sidecar) -> list[dict[str, Any]]:
    found: Any = sidecar.admin_json("/clusters")
    return list(found)


def test_a_good_check_lets_an_open_circuit_be_probed_long_before_its_time() -> None:
    breaker = "{consecutive_failures: 3, open_for: 60s, max_open_for: 60s, close_after: 1}"
    with pair(breaker) as (sidecar, one, _):
        at = one.origin.address
        one.status = one.health = 500
        eventually(lambda: ask(sidecar) and shown(sidecar, at)["circuit"] == "open", what="open")
        one.status = one.health = 200
        eventually(lambda: b"one" in answers(sidecar, 2), what="a probe")
        assert shown(sidecar, at)["circuit"] == "closed"


def test_a_reload_keeps_verdicts_takes_new_intervals_and_stops_what_is_gone() -> None:
    with pair() as (sidecar, one, two):
        one.health = 503
        checked(sidecar, one, healthy=False)
        sidecar.write(written(CONFIG, interval="1h"))
        assert sidecar.reload().status == 200
        assert sidecar.samples("meshproxy_endpoint_healthy", endpoint=one.origin.address) == [0.0]
        assert answers(sidecar) == {b"two"}
        sidecar.write(written(CONFIG).replace("<one>, ", ""))
        assert sidecar.reload().status == 200
        seen = len(one.origin.conversations)
        before = len(two.checks())
        eventually(lambda: len(two.checks()) >= before + 4, what="checks at the new interval")
        assert len(one.origin.conversations) == seen
        assert sidecar.samples("meshproxy_endpoint_healthy", endpoint=one.origin.address) == []


def test_checks_that_are_switched_off_leave_nobody_out() -> None:
    with pair() as (sidecar, one, _):
        one.health = 503
        checked(sidecar, one, healthy=False)
        lines = [line for line in CONFIG.splitlines() if "health_check" not in line]
        sidecar.write(written("\n".join(lines)))
        assert sidecar.reload().status == 200
        assert answers(sidecar) == {b"one", b"two"}


def test_the_health_of_the_app_is_part_of_readiness() -> None:
    with Origin.running() as origin:
        app = Server("app", origin)
        with Sidecar.running(written(APP), app=origin.address) as sidecar:
            assert fetch(sidecar.inbound, "/").body == b"app"
            app.health = 500
            eventually(lambda: sidecar.probe("/readyz").status == 503, what="not ready")
            assert b"status 500" in sidecar.probe("/readyz").body
            assert sidecar.probe("/livez").status == 200
            refused = fetch(sidecar.inbound, "/")
            assert (refused.status, refused.get("x-meshproxy-reason")) == (503, "UH")
            app.health = 200
            eventually(lambda: sidecar.probe("/readyz").status == 200, what="ready again")
            assert fetch(sidecar.inbound, "/").body == b"app"
