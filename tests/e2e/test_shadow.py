"""A rate limit is tried out on real traffic: nobody is refused, and the count is the real one."""

from __future__ import annotations

from .harness import Origin, Sidecar, eventually, fetch

LIMITS = """
      rate_limits:
        - {name: all, limit: 7/h, mode: <<mode>>}
        - {name: each, limit: 3/h, per: [header:x-client-id], mode: <<mode>>}
"""
CONFIG = f"""
inbound:
  listen: <inbound>
  app: http://<app>
  routes:
    - match: GET /tried{LIMITS.replace("<<mode>>", "shadow")}
    - match: GET /forced{LIMITS.replace("<<mode>>", "enforce")}
    - match: GET /off{LIMITS.replace("<<mode>>", "off")}
"""
WHO = "aaaabbbbccccabcabc"


def ask_all(sidecar: Sidecar, target: str) -> list[int]:
    return [fetch(sidecar.inbound, target, headers={"X-Client-Id": who}).status for who in WHO]


def counted(sidecar: Sidecar, family: str, target: str) -> list[float]:
    route = f"GET {target}"
    return [sidecar.total(family, route=route, limit=limit) for limit in ("all", "each")]


def test_shadow_counts_what_enforce_refuses_and_refuses_nobody(
    sidecar: Sidecar, origin: Origin
) -> None:
    tried, forced = ask_all(sidecar, "/tried"), ask_all(sidecar, "/forced")
    assert tried == [200] * len(WHO)
    would = counted(sidecar, "meshproxy_shadow_total", "/tried")
    assert would == counted(sidecar, "meshproxy_rate_limited_total", "/forced")
    assert sum(would) == forced.count(429) > 0
    assert counted(sidecar, "meshproxy_rate_limited_total", "/tried") == [0, 0]


def test_shadow_leaves_no_mark_on_an_answer(sidecar: Sidecar, origin: Origin) -> None:
    ask_all(sidecar, "/tried")
    answer = fetch(sidecar.inbound, "/tried", headers={"X-Client-Id": "a"})
    plain = fetch(sidecar.inbound, "/off", headers={"X-Client-Id": "a"})
    assert answer.names == plain.names
    named = answer.get("x-request-id")

    def lines() -> list[object]:
        return [one.get("reason") for one in sidecar.log_lines() if one.get("request_id") == named]

    eventually(lambda: len(lines()) == 1, 5.0, "a log line")
    assert not lines()[0]


def test_off_counts_nothing(sidecar: Sidecar, origin: Origin) -> None:
    assert ask_all(sidecar, "/off") == [200] * len(WHO)
    for family in ("meshproxy_shadow_total", "meshproxy_rate_limited_total"):
        assert counted(sidecar, family, "/off") == [0, 0]


def test_the_admin_port_tells_them_apart(sidecar: Sidecar) -> None:
    told = sidecar.admin_json("/rate-limits")
    assert {one["mode"] for one in told} == {"shadow", "enforce"}
