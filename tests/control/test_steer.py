"""An order reaches the one it names, or is refused in a sentence that says what there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from meshproxy.control.admin import admin_application
from meshproxy.control.steer import WrongOrderError, release, samples, steer

from .ports import Ask, Stage, Told, talk


class Breaker:
    """State that takes orders."""

    section = "breakers"
    orders = ("open", "closed")

    def __init__(self, upstream: str, endpoint: str) -> None:
        self.names = {"upstream": upstream, "endpoint": endpoint}
        self.forced = ""
        self.at = 0.0

    def steer(self, order: str, now: float) -> None:
        self.forced, self.at = order, now

    def report(self, now: float) -> Mapping[str, Any]:
        return {**self.names, "state": self.forced or "closed"}


class Tried(Breaker):
    """State that takes none, by the same name."""

    orders = ()  # type: ignore[assignment]


class Limit(Breaker):
    section = "rate-limits"
    orders = ("off", "shadow", "enforce")  # type: ignore[assignment]

    def __init__(self, limit: str, forced: str) -> None:
        self.names = {"limit": limit}
        self.forced = forced


def cells() -> list[Any]:
    return [
        object(), Tried("payments", "a:1"), Breaker("payments", "a:1"), Breaker("payments", "b:1"),
        Breaker("users", "c:1"),
    ]  # fmt: skip


def order(state: list[Any], **words: str) -> dict[str, Any]:
    return steer("breakers", state, words, 7.0)


def test_an_order_changes_the_one_it_names() -> None:
    state = cells()
    done = order(state, upstream="payments", endpoint="b:1", force="open")
    assert done == {"upstream": "payments", "endpoint": "b:1", "before": "auto", "force": "open"}
    assert [cell.forced for cell in state[1:]] == ["", "", "open", ""]
    assert state[3].at == 7.0
    assert order(state, upstream="payments", endpoint="b:1", force="auto")["before"] == "open"
    assert state[3].forced == ""


def test_a_name_that_says_enough_is_enough() -> None:
    assert order(cells(), upstream="users", force="closed")["endpoint"] == "c:1"


PAIR = "upstream=payments&endpoint=a:1; upstream=payments&endpoint=b:1"
USAGE = "POST /breakers?upstream=...&endpoint=...&force=open|closed|auto"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({}, f"say which breaker: {USAGE}"),
        ({"force": "open"}, f"say which breaker: {USAGE}"),
        ({"upstream": "users"}, f"force is one of open, closed, auto: {USAGE}"),
        (
            {"upstream": "users", "force": "ajar"},
            f"force is one of open, closed, auto, not 'ajar': {USAGE}",
        ),
        ({"upstream": "users", "force": "open", "why": "x"}, f"why means nothing here: {USAGE}"),
        (
            {"upstream": "user", "force": "open"},
            f"no breaker is called upstream=user; there are {PAIR}; upstream=users&endpoint=c:1",
        ),
        (
            {"upstream": "payments", "force": "open"},
            f"2 breakers are meant by upstream=payments: {PAIR}",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    words: dict[str, str], sentence: str
) -> None:
    state = cells()
    with pytest.raises(WrongOrderError) as refused:
        order(state, **words)
    assert str(refused.value) == sentence
    assert not any(cell.forced for cell in state[1:])


def test_a_long_list_is_cut() -> None:
    state = [Breaker("many", f"{number}:1") for number in range(30)]
    with pytest.raises(WrongOrderError, match=r"endpoint=19:1 and 10 more$"):
        order(state, upstream="few", force="open")


def test_where_nothing_takes_orders_that_is_said() -> None:
    with pytest.raises(WrongOrderError, match="no rate limit is in force"):
        steer("rate-limits", cells(), {"limit": "all", "mode": "off"}, 0.0)


def test_a_release_ends_every_order_and_tells_which() -> None:
    state = cells()
    order(state, upstream="users", force="open")
    state.append(limit := Limit("few", ""))
    steer("rate-limits", iter(state), {"limit": "few", "mode": "off"}, 7.0)
    assert [sample.value for sample in samples(iter(state))] == [1.0, 1.0]
    assert release(iter(state), 9.0) == [
        "upstream=users&endpoint=c:1&force=open", "limit=few&mode=off",
    ]  # fmt: skip
    assert limit.forced == ""
    assert release(iter(state), 9.0) == []
    assert [sample.value for sample in samples(iter(state))] == [0.0, 0.0]


def posted(stage: Stage, path: str, method: str = "POST", **more: Any) -> Told:
    answers: list[Told] = []

    async def script(ask: Ask) -> None:
        answers.append(await ask(path, method, **more))

    talk(admin_application(stage), script)
    return answers[0]


def test_the_admin_port_obeys_answers_and_logs() -> None:
    stage = Stage(state=cells())
    told = posted(stage, "/breakers?upstream=users&endpoint=c:1&force=open")
    done = {"upstream": "users", "endpoint": "c:1", "before": "auto", "force": "open"}
    assert (told.status, told.json) == (200, {**done, "until": "the next reload"})
    assert stage.told == [("breaker_forced", done)]
    assert posted(stage, "/breakers", "GET").json[-1]["state"] == "open"


def test_the_admin_port_says_why_not() -> None:
    stage = Stage(state=cells())
    for path in ("/breakers?upstream=nobody&force=open", "/breakers?force=open&force=auto"):
        answer = posted(stage, path)
        assert (answer.status, bool(answer.json["error"])) == (422, True)
    assert stage.told == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_a_post_is_an_order(method: str) -> None:
    stage = Stage(state=cells())
    posted(stage, "/breakers?upstream=users&endpoint=c:1&force=open", method)
    assert (stage.state[-1].forced, stage.told) == ("", [])


@pytest.mark.parametrize(
    "fields", [{"Origin": "http://evil.test"}, {"Sec_Fetch_Site": "cross-site"}]
)
def test_no_page_of_somewhere_else_gives_orders(fields: dict[str, str]) -> None:
    stage = Stage(state=cells())
    answer = posted(stage, "/breakers?upstream=users&force=open", **fields)
    assert (answer.status, stage.state[-1].forced) == (403, "")
