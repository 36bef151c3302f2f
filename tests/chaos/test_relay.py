"""The relay does what its words say, so that a test that passes through it proves something."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator

import pytest

from tests.e2e.harness import Client, Conversation, Origin, TruncatedError, answering, reply
from tests.e2e.harness.ports import LOOPBACK

from .relay import Relay, Toxics

BODY = os.urandom(50_000)


@pytest.fixture(scope="module")
def big() -> Iterator[Origin]:
    with Origin.running(answering(reply(body=BODY))) as running:
        yield running


@pytest.fixture
def relay(big: Origin) -> Iterator[Relay]:
    with Relay.running(big.address) as running:
        yield running


def there(relay: Relay, timeout: float = 10.0) -> Client:
    return Client((LOOPBACK, relay.port), timeout)


@pytest.mark.parametrize(
    "toxics",
    [Toxics(), Toxics(latency=0.001), Toxics(slices=100), Toxics(bandwidth=10**6)],
    ids=["clean", "latency", "slices", "bandwidth"],
)
def test_what_is_only_slow_arrives_whole(relay: Relay, toxics: Toxics) -> None:
    relay.up = relay.down = toxics
    with there(relay) as client:
        for _ in range(2):
            got = client.ask("POST", "/", body=BODY).body
            assert hashlib.sha256(got).digest() == hashlib.sha256(BODY).digest()


@pytest.mark.parametrize(
    ("toxics", "least"), [(Toxics(latency=0.2), 0.2), (Toxics(bandwidth=100_000), 0.4)]
)
def test_what_is_slow_takes_its_time(relay: Relay, toxics: Toxics, least: float) -> None:
    relay.down = toxics
    with there(relay) as client:
        began = time.monotonic()
        client.ask("GET", "/")
        assert time.monotonic() - began >= least


@pytest.mark.parametrize(
    ("toxics", "reset"), [(Toxics(limit=1000), False), (Toxics(reset=0), True)]
)
def test_a_bound_ends_the_connection(relay: Relay, toxics: Toxics, reset: bool) -> None:
    relay.down = toxics
    with there(relay) as client:
        if reset:
            with pytest.raises(ConnectionResetError):
                client.ask("GET", "/")
            return
        with pytest.raises(TruncatedError) as cut:
            client.ask("GET", "/")
        assert cut.value.message is not None
        assert len(cut.value.message.head) + len(cut.value.partial) == 1000


def test_what_is_swallowed_leaves_no_word(relay: Relay) -> None:
    relay.up = Toxics(swallow=True)
    with there(relay, timeout=0.2) as client, pytest.raises(TimeoutError):
        client.ask("GET", "/")


def test_a_cut_relay_refuses_and_a_mended_one_serves(relay: Relay) -> None:
    with there(relay) as client:
        client.ask("GET", "/")
        relay.cut()
        with pytest.raises((TruncatedError, ConnectionError)):
            client.ask("GET", "/")
    with pytest.raises(ConnectionRefusedError):
        there(relay)
    relay.mend()
    with there(relay) as client:
        assert client.ask("GET", "/").body == BODY


def test_an_end_can_come_late(relay: Relay, big: Origin) -> None:
    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.send(reply())
            peer.finish()
            peer.until_left()

    big.script, before = script, big.script
    relay.down = Toxics(slow_close=0.2)
    try:
        with there(relay) as client:
            assert client.ask("GET", "/").body == b"ok"
            began = time.monotonic()
            assert client.closed_by_peer()
            assert time.monotonic() - began >= 0.15
    finally:
        big.script = before
