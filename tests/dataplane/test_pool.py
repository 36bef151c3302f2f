"""Which connection is used, how long an idle one stays, and who waits for whom."""

from __future__ import annotations

from meshproxy.core.verdict import Failure
from tests.fakes import Client, FakeTransport, Stage

GET = b"GET /a HTTP/1.1\r\nHost: app\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_an_idle_connection_is_closed_before_its_server_would() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, OK)
    stage.time.pass_by(1.49)
    stage.pool.sweep(stage.time.now)
    assert not up.closed
    stage.time.pass_by(0.02)
    stage.pool.sweep(stage.time.now)
    assert up.closed


def test_an_endpoint_that_had_no_idle_connection_left_is_swept_again_once_it_has() -> None:
    stage = Stage()
    client = stage.client()
    for _ in range(3):
        client.says(GET)
        up = stage.connect()
        stage.answer(up, OK)
        stage.pool.sweep(stage.time.now)
        assert not up.closed
        stage.time.pass_by(1.51)
        stage.pool.sweep(stage.time.now)
        assert up.closed
        stage.pool.sweep(stage.time.now)


def test_connections_of_an_endpoint_that_was_swept_are_closed_at_the_end_as_well() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, OK)
    stage.pool.sweep(stage.time.now)
    stage.pool.close()
    assert up.closed


def test_one_that_is_too_old_is_not_used_even_before_the_sweep() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET)
    old = stage.connect()
    stage.answer(old, OK)
    stage.time.pass_by(1.6)
    client.says(GET)
    assert old.closed
    assert len(stage.dials) == 1


def test_keep_alive_timeout_teaches_how_long_a_connection_lasts() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n")
    stage.time.pass_by(4.4)
    client.says(GET)
    assert stage.dials == []
    assert up.take()


def test_a_server_that_closes_early_teaches_it_too_and_is_forgiven_in_time() -> None:
    stage = Stage()
    client = stage.client()
    client.says(GET)
    up = stage.connect()
    stage.answer(up, OK)
    stage.time.pass_by(1.0)
    stage.hang_up(up)
    endpoint = stage.endpoints[0]
    assert endpoint.idle_for == 0.5
    client.says(GET)
    up = stage.connect()
    for _ in range(100):
        stage.answer(up, OK)
        client.says(GET)
    assert endpoint.idle_for == 1.5


def test_the_connection_used_last_is_used_next() -> None:
    stage = Stage()
    first, second = stage.client(), stage.client()
    first.says(GET)
    second.says(GET)
    one, two = stage.connect(), stage.connect()
    stage.answer(two, OK)
    stage.answer(one, OK)
    one.take()
    first.says(GET)
    assert one.take()


def test_a_connection_that_comes_free_serves_who_waits_for_a_dial() -> None:
    stage = Stage()
    first, second = stage.client(), stage.client()
    first.says(GET)
    up = stage.connect()
    second.says(GET)
    up.take()
    stage.answer(up, OK)
    assert up.take().startswith(b"GET /a")
    stage.answer(up, OK)
    assert second.hears().startswith(b"HTTP/1.1 200 OK")
    late = stage.connect()
    assert late.take() == b""
    assert stage.endpoints[0].idling == 2


def test_a_failed_dial_fails_one_who_waits_and_no_other() -> None:
    stage = Stage()
    first, second = stage.client(), stage.client()
    first.says(GET)
    second.says(GET)
    stage.refuse(Failure.CONNECT_TIMEOUT)
    assert first.hears().startswith(b"HTTP/1.1 503 ")
    assert second.hears() == b""
    stage.answer(stage.connect(), OK)
    assert second.hears().startswith(b"HTTP/1.1 200 ")


def test_a_retired_endpoint_keeps_no_connection() -> None:
    stage = Stage()
    idle, busy = stage.client(), stage.client()
    idle.says(GET)
    busy.says(GET)
    one, two = stage.connect(), stage.connect()
    stage.answer(one, OK)
    stage.pool.retire(stage.endpoints[0])
    assert one.closed
    assert not two.closed
    stage.answer(two, OK)
    assert two.closed
    assert busy.hears().startswith(b"HTTP/1.1 200 ")


def rested(
    stage: Stage, count: int, apart: float = 0.0
) -> tuple[list[Client], list[FakeTransport]]:
    """So many connections that became idle one after the other, and whose they were."""
    clients = [stage.client() for _ in range(count)]
    for client in clients:
        client.says(GET)
    ups = [stage.connect() for _ in range(count)]
    for up in ups:
        stage.answer(up, OK)
        stage.time.pass_by(apart)
    return clients, ups


def test_whichever_idle_connection_closes_the_others_are_used_the_latest_first() -> None:
    for gone in range(3):
        stage = Stage()
        clients, ups = rested(stage, 3)
        for up in ups:
            up.take()
        stage.hang_up(ups.pop(gone))
        assert stage.endpoints[0].idling == 2
        for client, up in zip(clients, reversed(ups), strict=False):
            client.says(GET)
            assert up.take()
        assert stage.endpoints[0].idling == 0


def test_of_several_idle_connections_the_sweep_closes_those_that_are_too_old() -> None:
    stage = Stage()
    _, ups = rested(stage, 4, apart=0.5)
    stage.pool.sweep(stage.time.now)
    assert [up.closed for up in ups] == [True, True, False, False]
    assert stage.endpoints[0].idling == 2
    stage.pool.close()
    assert all(up.closed for up in ups)
    assert stage.endpoints[0].idling == 0


def test_one_that_nobody_waits_for_any_more_has_no_queue() -> None:
    stage = Stage()
    stage.client().says(GET)
    assert len(stage.endpoints[0].waiters) == 1
    stage.answer(stage.connect(), OK)
    assert stage.endpoints[0].waiters == ()
