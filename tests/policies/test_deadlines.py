"""A caller's deadline: who is believed, what it bounds, and what each attempt is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.route import Phases, Route
from meshproxy.core.verdict import Failure, Hold, Refusal
from meshproxy.dataplane.listener import own_block
from meshproxy.policies.contract import Scope
from meshproxy.policies.deadlines import Deadlines, DeadlinesSpec
from tests.fakes import Client, Stage

from .attempts import exchange_of, scope_of

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"


def built(scope: Scope | None = None, **settings: Any) -> Deadlines:
    policy = DeadlinesSpec.model_validate(settings).build(scope or scope_of("a"))
    assert policy is not None
    return policy


def outcomes(scope: Scope) -> dict[str, float]:
    samples = list(scope.draft.used["deadlines", "payments"].samples())
    assert {each.family for each in samples} <= {"meshproxy_deadlines_total"}
    return {dict(each.labels)["outcome"]: each.value for each in samples}


class Scene:
    """A stage with the policy on it, and its figures."""

    def __init__(
        self, *others: object, endpoints: int = 1, trusted: bool = True, **route: Any
    ) -> None:
        self.scope = scope_of("a")
        self.stage = Stage([built(self.scope), *others], endpoints=endpoints, **route)
        self.stage.listener.peer = Peer("127.0.0.1", trusted, own_block("127.0.0.1"))

    def asks(self, *fields: bytes, rest: bytes = b"", method: bytes = b"GET") -> Client:
        client = self.stage.client()
        lines = b"".join(field + b"\r\n" for field in fields)
        client.says(method + b" / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n" + rest)
        return client

    @property
    def outcomes(self) -> dict[str, float]:
        return outcomes(self.scope)


def told(request: bytes) -> dict[bytes, bytes]:
    """The fields that tell a time, as the upstream got them."""
    lines = (line.partition(b": ") for line in request.split(b"\r\n"))
    names = (b"x-request-deadline", b"x-envoy-expected-rq-timeout-ms", b"grpc-timeout")
    return {name: value for name, _, value in lines if name.lower() in names}


def test_the_time_that_is_left_goes_on_to_the_upstream() -> None:
    scene = Scene()
    scene.asks(b"X-Request-Deadline: 300")
    assert told(scene.stage.connect().take()) == {
        b"x-request-deadline": b"300",
        b"x-envoy-expected-rq-timeout-ms": b"300",
    }


def test_without_a_caller_s_word_the_route_s_own_time_is_told() -> None:
    scene = Scene(timeout=5.0)
    scene.asks()
    assert told(scene.stage.connect().take())[b"x-request-deadline"] == b"5000"


def test_a_route_without_a_timeout_tells_nothing() -> None:
    scene = Scene(timeout=0.0)
    scene.asks()
    assert told(scene.stage.connect().take()) == {}


def test_a_try_that_is_given_up_sooner_tells_the_shorter_time() -> None:
    scene = Scene(per_try_timeout=0.1)
    scene.asks(b"x-request-deadline: 300")
    assert told(scene.stage.connect().take())[b"x-request-deadline"] == b"100"


def test_a_caller_cannot_have_more_than_the_route_s_own_time() -> None:
    scene = Scene(timeout=1.0)
    client = scene.asks(b"x-request-deadline: 9000")
    assert told(scene.stage.connect().take())[b"x-request-deadline"] == b"1000"
    scene.stage.time.pass_by(1.1)
    assert client.hears().startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_the_call_ends_when_the_caller_s_time_is_over(method: bytes) -> None:
    scene = Scene()
    client = scene.asks(b"x-request-deadline: 300", b"Content-Length: 0", method=method)
    upstream = scene.stage.connect()
    scene.stage.time.pass_by(0.29)
    assert client.hears() == b""
    scene.stage.time.pass_by(0.03)
    answer = client.hears()
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"x-meshproxy-reason: UT\r\n" in answer
    assert upstream.aborted
    assert scene.outcomes == {"missed": 1.0}


class Judge:
    """Writes down how each attempt ended."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def settle(self, exchange: Exchange, now: float) -> None:
        self.seen.append(exchange.failure or exchange.status)


@pytest.mark.parametrize(
    ("deadline", "failure", "detail"),
    [(300, Failure.DEADLINE, b"the caller's deadline passed"), (9000, Failure.TIMEOUT, b"longer")],
)
def test_it_is_told_whose_time_was_over(deadline: int, failure: Failure, detail: bytes) -> None:
    judge = Judge()
    scene = Scene(judge, timeout=1.0)
    client = scene.asks(b"x-request-deadline: %d" % deadline)
    scene.stage.connect()
    scene.stage.time.pass_by(1.1)
    assert judge.seen == [failure]
    assert detail in client.hears()


def test_the_time_runs_from_the_head_and_not_from_the_end_of_the_body() -> None:
    scene = Scene()
    client = scene.asks(b"x-request-deadline: 300", b"Content-Length: 2", method=b"POST")
    scene.stage.connect()
    scene.stage.time.pass_by(0.2)
    client.says(b"ab")
    scene.stage.time.pass_by(0.12)
    assert client.hears().startswith(b"HTTP/1.1 504 ")


def test_an_answer_in_time_meets_it() -> None:
    scene = Scene()
    client = scene.asks(b"grpc-timeout: 300m")
    scene.stage.answer(scene.stage.connect(), OK)
    scene.stage.time.pass_by(1.0)
    assert client.hears().endswith(b"ok")
    assert scene.outcomes == {"met": 1.0}


def test_the_least_of_several_counts() -> None:
    scene = Scene()
    scene.asks(b"x-request-deadline: 300", b"x-envoy-expected-rq-timeout-ms: 200")
    assert told(scene.stage.connect().take()) == {
        b"x-request-deadline": b"200",
        b"x-envoy-expected-rq-timeout-ms": b"200",
    }


def test_grpc_s_own_field_is_told_again_to_who_used_it() -> None:
    scene = Scene()
    scene.asks(b"grpc-timeout: 1S")
    assert told(scene.stage.connect().take()) == {
        b"x-request-deadline": b"1000",
        b"x-envoy-expected-rq-timeout-ms": b"1000",
        b"grpc-timeout": b"1000m",
    }


def test_an_untrusted_caller_is_not_believed_and_nobody_hears_of_it() -> None:
    scene = Scene(trusted=False)
    client = scene.asks(b"X-Request-Deadline: 100", b"grpc-timeout: 100m")
    upstream = scene.stage.connect()
    assert told(upstream.take()) == {
        b"x-request-deadline": b"15000",
        b"x-envoy-expected-rq-timeout-ms": b"15000",
    }
    scene.stage.time.pass_by(1.0)
    scene.stage.answer(upstream, OK)
    assert client.hears().endswith(b"ok")
    assert scene.outcomes == {}


def test_what_cannot_be_read_is_dropped_and_counted() -> None:
    scene = Scene()
    scene.asks(b"x-request-deadline: tomorrow")
    assert told(scene.stage.connect().take())[b"x-request-deadline"] == b"15000"
    assert scene.outcomes == {"unreadable": 1.0}


@pytest.mark.parametrize("value", [b"0", b"-5", b"0.5"])
def test_a_call_that_comes_too_late_is_not_sent(value: bytes) -> None:
    scene = Scene()
    client = scene.asks(b"x-request-deadline: " + value)
    answer = client.hears()
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"x-meshproxy-reason: UT\r\n" in answer
    assert b"outbound.defaults (mesh.yaml:7)" in answer
    assert scene.stage.dials == []
    assert scene.outcomes == {"unsent": 1.0}


class Queue:
    """Holds everyone, and lets them go when told to."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.held: list[Exchange] = []

    def admit(self, exchange: Exchange, now: float) -> Hold:
        self.held.append(exchange)
        return Hold(self.seconds)


def test_waiting_for_a_place_is_taken_off() -> None:
    scene = Scene(Queue(0.2))
    scene.asks(b"x-request-deadline: 300")
    scene.stage.time.pass_by(0.201)
    assert told(scene.stage.connect().take())[b"x-request-deadline"] in (b"99", b"100")


def test_time_that_runs_out_in_a_queue_ends_the_call_there() -> None:
    scene = Scene(Queue(5.0))
    client = scene.asks(b"x-request-deadline: 300")
    scene.stage.time.pass_by(0.32)
    assert client.hears().startswith(b"HTTP/1.1 504 ")
    assert scene.stage.dials == []
    assert scene.outcomes == {"unsent": 1.0}


def test_who_is_let_in_after_the_time_is_not_sent() -> None:
    queue = Queue(5.0)
    scene = Scene(queue)
    client = scene.asks(b"x-request-deadline: 300")
    scene.stage.time.now += 0.305  # before the timer has looked
    (exchange,) = queue.held
    assert exchange.wake is not None
    exchange.wake(scene.stage.time.now)
    assert client.hears().startswith(b"HTTP/1.1 504 ")
    assert scene.stage.dials == []
    assert scene.outcomes == {"unsent": 1.0}


class Again:
    """Another try after so many seconds, whatever happened."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def retry(self, exchange: Exchange, now: float) -> float:
        return self.seconds


def test_earlier_attempts_and_waits_are_taken_off_each_time() -> None:
    scene = Scene(Again(0.05))
    client = scene.asks(b"x-request-deadline: 300")
    upstream = scene.stage.connect()
    seen = []
    for _ in range(3):
        seen.append(int(told(upstream.take())[b"x-request-deadline"]))
        scene.stage.time.pass_by(0.04)
        scene.stage.answer(upstream, BAD)
        scene.stage.time.pass_by(0.05)
    assert seen == [300, 210, 120]
    assert told(upstream.take()) == {
        b"x-request-deadline": b"30",
        b"x-envoy-expected-rq-timeout-ms": b"30",
    }
    # The next wait would end after the deadline: what failed is the answer.
    scene.stage.answer(upstream, BAD)
    assert client.hears().startswith(b"HTTP/1.1 503 ")
    assert upstream.take() == b""


class Twice:
    """A second attempt beside the first, after 100 ms."""

    def hedge(self, exchange: Exchange, now: float) -> float:
        return 0.1

    def rival(self, exchange: Exchange, now: float) -> bool:
        return True


def test_a_second_attempt_beside_the_first_is_told_what_is_left() -> None:
    scene = Scene(Twice(), endpoints=2)
    client = scene.asks(b"x-request-deadline: 300")
    assert told(scene.stage.connect().take())[b"x-request-deadline"] == b"300"
    scene.stage.time.pass_by(0.12)
    left = int(told(scene.stage.connect().take())[b"x-request-deadline"])
    assert 180 <= left <= 200
    scene.stage.time.pass_by(0.2)
    assert client.hears().startswith(b"HTTP/1.1 504 ")


class Elsewhere:
    """Another route instead of a failure."""

    def __init__(self, route: Route) -> None:
        self.route = route

    def rescue(self, exchange: Exchange, refusal: Refusal | None, now: float) -> Route:
        return self.route


def test_when_time_is_up_another_service_is_not_asked_either() -> None:
    other = Stage()
    scene = Scene(Elsewhere(other.route))
    client = scene.asks(b"x-request-deadline: 300")
    scene.stage.connect()
    scene.stage.time.pass_by(0.32)
    assert client.hears().startswith(b"HTTP/1.1 504 ")
    assert scene.stage.dials == []


def test_no_field_is_read_where_none_is_accepted() -> None:
    policy = built(accept=[])
    exchange = exchange_of(x_request_deadline="1")
    exchange.peer = Peer("127.0.0.1", trusted=True, forwarded=b"")
    assert policy.admit(exchange, 0.0) is None
    assert exchange.deadline == 0.0


def test_none_to_read_and_none_to_write_is_no_policy() -> None:
    assert DeadlinesSpec(accept=(), send=()).build(scope_of("a")) is None


def test_only_the_known_fields_can_be_named() -> None:
    with pytest.raises(ValidationError, match="x-request-deadline"):
        DeadlinesSpec.model_validate({"accept": ["x-timeout"]})


def test_figures_outlive_a_reload() -> None:
    scope = scope_of("a")
    first, second = built(scope), built(scope, send=[])
    exchange = exchange_of(x_request_deadline="0")
    exchange.peer = Peer("127.0.0.1", trusted=True, forwarded=b"")
    first.admit(exchange, 0.0)
    second.admit(exchange, 0.0)
    assert outcomes(scope) == {"unsent": 2.0}
    (cell,) = (cell for key, cell in scope.draft.used.items() if key[0] == "deadlines")
    assert cell.report(0.0) == {"upstream": "payments", "outcomes": {"unsent": 2}}


def test_phases_are_those_of_a_policy() -> None:
    policy = built()
    assert {name for name in Phases.__dataclass_fields__ if hasattr(policy, name)} == {
        "admit", "depart",
    }  # fmt: skip


def test_a_route_without_deadlines_passes_the_fields_on_as_they_are() -> None:
    scene = Scene()
    scene.asks(b"X-Other: 1", b"X-Request-Deadline: 300", b"grpc-timeout: 1S")
    request = scene.stage.connect().take()
    assert request.lower().count(b"x-request-deadline") == 1
    assert b"X-Other: 1\r\n" in request
    plain = Stage([SimpleNamespace(reads=built().reads)])
    plain.client().says(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Deadline: 300\r\n\r\n")
    assert b"\r\nX-Request-Deadline: 300\r\n" in plain.connect().take()


class Chain:
    """Sidecars in a row on clocks that go together; bytes take a millisecond from each to the next.

    What the last of them sends reaches an app that never answers.
    """

    def __init__(self, hops: int) -> None:
        self.scenes = [Scene() for _ in range(hops)]
        self.clients = [scene.stage.client() for scene in self.scenes]
        self.took = 0
        self.ended: dict[int, int] = {}
        self.asked: list[int] = []

    def tick(self) -> None:
        """A millisecond passes, and what was written before it arrives one hop further on."""
        self.took += 1
        for scene in self.scenes:
            scene.stage.time.pass_by(0.001)
        for index, scene in reversed(list(enumerate(self.scenes))):
            if scene.stage.dials:
                self.asked.append(int(told(self._connect(index))[b"x-request-deadline"]))
        for index, scene in enumerate(self.scenes):
            self._answer(index)
            if scene.stage.logged:
                self.ended.setdefault(index, self.took)

    def _connect(self, index: int) -> bytes:
        request = self.scenes[index].stage.connect().take()
        if index + 1 < len(self.clients):
            self.clients[index + 1].says(request)
        return request

    def _answer(self, index: int) -> None:
        connections = self.scenes[index].stage.connections
        if not connections or index + 1 == len(self.clients):
            return
        following = self.clients[index + 1]
        if connections[0].aborted and not following.transport.closed:
            following.leaves()
        elif answer := following.hears():
            self.scenes[index].stage.answer(connections[0], answer)


def test_three_hops_stop_within_twenty_milliseconds_of_the_deadline() -> None:
    chain = Chain(3)
    chain.clients[0].says(b"GET / HTTP/1.1\r\nHost: a\r\nx-request-deadline: 300\r\n\r\n")
    while chain.took < 1000 and len(chain.ended) < 3:
        chain.tick()
    assert chain.asked == [300, 300, 300]  # a sidecar adds no time of its own
    assert sorted(chain.ended) == [0, 1, 2]
    assert all(295 <= ended <= 320 for ended in chain.ended.values()), chain.ended
    assert chain.clients[0].hears().startswith(b"HTTP/1.1 504 ")
    assert chain.scenes[2].stage.connections[0].aborted
