"""Who holds most of the memory is ended first, the important last, and who holds little never."""

from __future__ import annotations

from meshproxy.core.exchange import Exchange
from meshproxy.dataplane.downstream import Downstream
from meshproxy.dataplane.relief import LITTLE, relieve
from tests.fakes import Client, Stage


def upload(stage: Stage, held: int) -> Client:
    """A caller that has sent so much of a body that is not whole yet."""
    client = stage.client()
    client.says(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(held))
    return client


def shells(*clients: Client) -> list[Downstream]:
    return [client.protocol for client in clients]


def ended(client: Client) -> bool:
    return b"503" in client.hears()[:20]


def exchange_of(client: Client) -> Exchange:
    exchange = client.protocol.current
    assert exchange is not None
    return exchange


def test_the_largest_leave_until_enough_is_free() -> None:
    stage = Stage()
    sizes = (20_000, 50_000, 10_000, 40_000)
    clients = [upload(stage, size) for size in sizes]
    told: list[tuple[str, str]] = []
    count = relieve(shells(*clients), 60_000, 0.0, lambda *words: told.append(words))
    assert count == 2
    assert [ended(client) for client in clients] == [False, True, False, True]
    assert told == [("inbound", "default")] * 2


def test_the_answer_says_why_and_when_to_come_back() -> None:
    stage = Stage()
    client = upload(stage, 50_000)
    assert relieve(shells(client), 1, 0.0, lambda *_: None) == 1
    heard = client.hears()
    assert b"retry-after: 1" in heard
    assert b"short of memory" in heard
    assert b"overload.memory" in heard
    assert b"connection: close" in heard


def test_who_holds_little_stays() -> None:
    stage = Stage()
    clients = [upload(stage, LITTLE // 2) for _ in range(5)]
    assert relieve(shells(*clients), 1 << 30, 0.0, lambda *_: None) == 0
    assert not any(ended(client) for client in clients)


def test_the_important_are_the_last_to_leave() -> None:
    stage = Stage()
    vital, plain = upload(stage, 60_000), upload(stage, 20_000)
    exchange_of(vital).more().priority = 0
    assert relieve(shells(vital, plain), 10_000, 0.0, lambda *_: None) == 1
    assert (ended(vital), ended(plain)) == (False, True)
    assert relieve(shells(vital, plain), 10_000, 0.0, lambda *_: None) == 1
    assert ended(vital)


def test_an_answer_that_is_not_taken_ends_with_its_connection() -> None:
    """There is no telling a client that does not read."""
    stage = Stage()
    client = stage.client()
    client.says(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    up = stage.connect()
    client.transport.unsent = 50_000
    stage.answer(up, b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + bytes(50_000))
    assert client.protocol.holds() >= 50_000
    assert relieve(shells(client), 1, 0.0, lambda *_: None) == 1
    assert client.transport.aborted
