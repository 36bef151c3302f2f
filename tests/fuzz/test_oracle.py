"""That fuzzing would notice: each test breaks the data plane in one way, and it is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Endpoint
from meshproxy.dataplane import answers, requests
from meshproxy.dataplane.conductor import Conductor
from meshproxy.dataplane.downstream import Downstream
from meshproxy.dataplane.pool import Pool
from meshproxy.dataplane.upstream import Upstream
from tests.fuzz import campaign
from tests.fuzz.campaign import attempt, make
from tests.fuzz.scripts import Script
from tests.fuzz.shrink import shrunk
from tests.fuzz.world import World

MOST = 1500
"""Conversations in which each of these breaks must show; most do within fifty."""


def first_finding() -> str | None:
    world = World()
    for number in range(MOST):
        wrong = attempt(world, make(7, number))
        if wrong is not None:
            return wrong[0]
    return None


def _without_load(self: Conductor, exchange: Exchange, now: float) -> None:
    exchange.endpoint = None
    conclude(self, exchange, now)


def _never_swept(self: object, now: float) -> None:
    """Nothing is closed for its age."""


def _kept_dirty(self: Upstream, exchange: Exchange, now: float) -> None:
    self._excess = False
    part(self, exchange, now)


def _polite_end(self: Downstream, exchange: Exchange) -> None:
    self.relay([answers.LAST_CHUNK], 0)


def _raises(self: Pool, endpoint: Endpoint, seconds: float) -> None:
    raise LookupError(endpoint)


def _twice(exchange: Exchange) -> bytes:
    return request_head(exchange) * 2


conclude = Conductor.conclude
part = Upstream._part
request_head = requests.request_head

BREAKS: dict[str, tuple[Any, str, Callable[..., Any], str]] = {
    "a load that is not given back": (Conductor, "conclude", _without_load, "left at an endpoint"),
    "clients that are never swept": (Downstream, "sweep", _never_swept, "hung: a client"),
    "idle connections never swept": (Pool, "sweep", _never_swept, "hung: an upstream"),
    "excess that stays on the wire": (Upstream, "_part", _kept_dirty, "reused after too much"),
    "a cut answer made to look whole": (Downstream, "cut", _polite_end, "answer made complete"),
    "an exception": (Pool, "learned", _raises, "LookupError"),
    "a request sent twice": (requests, "request_head", _twice, "more than one request"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, broken, kind = BREAKS[name]
    monkeypatch.setattr(where, attribute, broken)
    assert (first_finding() or "nothing").startswith(kind)


def test_a_finding_shrinks_to_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "learned", _raises)
    noise = (("say", b"GET /a HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n"), ("wait", 0.02))
    answer = ("answer", b"HTTP/1.1 204 No Content\r\nKeep-Alive: timeout=5\r\nX: y\r\n\r\n")
    one = Script(0, (*noise, answer, ("drain", None)))
    wrong = attempt(World(), one)
    assert wrong is not None
    small = shrunk(one, wrong[0], seconds=3.0)
    assert small is not None
    assert [verb for verb, _ in small.steps] == ["say", "answer"]


def test_memory_that_grows_after_the_warm_up_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [50, 60, 60 + campaign.MOST_GROWTH]
    monkeypatch.setattr(campaign, "resident", lambda: held.pop(0))
    memory = campaign.Memory()
    assert memory.look(campaign.WARM_UP - 1) is None  # not looked at yet
    assert [memory.look(1), memory.look(1)] == [None, None]
    assert memory.look(1) is not None


def test_a_script_is_the_same_for_the_same_seed_and_number() -> None:
    assert make(5, 17) == make(5, 17)
    assert make(5, 17) != make(5, 18)
    assert make(5, 17) != make(6, 17)


def test_a_printed_script_can_be_pasted() -> None:
    one = make(5, 17)
    (again,) = eval(f"[{one}]", {"Script": Script})
    assert (again.plan, again.steps) == (one.plan, one.steps)
