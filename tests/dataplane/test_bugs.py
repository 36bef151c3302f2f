"""A policy that raises ends its own exchange, whatever the phase, and disturbs no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Endpoint
from meshproxy.core.verdict import Failure, Hold, Refusal, Served
from meshproxy.dataplane import requests
from tests.fakes import Client, Stage

GET = b"GET /a HTTP/1.1\r\nHost: app\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BAD = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"


class OddError(Exception):
    """What nobody expects."""


def oops(*_: object) -> Any:
    raise OddError


class Broken:
    """A policy with a bug in one phase, as long as it has one."""

    def __init__(self, phase: str) -> None:
        self.well = False
        self.normal: Any = {"eligible": True, "hedge": 0.0, "rival": True}.get(phase)
        setattr(self, phase, self._phase)

    def _phase(self, *_: object) -> Any:
        if self.well:
            return self.normal
        raise OddError


class Place:
    """Reserves one place of one, and refuses whoever finds it taken."""

    def __init__(self) -> None:
        self.taken = 0

    def admit(self, exchange: Exchange, now: float) -> Refusal | None:
        if self.taken:
            return Refusal(503, "UO", "full")
        self.taken += 1
        exchange.defer(self.release)
        return None

    def release(self, now: float) -> None:
        self.taken -= 1


class Scene(Stage):
    """A stage on which bugs are heard."""

    def __init__(self, policies: list[object], **more: Any) -> None:
        super().__init__(policies, **more)
        self.bugs: list[Exception] = []
        self.conductor.tell_bug = self.bugs.append

    def serves(self) -> None:
        """One more request goes well, on a connection of its own, and nothing is left of any."""
        client = self.client()
        client.says(GET)
        transport = self.connect() if self.dials else self.connections[-1]
        self.answer(transport, OK)
        assert client.hears().startswith(b"HTTP/1.1 200 ")
        self.time.pass_by(1.0)
        assert self.time.pending == 0
        assert self.counts.in_flight == 0
        assert [endpoint.load for endpoint in self.endpoints] == [0] * len(self.endpoints)


def refused(scene: Scene, client: Client) -> bytes:
    """It was told 500 in one whole answer, and the connection is over."""
    said = client.hears()
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n"), said
    assert b"x-meshproxy-reason: IE" in head
    assert b"connection: close" in head.lower()
    assert b"/debug/bugs" in body
    assert b"OddError" not in said
    assert said.count(b"HTTP/1.1") == 1
    assert client.transport.closed or client.transport.eof
    return head


@pytest.mark.parametrize("phase", ["admit", "eligible", "depart", "settle", "respond", "keep"])
def test_a_request_that_meets_a_bug_is_told_500(phase: str) -> None:
    broken, place = Broken(phase), Place()
    scene = Scene([place, broken])
    client = scene.client()
    client.says(GET)
    if scene.dials:
        scene.answer(scene.connect(), OK)
    refused(scene, client)
    assert [type(bug) for bug in scene.bugs] == [OddError] * (2 if phase == "respond" else 1)
    assert place.taken == 0
    (ended,) = scene.logged
    assert (ended.status, ended.flags) == (500, "IE")
    assert scene.counts.done == [ended]
    broken.well = True
    scene.serves()


@pytest.mark.parametrize("phase", ["settle", "retry", "rescue", "barred"])
def test_a_bug_after_a_failed_attempt_is_500_too(phase: str) -> None:
    place = Place()
    no_one = type("NoOne", (), {"eligible": lambda self, endpoint, now: self.well})()
    no_one.well = phase != "barred"
    broken = Broken(phase)
    scene = Scene([place, broken, no_one])
    client = scene.client()
    client.says(GET)
    if scene.dials:
        scene.refuse()
    refused(scene, client)
    assert (len(scene.bugs), place.taken) == (1, 0)
    broken.well = no_one.well = True
    scene.serves()


def test_a_failing_answer_that_meets_a_bug_is_not_passed_on() -> None:
    broken = Broken("retry")
    scene = Scene([broken])
    client = scene.client()
    client.says(GET)
    transport = scene.connect()
    scene.answer(transport, BAD)
    refused(scene, client)
    assert transport.aborted
    broken.well = True
    scene.serves()


def test_an_answer_that_has_begun_stays_incomplete() -> None:
    broken, place = Broken("broke"), Place()
    scene = Scene([place, broken])
    client = scene.client()
    client.says(GET)
    transport = scene.connect()
    scene.answer(transport, OK[:-1])
    scene.hang_up(transport)
    said = client.hears()
    assert said.startswith(b"HTTP/1.1 200 OK")
    assert said.count(b"HTTP/1.1") == 1
    assert client.transport.closed
    assert (len(scene.bugs), place.taken) == (1, 0)
    assert [ended.flags for ended in scene.logged] == ["IE"]
    broken.well = True
    scene.serves()


def test_an_answer_whose_middle_trips_a_bug_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene([])
    client = scene.client()
    client.says(GET)
    transport = scene.connect()
    scene.answer(transport, OK[:-1])
    monkeypatch.setattr("meshproxy.dataplane.upstream.Upstream._body_of", oops)
    scene.answer(transport, OK[-1:])
    assert client.hears().count(b"HTTP/1.1") == 1
    assert client.transport.closed
    assert transport.aborted
    assert [ended.flags for ended in scene.logged] == ["IE"]
    monkeypatch.undo()
    scene.serves()


class Leaves:
    """A release with a bug, among others that have none."""

    def __init__(self) -> None:
        self.released: list[int] = []

    def admit(self, exchange: Exchange, now: float) -> None:
        exchange.defer(lambda now: self.released.append(1))
        exchange.defer(oops)
        exchange.defer(lambda now: self.released.append(3))


def test_a_release_that_raises_keeps_nobody_from_releasing() -> None:
    leaves = Leaves()
    scene = Scene([leaves])
    client = scene.client()
    client.says(GET)
    scene.answer(scene.connect(), OK)
    assert client.hears().startswith(b"HTTP/1.1 200 ")
    assert (leaves.released, len(scene.bugs)) == ([1, 3], 1)
    assert (scene.counts.in_flight, len(scene.logged)) == (0, 1)


def test_a_log_that_raises_keeps_nobody_from_the_next_request() -> None:
    scene = Scene([])
    scene.conductor.record_by(oops)
    client = scene.client()
    for _ in range(2):
        client.says(GET)
        scene.answer(scene.connect() if scene.dials else scene.connections[-1], OK)
        assert client.hears().startswith(b"HTTP/1.1 200 ")
    assert (len(scene.bugs), scene.counts.in_flight) == (2, 0)


class Line:
    """One at a time; who is woken by the one before meets a bug when asked again."""

    def __init__(self) -> None:
        self.waiting: list[Exchange] = []
        self.busy = False

    def admit(self, exchange: Exchange, now: float) -> Hold | None:
        if exchange in self.waiting:
            self.waiting.remove(exchange)
            raise OddError
        if self.busy:
            self.waiting.append(exchange)
            return Hold(10.0, Refusal(503, "UO", "waited too long"), again=True)
        self.busy = True
        exchange.defer(self.leave)
        return None

    def leave(self, now: float) -> None:
        self.busy = False
        for each in tuple(self.waiting):
            if each.wake is not None:
                each.wake(now)


def test_a_bug_of_one_who_is_woken_is_not_taken_for_that_of_the_one_who_woke_it() -> None:
    scene = Scene([Line()])
    first, second = scene.client(), scene.client()
    first.says(GET)
    second.says(GET)
    scene.answer(scene.connect(), OK)
    assert first.hears().startswith(b"HTTP/1.1 200 ")
    refused(scene, second)
    assert [(each.status, each.flags) for each in scene.logged] == [(500, "IE"), (200, "")]


class Expires:
    def admit(self, exchange: Exchange, now: float) -> Hold:
        return Hold(0.5, Refusal(503, "UO", "waited too long"))

    def respond(self, exchange: Exchange, now: float) -> None:
        raise OddError


def test_a_bug_in_an_answer_after_a_wait_is_500_as_well() -> None:
    scene = Scene([Expires()])
    client = scene.client()
    client.says(GET)
    scene.time.pass_by(0.6)
    refused(scene, client)
    assert (len(scene.bugs), scene.counts.in_flight) == (2, 0)


def test_a_bug_in_what_is_due_does_not_keep_the_others_from_their_time() -> None:
    broken = Broken("rescue")
    scene = Scene([broken], timeout=1.0)
    clients = [scene.client() for _ in range(3)]
    for client in clients:
        client.says(GET)
    scene.time.pass_by(1.1)
    for client in clients:
        refused(scene, client)
    assert (len(scene.bugs), scene.counts.in_flight) == (3, 0)


def test_who_leaves_while_a_policy_has_a_bug_is_forgotten_all_the_same() -> None:
    scene = Scene([Broken("settle"), Place()])
    client = scene.client()
    client.says(GET)
    scene.connect()
    client.leaves()
    assert [(each.status, each.flags) for each in scene.logged] == [(499, "DC")]
    assert (len(scene.bugs), scene.counts.in_flight) == (1, 0)


def test_a_table_that_raises_is_a_request_without_a_route() -> None:
    scene = Scene([])
    scene.plan.table.match = oops  # type: ignore[method-assign]
    client = scene.client()
    client.says(GET)
    refused(scene, client)
    assert scene.logged[0].route is scene.plan.unmatched
    assert scene.counts.in_flight == 0


@pytest.mark.parametrize("where", ["read_request", "request_head"])
def test_a_head_that_trips_a_bug_is_told_so(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene([])
    monkeypatch.setattr(requests, where, oops)
    client = scene.client()
    client.says(GET)
    if scene.dials:
        scene.connect()
    refused(scene, client)
    monkeypatch.undo()
    scene.serves()


def test_a_body_that_trips_a_bug_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene([])
    client = scene.client()
    client.says(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
    transport = scene.connect()
    monkeypatch.setattr("meshproxy.dataplane.downstream.Downstream._body_of", oops)
    client.says(b"cd")
    assert client.hears().startswith(b"HTTP/1.1 500 ")
    assert transport.aborted
    assert client.transport.eof
    monkeypatch.undo()
    assert (len(scene.bugs), scene.counts.in_flight) == (1, 0)


class Kept:
    """A cache that serves at once, and has it renewed."""

    def admit(self, exchange: Exchange, now: float) -> Served:
        return Served(200, b"", b"kept", refresh=b"")


def test_a_bug_in_what_follows_an_answer_does_not_make_a_second_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene([Kept()])
    monkeypatch.setattr(scene.conductor.races.__class__, "refresh", oops)
    client = scene.client()
    client.says(GET)
    assert client.hears().count(b"HTTP/1.1") == 1
    assert (len(scene.bugs), scene.logged[0].flags) == (1, "")


class Hedged:
    """A second attempt after a tenth of a second, which has a bug."""

    def hedge(self, exchange: Exchange, now: float) -> float:
        return 0.1

    def depart(self, exchange: Exchange, now: float) -> None:
        if exchange.extras is not None and exchange.extras.leader is not None:
            raise OddError


def test_a_bug_of_a_second_attempt_leaves_the_first_alone() -> None:
    scene = Scene([Hedged()], endpoints=2)
    client = scene.client()
    client.says(GET)
    transport = scene.connect()
    scene.time.pass_by(0.2)
    assert len(scene.bugs) == 1
    scene.answer(transport, OK)
    assert client.hears().startswith(b"HTTP/1.1 200 ")
    assert [endpoint.load for endpoint in scene.endpoints] == [0, 0]
    assert (scene.counts.in_flight, len(scene.logged)) == (0, 1)


def test_of_two_attempts_the_second_still_can_win_when_the_first_meets_a_bug() -> None:
    """The other way round: the leader's bug ends both."""
    broken: Callable[[Exchange, float], None] = oops
    policy = type("Odd", (), {"hedge": Hedged.hedge, "settle": staticmethod(broken)})()
    scene = Scene([policy], endpoints=2)
    client = scene.client()
    client.says(GET)
    first = scene.connect()
    scene.time.pass_by(0.2)
    second = scene.connect()
    scene.answer(first, OK)
    refused(scene, client)
    assert second.aborted
    assert [endpoint.load for endpoint in scene.endpoints] == [0, 0]
    assert scene.counts.in_flight == 0


def test_a_bug_is_nothing_that_an_upstream_is_to_blame_for() -> None:
    assert not Failure.BUG.upstream_fault


def test_an_endpoint_keeps_no_trace_of_it() -> None:
    scene = Scene([Broken("depart")])
    for _ in range(5):
        client = scene.client()
        client.says(GET)
        refused(scene, client)
    endpoint: Endpoint = scene.endpoints[0]
    assert (endpoint.load, endpoint.dials, len(endpoint.waiters)) == (0, 0, 0)
