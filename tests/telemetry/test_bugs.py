"""A bug is told once with its trace, then counted; it is known again by where it came from."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from meshproxy.telemetry.bugs import KINDS, LINES, OTHER, RETELL, Bugs, fingerprint, short_path


def raised(work: Callable[[], object]) -> BaseException:
    try:
        work()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is looked at
        return error
    raise AssertionError("nothing was raised")


def by_key(key: str) -> object:
    return {"a": 1}[key]


def by_number(text: str) -> int:
    return int(text)


def deep(depth: int) -> object:
    return deep(depth - 1) if depth else by_key("b")


def there(depth: int) -> object:
    return and_back(depth - 1)


def and_back(depth: int) -> object:
    return there(depth - 1) if depth > 0 else by_key("b")


def wrapped() -> None:
    try:
        by_key("b")
    except KeyError as error:
        raise RuntimeError("no such thing") from error


class Scene:
    """What was told, and two clocks."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.now = 50.0
        self.bugs = Bugs(self.tell, lambda: 1000.0 + self.now, lambda: self.now)

    def tell(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))

    def counts(self) -> dict[str, float]:
        samples = {sample.labels[0][1]: sample.value for sample in self.bugs.samples()}
        assert OTHER in samples
        return {mark: count for mark, count in samples.items() if count}


def test_the_first_of_its_kind_is_told_with_its_trace() -> None:
    scene = Scene()
    error = raised(lambda: by_key("b"))
    scene.bugs.caught(error, page="/a")
    ((event, fields),) = scene.told
    assert event == "bug"
    assert (fields["level"], fields["page"]) == ("error", "/a")
    assert fields["fingerprint"] == fingerprint(error)
    assert fields["where"].startswith("telemetry/test_bugs.py:")
    assert fields["where"].endswith(" by_key")
    assert any('return {"a": 1}[key]' in line for line in fields["trace"])
    assert fields["trace"][-1] == fields["error"]


def test_the_others_are_counted_and_told_once_a_minute_with_their_number() -> None:
    scene = Scene()
    for _ in range(1000):
        scene.bugs.caught(raised(lambda: by_key("b")))
    scene.bugs.sweep(scene.now)
    assert [event for event, _ in scene.told] == ["bug"]
    scene.now += RETELL
    for _ in range(2):
        scene.bugs.sweep(scene.now)
    assert [event for event, _ in scene.told] == ["bug", "bug_again"]
    assert scene.told[1][1]["times"] == 999
    assert scene.told[1][1]["count"] == 1000
    assert "trace" not in scene.told[1][1]
    scene.bugs.caught(raised(lambda: by_key("b")))
    scene.bugs.sweep(scene.now + RETELL - 1)
    assert len(scene.told) == 2
    scene.bugs.sweep(scene.now + RETELL)
    assert scene.told[2][1]["times"] == 1
    assert list(scene.counts().values()) == [1001.0]


def test_it_is_the_same_bug_whatever_the_value_was_and_wherever_the_line_stands() -> None:
    first, second = raised(lambda: by_key("b")), raised(lambda: by_key("c"))
    assert fingerprint(first) == fingerprint(second)
    moved = "\n" * 40 + "def by_key(key):\n    return {'a': 1}[key]\n"
    places: dict[str, Any] = {}
    exec(compile(moved, __file__, "exec"), places)  # the same function, lower down
    assert fingerprint(raised(lambda: places["by_key"]("b"))) == fingerprint(first)


def test_another_type_or_another_way_is_another_bug() -> None:
    errors = [
        raised(lambda: by_key("b")),
        raised(lambda: by_key([])),  # type: ignore[arg-type]  # raises something else there
        raised(lambda: by_number("b")),
        raised(lambda: deep(1)),
        raised(wrapped),
    ]
    assert len({fingerprint(each) for each in errors}) == len(errors)


def test_a_recursion_is_one_bug_at_every_depth() -> None:
    assert fingerprint(raised(lambda: deep(3))) == fingerprint(raised(lambda: deep(30)))


def test_a_value_that_may_be_a_callers_secret_is_not_told() -> None:
    scene = Scene()
    key, number = "Bearer abc", "hunter2"
    scene.bugs.caught(raised(lambda: by_key(key)))
    scene.bugs.caught(raised(lambda: by_number(number)))
    assert "Bearer abc" not in str(scene.told)
    assert "hunter2" not in str(scene.told)
    assert scene.told[1][1]["error"] == (
        "ValueError: invalid literal for int() with base 10: '***'"
    )


def test_names_of_the_code_are_told() -> None:
    scene = Scene()
    scene.bugs.caught(raised(lambda: None.send))  # type: ignore[attr-defined]  # a bug
    assert scene.told[0][1]["error"] == (
        "AttributeError: 'NoneType' object has no attribute 'send'"
    )


def test_what_led_to_it_is_told_first() -> None:
    scene = Scene()
    scene.bugs.caught(raised(wrapped))
    trace = scene.told[0][1]["trace"]
    assert trace.index("KeyError: '***'") < trace.index("which led to:")
    assert trace[-1] == "RuntimeError: no such thing"


def test_a_long_trace_keeps_its_beginning_and_its_end() -> None:
    scene = Scene()
    scene.bugs.caught(raised(lambda: there(200)))
    trace = scene.told[0][1]["trace"]
    assert len(trace) == LINES + 1
    assert "more lines" in trace[LINES // 2]
    assert trace[-1] == "KeyError: '***'"


def test_a_library_that_only_complains_is_heard_and_its_numbers_do_not_count() -> None:
    scene = Scene()
    scene.bugs.caught("Task 12 at 0x7f00 was destroyed")
    scene.bugs.caught("Task 13 at 0x7f10 was destroyed")
    scene.bugs.caught("something else")
    assert sorted(scene.counts().values()) == [1.0, 2.0]
    assert scene.told[0][1]["trace"] == []


def test_there_are_never_more_kinds_than_are_kept() -> None:
    scene = Scene()
    for n in range(KINDS + 10):
        scene.bugs.caught(f"complaint {chr(65 + n)}")
    assert len(scene.counts()) == KINDS + 1
    assert scene.counts()[OTHER] == 10
    assert len(scene.told) == KINDS + 1
    assert next(bug.count for bug in scene.bugs.report()) == 10


def test_a_path_is_the_same_on_every_machine() -> None:
    assert short_path("/opt/x/meshproxy/dataplane/pool.py") == "meshproxy/dataplane/pool.py"
    assert short_path("/venv/lib/python3.11/site-packages/aiohttp/web.py") == "aiohttp/web.py"
    assert short_path("/usr/lib/python3.11/asyncio/tasks.py") == "asyncio/tasks.py"
    assert short_path("<string>") == "<string>"


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sets is put back."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)


class Unlucky:
    def __del__(self) -> None:
        raise OSError("too late")


@pytest.mark.usefixtures("hooks")
def test_what_nobody_catches_is_heard_wherever_it_is_raised() -> None:
    scene = Scene()

    async def whole() -> None:
        loop = asyncio.get_running_loop()
        scene.bugs.listen(loop)
        loop.call_soon(by_key, "b")
        loop.call_exception_handler({"message": "something is odd"})
        thread = threading.Thread(target=by_number, args=("b",))
        thread.start()
        thread.join(10.0)
        Unlucky()
        while len(scene.told) < 4:
            await asyncio.sleep(0)

    asyncio.run(whole())
    assert sorted(fields["error"] for _, fields in scene.told) == [
        "KeyError: '***'",
        "OSError: too late",
        "ValueError: invalid literal for int() with base 10: '***'",
        "something is odd",
    ]
    details = [fields.get("detail") for _, fields in scene.told]
    assert any(detail and detail.startswith("Exception in callback by_key") for detail in details)


@pytest.mark.usefixtures("hooks")
def test_after_the_end_nobody_listens() -> None:
    scene = Scene()

    async def whole() -> None:
        scene.bugs.listen(asyncio.get_running_loop())

    asyncio.run(whole())
    Unlucky()
    assert scene.told == []
