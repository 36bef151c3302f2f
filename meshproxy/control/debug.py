"""/debug: what the process itself is doing, for whoever looks for a mistake in it.

Tasks, stacks, memory, a profile, and the errors of the proxy. Reads only, but for tracemalloc,
which is switched by POST; what takes long is told how long, and bounded. What only a page needs
is imported when it is asked for: most sidecars never are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aiohttp import web

from meshproxy import __version__
from meshproxy.control import tasks
from meshproxy.control.serving import Answer, answer, refusal, take_time
from meshproxy.control.view import View
from meshproxy.telemetry.bugs import Bug
from meshproxy.telemetry.stacks import block, threads

if TYPE_CHECKING:
    from meshproxy.control.heap import Tracing
    from meshproxy.telemetry.profile import Stacks

LONGEST = 60.0
FASTEST = 500
"""Seconds and samples per second of a profile."""
TRACE_FOR, TRACE_AT_MOST = 60.0, 600.0
"""Seconds that tracemalloc stays on."""

PAGES = {
    "/debug/tasks": "the tasks of the event loop and where each waits; format=json|text",
    "/debug/stacks": "the stacks of all threads; format=text|json",
    "/debug/memory": "memory by who holds it; objects=1 counts objects by type",
    "/debug/profile": "a flame graph; seconds=5, format=svg|speedscope|collapsed, hz=100,"
    " clock=wall|cpu, threads=main|all",
    "/debug/bugs": "errors of meshproxy itself, by kind",
}


class WordError(ValueError):
    """A word of the query that has no meaning here; says what would have one."""


def add_debug(application: web.Application, view: View) -> None:
    """Every page below /debug."""
    memory = _Memory(view)
    add = application.router.add_get
    add("/debug", _asked(_index, ()))
    add("/debug/tasks", _asked(lambda query: _tasks(view, query), ("format",)))
    add("/debug/stacks", _asked(_stacks, ("format",)))
    add("/debug/bugs", _asked(lambda query: _bugs(view, query), ()))
    add("/debug/memory", _asked(memory.page, ("objects",)))
    add("/debug/profile", _profile(view))
    switch = _asked(memory.switch, ("tracemalloc", "seconds"))
    application.router.add_post("/debug/memory", switch)


Query = dict[str, str]


def _asked(
    show: Callable[[Query], Awaitable[web.StreamResponse]], known: Collection[str]
) -> Answer:
    """A page that is told only words that it knows."""

    async def page(request: web.Request) -> web.StreamResponse:
        try:
            return await show(_query(request, known))
        except WordError as error:
            return refusal(422, str(error))

    return page


def _query(request: web.Request, known: Collection[str]) -> Query:
    unknown = sorted(request.query.keys() - set(known))
    if unknown:
        raise WordError(f"{request.path} takes {', '.join(known) or 'nothing'}, not {unknown[0]}")
    return dict(request.query)


def _one_of(query: Query, key: str, *words: str) -> str:
    """The first word is what is meant where none is given."""
    word = query.get(key, words[0])
    if word not in words:
        raise WordError(f"{key}: one of {', '.join(words)}")
    return word


def _number(query: Query, key: str, usual: float, least: float, most: float) -> float:
    text = query.get(key, str(usual)).removesuffix("s" if key == "seconds" else "")
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise WordError(f"{key}: a number from {least:g} to {most:g}")
    return number


def _text(text: str, kind: str = "text/plain") -> web.Response:
    return web.Response(text=text, content_type=kind)


# The pages


async def _index(query: Query) -> web.StreamResponse:  # noqa: ARG001  # a page
    return answer(PAGES)


async def _tasks(view: View, query: Query) -> web.StreamResponse:
    told = tasks.tasks(view.now())
    if _one_of(query, "format", "json", "text") == "text":
        return _text(tasks.as_text(told))
    return answer(told)


async def _stacks(query: Query) -> web.StreamResponse:
    told = threads()
    if _one_of(query, "format", "text", "json") == "json":
        return answer(told)
    return _text("\n".join(block(f"{one['name']} ({one['id']}):", one["stack"]) for one in told))


async def _bugs(view: View, query: Query) -> web.StreamResponse:  # noqa: ARG001  # a page
    return answer([_bug(bug) for bug in view.bugs.report()])


def _bug(bug: Bug) -> dict[str, Any]:
    return {
        "fingerprint": bug.fingerprint,
        "error": bug.error,
        "where": bug.where,
        "count": bug.count,
        "first": _time(bug.first),
        "last": _time(bug.last),
        "first_seen_with": bug.about,
        "trace": bug.trace,
    }


class _Memory:
    """The page of the memory, and the switch of tracemalloc on it."""

    def __init__(self, view: View) -> None:
        self._view = view

    @cached_property
    def _tracing(self) -> Tracing:
        from meshproxy.control.heap import Tracing  # 9 ms, of which tracemalloc takes most

        return Tracing(self._view.now)

    async def page(self, query: Query) -> web.StreamResponse:
        from meshproxy.control import heap

        with_objects = _one_of(query, "objects", "0", "1") == "1"
        told = {
            "process": heap.process(),
            "kept": heap.kept(self._view),
            "collector": heap.collector(),
            "tracemalloc": {**self._tracing.state(), "top": await heap.allocations()},
        }
        if with_objects:
            told["objects"] = await heap.objects()
        return answer(told)

    async def switch(self, query: Query) -> web.StreamResponse:
        if "tracemalloc" not in query:
            raise WordError("tracemalloc: on or off, as in /debug/memory?tracemalloc=on&seconds=60")
        if _one_of(query, "tracemalloc", "on", "off") == "on":
            self._tracing.begin(_number(query, "seconds", TRACE_FOR, 1, TRACE_AT_MOST))
        else:
            self._tracing.end()
        return answer(self._tracing.state())


def _profile(view: View) -> Answer:
    """One at a time: there is one timer."""
    busy = False

    async def page(request: web.Request) -> web.StreamResponse:
        nonlocal busy
        try:
            query = _query(request, ("seconds", "format", "hz", "clock", "threads"))
            seconds = _number(query, "seconds", 5, 0.1, LONGEST)
            hz = int(_number(query, "hz", 100, 1, FASTEST))
            form = _one_of(query, "format", "svg", "speedscope", "collapsed")
            clock = _one_of(query, "clock", "wall", "cpu")
            everyone = _one_of(query, "threads", "main", "all") == "all"
        except WordError as error:
            return refusal(422, str(error))
        if busy:
            return refusal(409, "a profile is being taken already")
        from meshproxy.control.sampling import CLOCKS, Sampler

        busy = True
        try:
            take_time(request, seconds)
            sampler = Sampler(CLOCKS[clock], hz, everyone=everyone)
            await sampler.run(seconds)
        finally:
            busy = False
        name = view.identity.name
        title = f"{name}: {seconds:g} s of {clock} time, {hz} samples a second"
        return _drawn(sampler.stacks(), form, title, sampler.period)

    return page


def _drawn(stacks: Stacks, form: str, title: str, period: float) -> web.StreamResponse:
    from meshproxy.telemetry.flame import svg
    from meshproxy.telemetry.profile import collapsed, speedscope, tree

    if form == "collapsed":
        return _text(collapsed(stacks))
    if form == "speedscope":
        return answer(speedscope(stacks, title, period, f"meshproxy@{__version__}"))
    return _text(svg(tree(stacks), title, period), "image/svg+xml")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
