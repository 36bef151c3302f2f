"""Limits and breakers over minutes that take no time: exact counts and exact moments.

The whole sidecar runs, without sockets. What the same costs in real time is `make resilience`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import pytest

from .virtual import GET, Server, Site, Wire, answer, heard

LIMITED = """
inbound:
  app: http://10.0.0.1:80
  concurrency: off
  rate_limits: [{{limit: {rate}/s, burst: {burst}}}]
  idle_timeout: {idle}
"""
WINDOW = """
inbound:
  app: http://10.0.0.1:80
  rate_limits: [{limit: 100/s, algorithm: sliding_window}]
"""
BREAKER = """
outbound:
  defaults: {retry: off, circuit_breaker: {close_after: 2}}
  services:
    service: {endpoints: [10.0.0.1:80]}
    pair: {endpoints: [10.0.0.2:80, 10.0.0.3:80]}
"""


def limited(idle: str = "5m", rate: int = 100, burst: int = 100) -> str:
    return LIMITED.format(rate=rate, burst=burst, idle=idle)


# F45: a limiter admits what it says


def admitted(site: Site, per_second: int, seconds: int) -> int:
    """Requests that got through, of an even stream."""
    client, good = site.client(), 0
    for _ in range(per_second * seconds):
        client.says(GET)
        site.time.pass_by(1.0 / per_second)
        good += heard(client).count(200)
    return good


SECONDS = {1: 20, 2: 15, 10: 5}
"""How long so many times the limit is asked for."""


@pytest.mark.parametrize("times", SECONDS)
def test_f45_a_bucket_admits_its_rate_and_its_burst(times: int) -> None:
    seconds = SECONDS[times]
    got = admitted(Site(limited()), 100 * times, seconds)
    most = 100 * seconds + 100
    assert got == pytest.approx(100 * seconds if times == 1 else most, rel=0.02)
    assert got <= most


@pytest.mark.parametrize("times", SECONDS)
def test_f45_a_window_admits_its_rate(times: int) -> None:
    seconds = SECONDS[times]
    got = admitted(Site(WINDOW), 100 * times, seconds)
    assert got == pytest.approx(100 * seconds, rel=0.02)


def test_f45_a_burst_gets_what_was_saved_and_no_more() -> None:
    site = Site(limited(burst=50))
    for _ in range(5):
        client = site.client()
        good = 0
        for _ in range(200):
            client.says(GET)
            site.time.pass_by(0.0)
            good += heard(client).count(200)
        assert good == 50
        site.time.pass_by(10.0)


def test_f45_a_reload_refills_nothing() -> None:
    site = Site(limited())
    good = 0
    for second in range(20):
        site.reload(limited(idle=f"{60 + second}s"))
        good += admitted(site, 500, 1)
    assert good == pytest.approx(2100, rel=0.02)


# F46: more than there is room for


def test_f46_goodput_stays_when_three_times_too_much_comes() -> None:
    """An upstream of 100 requests a second; answers that come after a second help nobody."""
    site = Site(
        """
inbound:
  app: http://10.0.0.1:80
  timeout: 5s
  circuit_breaker: off
  concurrency: {max: 10, queue: 10, queue_timeout: 200ms}
"""
    )
    site.upstream = Server(site, places=10, takes=0.1)
    for _ in range(300 * 10):
        site.ask()
        site.time.pass_by(1.0 / 300)
    start = site.ended[0][0].began
    took = [
        now - exchange.began
        for exchange, now in site.ended
        if exchange.status == 200 and now - start <= 10.0
    ]
    assert sum(each <= 1.0 for each in took) >= 0.95 * 100 * 10
    assert max(took) <= 0.35, "no more than the queue's time over the work itself"
    shed = [now - start for exchange, now in site.ended if exchange.flags]
    assert shed[0] < 1.0
    assert len(shed) + len(took) >= 0.99 * 3000, "somebody waits without a word"


def test_f46_without_a_limit_every_answer_comes_too_late() -> None:
    """That the test above can fail: the same load, with places for all."""
    site = Site("inbound: {app: 'http://10.0.0.1:80', timeout: 20s, concurrency: {max: 10000}}")
    site.upstream = Server(site, places=10, takes=0.1)
    for _ in range(300 * 10):
        site.ask()
        site.time.pass_by(1.0 / 300)
    late = [now - exchange.began for exchange, now in site.ended if exchange.status == 200]
    assert sum(each <= 1.0 for each in late) < 0.3 * 100 * 10


# F49: a breaker's transitions


def broken(site: Site) -> Site:
    """Seven requests have failed."""
    site.upstream = site.at_once(answer(500))
    for _ in range(7):
        client = site.ask()
        site.time.pass_by(0.01)
        assert heard(client) == [500]
    return site


def test_f49_the_seventh_failure_opens_and_the_eighth_request_is_refused() -> None:
    site = broken(Site(BREAKER, plan="outbound"))
    assert [turn[1:] for turn in site.turns("breaker")] == [("closed", "open")]
    client = site.ask()
    assert heard(client) == [503], "at once, with no attempt"
    assert site.delivered == 7


def test_f49_one_of_many_probes_and_a_failed_probe_opens_again() -> None:
    site = broken(Site(BREAKER, plan="outbound"))
    site.time.pass_by(1.5)
    held: list[Wire] = []
    site.upstream = held.append
    clients = [site.ask() for _ in range(50)]
    site.time.pass_by(0.1)
    assert len(held) == 1
    assert [heard(client) for client in clients].count([503]) == 49
    held[0].says(answer(500))
    assert [turn[1:] for turn in site.turns("breaker")] == [
        ("closed", "open"), ("open", "half_open"), ("half_open", "open"),
    ]  # fmt: skip


def test_f49_two_good_probes_close_it() -> None:
    site = broken(Site(BREAKER, plan="outbound"))
    site.time.pass_by(1.5)
    site.upstream = site.at_once(answer())
    for _ in range(20):
        client = site.ask()
        site.time.pass_by(0.01)
        assert heard(client) == [200]
    moments = site.turns("breaker")
    assert [turn[1:] for turn in moments] == [
        ("closed", "open"), ("open", "half_open"), ("half_open", "closed"),
    ]  # fmt: skip
    assert 1.0 <= moments[1][0] - moments[0][0] <= 1.52


def test_f49_a_flapping_upstream_flaps_the_breaker_once_per_open_time() -> None:
    """Every other answer fails, for a minute."""
    site = Site(BREAKER, plan="outbound")
    count = iter(range(10**9))
    good, bad = site.at_once(answer()), site.at_once(answer(500))
    site.upstream = lambda wire: (good if next(count) % 2 else bad)(wire)
    for _ in range(60 * 100):
        site.ask()
        site.time.pass_by(0.01)
    opened = [at for at, _, to in site.turns("breaker") if to == "open"]
    assert len(opened) >= 2
    assert min(later - earlier for earlier, later in pairwise(opened)) >= 1.0


def test_f49_it_opens_and_closes_with_each_outage_and_no_more() -> None:
    site = Site(BREAKER, plan="outbound")
    good, bad = site.at_once(answer()), site.at_once(answer(500))
    for _ in range(5):
        for phase, seconds in ((good, 20), (bad, 5)):
            site.upstream = phase
            for _ in range(seconds * 50):
                site.ask()
                site.time.pass_by(0.02)
    turns = [(was, to) for _, was, to in site.turns("breaker")]
    assert turns.count(("closed", "open")) == 5
    assert turns.count(("half_open", "closed")) == 4
    assert turns.count(("half_open", "open")) <= 5 * 5, "one probe per open time"


def test_f28_answers_that_break_off_open_the_circuit() -> None:
    site = Site(BREAKER, plan="outbound")
    site.upstream = lambda wire: cast(None, site.time.later(0.0, wire.breaks_off))
    for _ in range(7):
        client = site.ask()
        site.time.pass_by(0.01)
        assert heard(client) == [200]
        assert client.transport.closed
    assert heard(site.ask()) == [503]


# F50: clocks that jump


def test_f50_a_day_that_passes_at_once_saves_up_one_burst() -> None:
    site = Site(limited(burst=50))
    assert admitted(site, 1000, 1) <= 150
    site.time.leap(86_400.0)
    client = site.client()
    client.says(GET * 1)
    good = 0
    for _ in range(500):
        client.says(GET)
        site.time.pass_by(0.0)
        good += heard(client).count(200)
    assert good == 50


def test_f50_a_day_that_passes_at_once_times_out_nothing_that_comes_after() -> None:
    site = Site(limited())
    site.upstream = lambda wire: None
    waiting = [site.ask() for _ in range(10)]
    site.time.pass_by(0.0)
    site.time.leap(86_400.0)
    site.time.pass_by(0.1)
    assert [heard(client) for client in waiting] == [[504]] * 10, "their time is over indeed"
    site.upstream = Server(site, places=100, takes=0.2)
    after = [site.ask() for _ in range(50)]
    site.time.pass_by(1.0)
    assert [heard(client) for client in after] == [[200]] * 50


def test_f50_a_day_that_passes_at_once_only_ends_an_open_time() -> None:
    site = broken(Site(BREAKER, plan="outbound"))
    site.time.leap(86_400.0)
    site.upstream = site.at_once(answer())
    for _ in range(3):
        client = site.ask()
        site.time.pass_by(0.01)
        assert heard(client) == [200]


@pytest.mark.parametrize("hours", [1.0, -1.0])
def test_f50_a_wall_clock_that_jumps_changes_only_dates(hours: float) -> None:
    site = Site(limited(rate=10, burst=10) + "logs: {access: {sample: 100%}}\n")
    site.upstream = Server(site, places=100, takes=0.05)
    waiting = [site.ask() for _ in range(5)]
    site.time.pass_by(0.02)
    site.wall += 3600.0 * hours
    site.time.pass_by(0.1)
    assert [heard(client) for client in waiting] == [[200]] * 5
    more = [site.ask() for _ in range(20)]
    site.time.pass_by(0.1)
    assert sum(heard(client) == [200] for client in more) <= 7, "the limit saw no hour pass"
    assert len(site.lines) == 25
    assert all(0.0 <= line["duration_ms"] <= 200.0 for line in site.lines)
