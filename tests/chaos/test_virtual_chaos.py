"""Hundreds of requests against upstreams of every mood, with every helper on, and no loose end.

Chance decides what each upstream does with each request and when clients leave; the seed is in
the name of the test. At the end every request has one answer or a connection that ended, no POST
came twice, and nothing is held: no place, no load, no attempt that runs on.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from .virtual import Caller, Site, Wire, answer

CONFIG = """
outbound:
  defaults:
    timeout: 2s
    idle_timeout: 3s
    retry: {attempts: 2, per_try_timeout: 400ms, budget: {ratio: 100%, min_per_second: 100}}
    circuit_breaker: {consecutive_failures: 5, open_for: 500ms, max_open_for: 2s}
    concurrency: {max: 8, queue: 8, queue_timeout: 300ms}
    hedge: {after: 100ms, max_extra: 100%}
    deadlines: {}
    fallback: {service: spare}
  services:
    service: {endpoints: [10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80], CACHE}
    spare: {endpoints: [10.0.0.4:80], fallback: off, hedge: off}
"""
CACHE = "cache: {ttl: 300ms, stale_while_revalidate: 200ms, stale_if_error: 1s}"
REQUESTS = 150
CHUNKED = b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 Fine\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine"
ENDLESS = b"HTTP/1.1 200 Fine\r\n\r\nfine"


class Moods:
    """What upstreams do with a request: mostly good, in the middle of the run mostly bad."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self._site = site
        self._rng = rng
        self.bad = 0.3
        self.seen: Counter[bytes] = Counter()

    def __call__(self, wire: Wire) -> None:
        self.seen[wire.request.split(b" HTTP/1.1", 1)[0]] += 1
        later, rng = self._site.time.later, self._rng
        wait = rng.choice((0.0, 0.0, 0.01, 0.2, 0.5)) * rng.random()
        if rng.random() >= self.bad:
            data = rng.choice((answer(), answer(404), CHUNKED, CLOSING))
            cut = rng.choice((0, 10, len(data) - 3))
            later(wait, wire.says, data[:cut])
            later(wait + 0.05 * rng.random(), wire.says, data[cut:])
            return
        match rng.randrange(7):
            case 0:
                later(wait, wire.says, answer(503))
            case 1:
                later(wait, wire.breaks_off)
            case 2:
                later(wait, wire.hangs_up)
            case 3:
                later(wait, wire.says, b"nonsense\r\n\r\n")
            case 4:
                later(wait, wire.says, answer() + b"and more")
            case 5:
                later(wait, wire.says, ENDLESS)
                later(wait + rng.random(), wire.hangs_up)
            case _:
                pass  # silence


def play(
    site: Site, rng: random.Random, stalls: float = 0.05
) -> tuple[Moods, dict[Caller, int], set[Caller]]:
    """Who asked how often, and who left."""
    site.upstream = moods = Moods(site, rng)
    asked: dict[Caller, int] = {}
    left: set[Caller] = set()
    for number in range(REQUESTS):
        moods.bad = 0.9 if REQUESTS // 3 < number < REQUESTS // 2 else 0.3
        site.refusing = rng.random() < moods.bad / 4
        client = rng.choice([site.client(), *list(asked)[-3:]])
        if client.transport.closed:
            client = site.client()
        asked[client] = asked.get(client, 0) + 1
        method = rng.choice(("GET", "GET", "POST", "PUT"))
        target = f"/{number % 5}" if method == "GET" and rng.random() < 0.5 else f"/n{number}"
        length = "" if method == "GET" else "Content-Length: 0\r\n"
        client.says(f"{method} {target} HTTP/1.1\r\nHost: service\r\n{length}\r\n".encode())
        site.time.pass_by(rng.choice((0.0, 0.005, 0.05, 0.2)) * rng.random())
        if rng.random() < 0.1:
            leaver = rng.choice(list(asked))
            leaver.leaves()
            left.add(leaver)
        if rng.random() < 0.05:
            # Another file: whatever is under way keeps its route.
            site.reload(site.text.replace("timeout: 2s", f"timeout: {2000 + number}ms"))
        if rng.random() < stalls:
            site.time.leap(rng.random())
    site.refusing = False
    site.time.pass_by(20.0)
    return moods, asked, left


@pytest.mark.parametrize("cache", ["", CACHE], ids=["plain", "cached"])
@pytest.mark.parametrize("seed", range(12))
def test_no_loose_end_is_left(seed: int, cache: str) -> None:
    site = Site(CONFIG.replace(", CACHE", f", {cache}" if cache else ""), plan="outbound")
    moods, asked, left = play(site, random.Random(seed))
    for client, count in asked.items():
        if client not in left:
            answers = client.hears().count(b"HTTP/1.1 ")
            assert answers == count or (answers <= count and client.transport.closed)
    posts = {name: times for name, times in moods.seen.items() if name.startswith(b"POST")}
    assert posts
    assert max(posts.values()) == 1
    assert_at_rest(site)


def assert_at_rest(site: Site) -> None:
    """Nothing is held by anybody any more."""
    endpoints = [one for cluster in site.snapshot.clusters for one in cluster.endpoints]
    assert [one.load for one in endpoints] == [0] * len(endpoints)
    assert [one.dials for one in endpoints] == [0] * len(endpoints)
    assert not any(one.idle for one in endpoints), "idle for so long"
    assert [wire for wire in site.wires if not wire.closed] == [], "an attempt runs on"
    assert sum(one.in_flight for one in site.counts) == 0
    samples = [each for cell in site.cells() if hasattr(cell, "samples") for each in cell.samples()]
    held = [each for each in samples if each.family.endswith(("in_use", "_queued", "_active"))]
    assert held
    assert [each for each in held if each.value] == []


OVERTAKEN = """
outbound:
  defaults:
    timeout: 500ms
    retry: {when: [503], backoff: {strategy: fixed, base: 300ms, jitter: none}}
    hedge: {after: 100ms, max_extra: 100%}
    fallback: {service: spare}
  services:
    service: {endpoints: [10.0.0.1:80, 10.0.0.2:80]}
    spare: {endpoints: [10.0.0.4:80], fallback: off}
"""


def test_a_retry_that_a_fallback_has_overtaken_is_not_made() -> None:
    """The loop stood still until both the back-off and the call's time were over."""
    site = Site(OVERTAKEN, plan="outbound")
    site.upstream = lambda wire: wire.says(answer(503))
    client = site.ask()
    site.time.pass_by(0.01)
    site.upstream = lambda wire: None
    site.time.leap(1.0)
    site.time.pass_by(0.1)
    endpoints = [one for cluster in site.snapshot.clusters for one in cluster.endpoints]
    assert [one.load for one in endpoints] == [0, 0, 1]
    assert site.delivered == 2
    site.wires[-1].says(answer())
    assert client.hears().count(b"HTTP/1.1 200 ") == 1
    assert [one.load for one in endpoints] == [0, 0, 0]
