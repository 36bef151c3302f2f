"""Who a request is from: what strangers say of it is dropped or refused, what friends say is kept.

A stranger is any peer that `trust.forwarded_from` does not name. Contract: section 9110 7.6.1 for
nominations; T25 and T26 for the rest.
"""

from __future__ import annotations

import pytest

from tests.conformance.stage import FRIEND, STRANGER, Sidecar, Talk
from tests.e2e.harness.message import Message

FILE = """
inbound:
  app: http://127.0.0.1:8080
  rate_limits:
    - limit: 1000/s
      per: [header:x-client-id]
      tiers: {header: x-tier, premium: {limit: 2000/s}}
  routes:
    - {name: by-address, match: /by-address, rate_limits: [{limit: 1/h, burst: 1, per: [ip]}]}
    - {name: tenant, match: {headers: {x-tenant: premium}}}
trust: {forwarded_from: [192.0.2.0/24], hops: 1}
tracing: {propagate: [tracecontext, b3, b3multi]}
"""
TRACE = "00-11111111111111111111111111111111-2222222222222222-01"
ID = "7b6f3d0e-0000-4000-8000-000000000001"


@pytest.fixture
def stranger() -> Sidecar:
    return Sidecar(FILE, STRANGER)


@pytest.fixture
def friend() -> Sidecar:
    return Sidecar(FILE, FRIEND)


def ask(sidecar: Sidecar, *lines: str, target: str = "/") -> Talk:
    head = "".join(f"{line}\r\n" for line in (f"GET {target} HTTP/1.1", "Host: shop", *lines, ""))
    return sidecar.converse([head.encode()])


def sent(sidecar: Sidecar, *lines: str) -> Message:
    """The request as it went on to the app."""
    (request,) = ask(sidecar, *lines).requests
    return request


def is_refused(talk: Talk) -> bool:
    return talk.answers[0].status == 400 and talk.closed and not talk.dialled


# ---- where it came from


def test_a_stranger_is_who_it_is(stranger: Sidecar) -> None:
    seen = sent(
        stranger,
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: bank",
        "x-forwarded-for: 10.0.0.2",
    )
    assert seen.all("x-forwarded-for") == [STRANGER]
    assert seen.all("x-forwarded-proto") == ["http"]
    assert seen.all("x-forwarded-host") == ["shop"]


def test_a_friend_is_added_to_what_it_says(friend: Sidecar) -> None:
    seen = sent(
        friend,
        "X-Forwarded-For: 203.0.113.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: bank",
        "X-Forwarded-For: 203.0.113.8",
    )
    assert seen.all("x-forwarded-for") == [f"203.0.113.7, 203.0.113.8, {FRIEND}"]
    assert seen.all("x-forwarded-proto") == ["https"]
    assert seen.all("x-forwarded-host") == ["bank"]


def test_a_friend_that_says_nothing_is_who_it_is(friend: Sidecar) -> None:
    assert sent(friend).all("x-forwarded-for") == [FRIEND]


OTHER_NAMES = [
    "Forwarded: for=10.0.0.1;host=bank;proto=https",
    "X-Real-IP: 10.0.0.1",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Prefix: /admin",
    "X-Forwarded-Ssl: on",
    "X-Forwarded-Server: bank",
]


@pytest.mark.parametrize("line", OTHER_NAMES)
def test_a_stranger_speaks_for_nobody_by_other_names(line: str, stranger: Sidecar) -> None:
    assert sent(stranger, line).all(line.partition(":")[0]) == []


@pytest.mark.parametrize("line", OTHER_NAMES)
def test_a_friend_may_use_other_names(line: str, friend: Sidecar) -> None:
    name, _, value = line.partition(": ")
    assert sent(friend, line).all(name) == [value]


def test_strangers_are_limited_by_their_own_address(stranger: Sidecar) -> None:
    lies = [f"X-Forwarded-For: 198.51.100.{n}" for n in range(5)]
    told = [ask(stranger, lie, target="/by-address").answers[0].status for lie in lies]
    assert told == [200, 429, 429, 429, 429]


def test_clients_behind_a_friend_are_limited_by_theirs(friend: Sidecar) -> None:
    def asks(*entries: str) -> int:
        line = f"X-Forwarded-For: {', '.join(entries)}"
        return ask(friend, line, target="/by-address").answers[0].status

    assert [asks("198.51.100.1"), asks("198.51.100.1"), asks("198.51.100.2")] == [200, 429, 200]
    # What stands further left was said by the client: it is no other one for that.
    assert [asks("9.9.9.9", "198.51.100.2"), asks("8.8.8.8", "198.51.100.3")] == [429, 200]


# ---- names of our own


@pytest.mark.parametrize("peer", [STRANGER, FRIEND])
def test_nobody_speaks_in_our_name(peer: str) -> None:
    lines = ["X-Meshproxy-Attempt: 9", "x-meshproxy-Reason: RL", "X-MESHPROXY-TIMEOUT: 1"]
    seen = sent(Sidecar(FILE, peer), *lines)
    ours = [pair for pair in seen.fields if pair[0].lower().startswith(b"x-meshproxy-")]
    assert ours == [(b"x-meshproxy-attempt", b"1")]


IMITATIONS = [
    "X_Forwarded_For", "X-Forwarded_For", "X_Request_Id", "X_Meshproxy_Attempt", "X_Client_Id",
    "X-Client_Id", "X_Tier", "x_tenant", "X_B3_TraceId", "Content_Length", "Transfer_Encoding",
    "Proxy_Authorization", "Keep_Alive", "Max_Forwards", "HTTP2_Settings",
]  # fmt: skip


@pytest.mark.parametrize("name", IMITATIONS)
@pytest.mark.parametrize("peer", [STRANGER, FRIEND])
def test_an_imitation_with_underscores_is_refused(name: str, peer: str) -> None:
    assert is_refused(ask(Sidecar(FILE, peer), f"{name}: 1"))


def test_underscores_in_other_names_are_nobodys_business(stranger: Sidecar) -> None:
    assert sent(stranger, "my_field: 1").all("my_field") == ["1"]


# ---- nominations


FRAMING = ["Host", "Content-Length", "Transfer-Encoding"]
PROTECTED = [
    "Via", "X-Forwarded-For", "X-Forwarded-Proto",
    "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "X-Request-Id", "Authorization",
    "traceparent", "tracestate", "b3",
]  # fmt: skip
READ_BY_POLICIES = [
    "X-Client-Id",
    "X-Tier",
    "X-Tenant",
    "X-B3-TraceId",
    "X-B3-Sampled",
    "X-Real-IP",
]


@pytest.mark.parametrize("name", FRAMING + PROTECTED)
@pytest.mark.parametrize("peer", [STRANGER, FRIEND])
def test_naming_a_protected_field_is_refused(name: str, peer: str) -> None:
    assert is_refused(ask(Sidecar(FILE, peer), f"Connection: close, {name.lower()}"))


@pytest.mark.parametrize("name", PROTECTED)
def test_naming_a_protected_field_that_came_is_refused(name: str, stranger: Sidecar) -> None:
    assert is_refused(ask(stranger, f"{name}: 1", f"Connection: {name.upper()}"))


@pytest.mark.parametrize("name", READ_BY_POLICIES)
def test_naming_a_field_that_rules_are_read_from_is_refused(name: str, stranger: Sidecar) -> None:
    assert is_refused(ask(stranger, f"{name}: 1", f"Connection: {name}"))


def test_a_nominated_field_of_no_meaning_is_dropped(stranger: Sidecar) -> None:
    seen = sent(stranger, "X-Once: 1", "Connection: x-once, keep-alive", "X-Kept: 2")
    assert (seen.all("x-once"), seen.all("x-kept"), seen.all("connection")) == ([], ["2"], [])


# ---- what identifies a request and its sender


@pytest.mark.parametrize("peer", [STRANGER, FRIEND])
def test_an_id_that_came_is_kept_and_told(peer: str) -> None:
    talk = ask(Sidecar(FILE, peer), f"X-Request-Id: {ID}")
    assert talk.requests[0].all("x-request-id") == [ID]
    assert talk.answers[0].get("x-request-id") == ID


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Request-Id:"],
        ["X-Request-Id: two words"],
        ["X-Request-Id: " + "a" * 129],
        ["X-Request-Id: \xe4"],
        ["X-Request-Id: a", "X-Request-Id: b"],
    ],
)
def test_an_id_that_is_none_is_replaced(lines: list[str], stranger: Sidecar) -> None:
    (value,) = sent(stranger, *lines).all("x-request-id")
    assert len(value) == 36


def test_a_trace_goes_on_under_a_span_of_our_own(stranger: Sidecar) -> None:
    seen = sent(stranger, f"traceparent: {TRACE}", "tracestate: a=1")
    (parent,) = seen.all("traceparent")
    assert parent.split("-")[1] == TRACE.split("-")[1]
    assert parent.split("-")[2] != TRACE.split("-")[2]
    assert seen.all("tracestate") == ["a=1"]


@pytest.mark.parametrize(
    "lines",
    [
        ["traceparent: x"],
        ["traceparent: " + TRACE.replace("1", "0")],
        ["traceparent: " + TRACE.upper().replace("1", "A")],
        [f"traceparent: {TRACE}", f"traceparent: {TRACE}"],
        [f"traceparent: {TRACE}-extra"],
    ],
)
def test_a_broken_trace_is_begun_anew_without_its_state(
    lines: list[str], stranger: Sidecar
) -> None:
    seen = sent(stranger, *lines, "tracestate: a=1")
    (parent,) = seen.all("traceparent")
    assert parent.split("-")[1] != TRACE.split("-")[1]
    assert len(parent) == 55
    assert seen.all("tracestate") == []


def test_no_second_trace_is_left_beside_ours(stranger: Sidecar) -> None:
    lines = [f"b3: {'3' * 32}-{'4' * 16}-1", f"X-B3-TraceId: {'5' * 32}", "X-B3-Flags: 1"]
    seen = sent(stranger, f"traceparent: {TRACE}", *lines)
    (single,) = seen.all("b3")
    ids = {single.split("-")[0], *seen.all("x-b3-traceid"), seen.all("traceparent")[0][3:35]}
    assert ids == {"1" * 32}


def test_fields_that_limits_are_read_from_go_on_as_they_came(stranger: Sidecar) -> None:
    seen = sent(stranger, "X-Client-Id: 7", "X-Tier: premium", "X-Tenant: premium")
    assert (seen.all("x-client-id"), seen.all("x-tier")) == (["7"], ["premium"])
    assert seen.all("x-tenant") == ["premium"]
