"""Attempts beside an exchange: who wins, who is dropped, and that the client hears one answer."""

from __future__ import annotations

import pytest

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Route
from meshproxy.core.verdict import Failure, Refusal, Served
from tests.fakes import Stage

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"


class Hedge:
    """A second attempt after a second, as long as `grants` says so."""

    def __init__(self, grants: bool = True) -> None:
        self.grants = grants
        self.settled: list[tuple[str, str]] = []

    def hedge(self, exchange: Exchange, now: float) -> float:
        return 1.0

    def rival(self, exchange: Exchange, now: float) -> bool:
        return self.grants

    def settle(self, exchange: Exchange, now: float) -> None:
        assert exchange.endpoint is not None
        outcome = exchange.failure.condition if exchange.failure else str(exchange.status)
        self.settled.append((exchange.endpoint.host, outcome))


class Race:
    """A client, a slow first attempt and a rival beside it."""

    def __init__(self, grants: bool = True, endpoints: int = 2, connect: bool = True) -> None:
        self.hedge = Hedge(grants)
        self.stage = Stage([self.hedge], endpoints=endpoints, timeout=20.0)
        self.client = self.stage.client()
        self.client.says(GET)
        self.first = self.stage.connect()
        self.stage.time.pass_by(1.1)
        if connect and self.stage.dials:
            self.second = self.stage.connect()

    def at_rest(self) -> bool:
        stage = self.stage
        return stage.counts.in_flight == 0 and not any(one.load for one in stage.endpoints)


def test_the_rival_that_answers_first_is_the_answer() -> None:
    race = Race()
    assert race.second.take().startswith(b"GET / HTTP/1.1\r\n")
    race.stage.answer(race.second, OK)
    assert race.client.hears().endswith(b"\r\n\r\nok")
    assert race.first.aborted
    assert not race.second.closed
    assert race.hedge.settled == [("10.0.0.2", "200"), ("10.0.0.1", "outrun")]
    assert race.at_rest()
    (exchange,) = race.stage.logged
    assert exchange.attempts == 2
    assert exchange.endpoint is race.stage.endpoints[1]


def test_the_first_that_answers_first_drops_its_rival() -> None:
    race = Race()
    race.stage.answer(race.first, OK)
    assert race.client.hears().endswith(b"\r\n\r\nok")
    assert race.second.aborted
    assert race.at_rest()
    assert len(race.stage.logged) == 1


def test_a_body_that_comes_later_comes_from_who_won() -> None:
    race = Race()
    race.stage.answer(race.second, OK[:-1])
    race.stage.answer(race.second, b"k")
    assert race.client.hears().endswith(b"\r\n\r\nok")
    assert race.at_rest()


def test_a_rival_that_fails_leaves_the_first_alone() -> None:
    race = Race()
    race.stage.answer(race.second, BAD)
    assert race.client.hears() == b""
    race.stage.answer(race.first, OK)
    assert race.client.hears().endswith(b"ok")
    assert race.at_rest()


def test_when_the_first_fails_its_rival_carries_on() -> None:
    race = Race()
    race.stage.hang_up(race.first, ConnectionResetError())
    assert race.client.hears() == b""
    race.stage.answer(race.second, OK)
    assert race.client.hears().endswith(b"ok")
    assert race.at_rest()


def test_a_rival_whose_connection_is_not_there_yet_carries_on_too() -> None:
    race = Race(connect=False)
    race.stage.answer(race.first, BAD)
    assert race.client.hears() == b""
    race.stage.answer(race.stage.connect(), OK)
    assert race.client.hears().endswith(b"ok")
    assert race.at_rest()


def test_when_both_fail_the_client_is_told() -> None:
    race = Race()
    race.stage.hang_up(race.first, ConnectionResetError())
    race.stage.answer(race.second, BAD)
    assert race.client.hears().startswith(b"HTTP/1.1 503 No\r\n")
    assert race.at_rest()


def test_a_client_that_leaves_takes_both_along() -> None:
    race = Race()
    race.client.leaves()
    assert race.first.aborted
    assert race.second.aborted
    assert race.at_rest()
    assert [one.flags for one in race.stage.logged] == ["DC"]


def test_time_that_is_over_is_over_for_both() -> None:
    race = Race()
    race.stage.time.pass_by(25.0)
    assert race.client.hears().startswith(b"HTTP/1.1 504 ")
    assert race.first.aborted
    assert race.second.aborted
    assert race.at_rest()


@pytest.mark.parametrize(("grants", "endpoints"), [(False, 2), (True, 1)])
def test_no_rival_without_leave_or_without_another_endpoint(grants: bool, endpoints: int) -> None:
    race = Race(grants, endpoints)
    assert len(race.stage.connections) == 1
    race.stage.answer(race.first, OK)
    assert race.at_rest()


def test_an_answer_before_the_time_needs_no_rival() -> None:
    stage = Stage([Hedge()], endpoints=2)
    client = stage.client()
    client.says(GET)
    stage.answer(stage.connect(), OK)
    stage.time.pass_by(5.0)
    assert stage.dials == []
    assert client.hears().endswith(b"ok")


class Cache:
    """Serves what it has, and asks again for it; keeps what it is given."""

    def __init__(self) -> None:
        self.has = False
        self.kept: list[bytes] = []
        self.ends: list[str] = []

    def admit(self, exchange: Exchange, now: float) -> Served | None:
        return (
            Served(200, b"age: 5\r\n", b"old", refresh=b'if-none-match: "a"\r\n')
            if self.has
            else None
        )

    def keep(self, exchange: Exchange, head: object, now: float) -> Cache:
        return self

    def piece(self, data: bytes) -> None:
        self.kept.append(data)

    def done(self, now: float) -> None:
        self.ends.append("done")

    def dropped(self, now: float) -> None:
        self.ends.append("dropped")


def test_what_goes_to_the_client_is_copied() -> None:
    cache = Cache()
    stage = Stage([cache])
    stage.client().says(GET)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    stage.answer(up, b"2\r\nde\r\n0\r\n\r\n")
    assert b"".join(cache.kept) == b"abcde"
    assert cache.ends == ["done"]


@pytest.mark.parametrize("whole", [True, False])
def test_an_answer_until_the_end_is_kept_only_if_that_was_in_order(whole: bool) -> None:
    cache = Cache()
    stage = Stage([cache])
    stage.client().says(GET)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\n\r\nabc")
    stage.hang_up(up, None if whole else ConnectionResetError())
    assert cache.ends == ["done" if whole else "dropped"]


def test_a_served_answer_is_one_that_nobody_else_gave() -> None:
    cache = Cache()
    cache.has = True
    stage = Stage([cache])
    client = stage.client()
    client.says(GET.replace(b"\r\n\r\n", b'\r\nIf-None-Match: "mine"\r\nRange: bytes=0-1\r\n\r\n'))
    told = client.hears()
    assert told.startswith(b"HTTP/1.1 200 OK\r\nage: 5\r\n")
    assert told.endswith(b"content-length: 3\r\n\r\nold")
    up = stage.connect()
    asked = up.take()
    assert b'if-none-match: "a"\r\n' in asked
    assert b"mine" not in asked
    assert b"Range" not in asked
    stage.answer(up, OK)
    assert client.hears() == b""
    assert cache.kept == [b"ok"]
    assert len(stage.logged) == 1
    assert stage.counts.in_flight == stage.endpoints[0].load == 0


class Help:
    """Something instead of a failure."""

    def __init__(self, found: Served | Route) -> None:
        self.found = found
        self.asked: list[Refusal | None] = []

    def rescue(self, exchange: Exchange, refusal: Refusal | None, now: float) -> Served | Route:
        self.asked.append(refusal)
        return self.found


def test_an_answer_from_the_file_stands_in_for_a_failure() -> None:
    policy = Help(Served(200, b"x-fallback: static\r\n", b"[]"))
    stage = Stage([policy])
    client = stage.client()
    client.says(GET)
    stage.refuse(Failure.CONNECT)
    told = client.hears()
    assert told.startswith(b"HTTP/1.1 200 OK\r\nx-fallback: static\r\n")
    assert stage.logged[0].flags == "UF"
    assert policy.asked[0] is not None
    assert policy.asked[0].reason == "UF"


def test_an_answer_that_failed_is_replaced_too() -> None:
    policy = Help(Served(200, b"", b"[]"))
    stage = Stage([policy])
    client = stage.client()
    client.says(GET)
    stage.answer(stage.connect(), BAD)
    assert client.hears().endswith(b"[]")
    assert policy.asked == [None]


def test_another_route_takes_over_once() -> None:
    other = Stage(endpoints=2)
    policy = Help(other.route)
    stage = Stage([policy], timeout=1.0)
    client = stage.client()
    client.says(GET)
    stage.pool._dial = lambda upstream, seconds: other.dials.append(upstream)
    stage.time.pass_by(1.1)
    up = other.dials.pop(0)
    assert up.endpoint.host == "10.0.0.1"
    stage.pool.dialled(up, Failure.CONNECT)
    assert client.hears().startswith(b"HTTP/1.1 503 ")
    assert stage.counts.in_flight == other.counts.in_flight == 0
    assert len(policy.asked) == 1
