"""Every page of /debug, its formats, and what it refuses."""

from __future__ import annotations

import asyncio
import signal
import tracemalloc
from typing import Any
from xml.etree import ElementTree

import pytest

from meshproxy.control.admin import admin_application
from meshproxy.control.debug import PAGES

from .ports import Ask, Stage, Told, talk


def told(path: str, method: str = "GET", stage: Stage | None = None) -> Told:
    answers: list[Told] = []

    async def script(ask: Ask) -> None:
        answers.append(await ask(path, method))

    talk(admin_application(stage or Stage()), script)
    return answers[0]


def test_the_index_names_every_page_and_each_answers() -> None:
    assert told("/debug").json == PAGES
    for path in PAGES:
        answer = told(path + "?seconds=0.1" * path.endswith("profile"))
        assert answer.status == 200, path


def test_tasks_are_json_or_text() -> None:
    running = [each for each in told("/debug/tasks").json if each["state"] == "running"]
    # From Python 3.12 on the connection's task starts another one for the request, at once.
    assert [each["coroutine"].partition(".")[0] for each in running] in (
        ["RequestHandler"],
        ["RequestHandler", "RequestHandler"],
    )
    text = told("/debug/tasks?format=text")
    assert text.headers["content-type"].startswith("text/plain")
    assert b", running" in text.body


def test_stacks_are_text_or_json() -> None:
    text = told("/debug/stacks")
    assert text.headers["content-type"].startswith("text/plain")
    assert text.body.startswith(b"MainThread (")
    assert b"    meshproxy/control/debug.py:" in text.body
    (main, *_) = told("/debug/stacks?format=json").json
    assert main["name"] == "MainThread"


def test_memory_is_told_and_objects_only_when_asked_for() -> None:
    plain = told("/debug/memory").json
    assert set(plain) == {"process", "kept", "collector", "tracemalloc"}
    assert plain["tracemalloc"] == {"on": False, "top": []}
    assert told("/debug/memory?objects=1").json["objects"]["count"] > 1000


def test_tracemalloc_is_switched_by_post_alone() -> None:
    path = "/debug/memory?tracemalloc=on&seconds=60s"
    assert told(path).status == 422
    assert not tracemalloc.is_tracing()
    try:
        assert told(path, "POST").json["on"] is True
        assert tracemalloc.is_tracing()
        assert told("/debug/memory").json["tracemalloc"]["on"] is True
    finally:
        assert told("/debug/memory?tracemalloc=off", "POST").json == {"on": False}
    assert not tracemalloc.is_tracing()


def test_a_profile_is_a_picture_a_file_or_lines() -> None:
    svg = told("/debug/profile?seconds=0.1")
    assert svg.headers["content-type"].startswith("image/svg+xml")
    root = ElementTree.fromstring(svg.body)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    made = told("/debug/profile?seconds=0.1s&format=speedscope&threads=all").json
    assert made["name"] == "orders: 0.1 s of wall time, 100 samples a second"
    lines = told("/debug/profile?seconds=0.2&format=collapsed&hz=200").body.decode().splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in lines) > 10


def test_one_profile_at_a_time_and_then_another() -> None:
    statuses: list[int] = []

    async def script(ask: Ask) -> None:
        first = asyncio.create_task(ask("/debug/profile?seconds=1&clock=cpu"))
        while not signal.getitimer(signal.ITIMER_PROF)[0]:
            await asyncio.sleep(0)
        again = "/debug/profile?seconds=0.1&clock=cpu"
        statuses.append((await ask(again)).status)
        statuses.append((await first).status)
        statuses.append((await ask(again)).status)

    talk(admin_application(Stage()), script)
    assert statuses == [409, 200, 200]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/debug/tasks?format=xml", "format: one of json, text"),
        ("/debug/tasks?form=text", "/debug/tasks takes format, not form"),
        ("/debug?x=1", "/debug takes nothing, not x"),
        ("/debug/profile?seconds=61", "seconds: a number from 0.1 to 60"),
        ("/debug/profile?seconds=nan", "seconds: a number from 0.1 to 60"),
        ("/debug/profile?seconds=long", "seconds: a number from 0.1 to 60"),
        ("/debug/profile?hz=5000", "hz: a number from 1 to 500"),
        ("/debug/profile?clock=sun", "clock: one of wall, cpu"),
        ("/debug/memory?objects=2", "objects: one of 0, 1"),
    ],
)
def test_a_word_that_means_nothing_is_refused_with_those_that_do(path: str, words: str) -> None:
    answer = told(path)
    assert (answer.status, answer.json) == (422, {"error": words})


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "tracemalloc: on or off, as in /debug/memory?tracemalloc=on&seconds=60"),
        ("?tracemalloc=yes", "tracemalloc: one of on, off"),
        ("?tracemalloc=on&seconds=3600", "seconds: a number from 1 to 600"),
    ],
)
def test_so_it_is_where_something_is_switched(query: str, words: str) -> None:
    answer = told(f"/debug/memory{query}", "POST")
    assert (answer.status, answer.json) == (422, {"error": words})
    assert not tracemalloc.is_tracing()


def test_bugs_are_told_the_most_frequent_first() -> None:
    stage = Stage()
    for complaint in ("once", "twice", "twice"):
        stage.bugs.caught(complaint, page="/a")
    first, second = told("/debug/bugs", stage=stage).json
    assert (first["error"], first["count"], second["count"]) == ("twice", 2, 1)
    assert first["first"] == first["last"] == "1970-01-01T00:16:40+00:00"
    assert first["first_seen_with"] == {"page": "/a"}


def test_a_stranger_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = []

    async def script(ask: Ask) -> None:
        answers.extend([await ask(path, host="evil.example") for path in PAGES])

    talk(admin_application(Stage()), script)
    assert [answer.status for answer in answers] == [403] * len(PAGES)
