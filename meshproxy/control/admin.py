"""The admin port: what the sidecar is and does at this moment, and the few things to tell it.

Listens on the loopback, yet a browser of this machine can be made to ask anything there by
any page: `serving` refuses such strangers, and only POST changes something.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, Protocol

from aiohttp import web

from meshproxy import __version__
from meshproxy.control.dashboard import add_dashboard
from meshproxy.control.debug import add_debug
from meshproxy.control.orders import ORDERS, obey
from meshproxy.control.serving import Answer, answer, manners, refusal, take_time
from meshproxy.control.steer import WrongOrderError
from meshproxy.control.view import View
from meshproxy.core.report import Reported
from meshproxy.core.route import Endpoint, Phases, Plan, Route

PATIENCE = 5.0
"""Seconds for the body of a question, which nothing here needs."""

PAGES = {"breakers": "/breakers", "rate-limits": "/rate-limits", "cache": "/cache"}
"""Sections of reported state with a page of their own; the others are part of /stats."""

UPGRADE = 35.0
"""Seconds that an upgrade may take, its answer included."""

MUTATIONS = ("/reload", "/drain", "/drain/inbound", "/upgrade", "/logging", "/cache/purge")


def admin_application(view: View) -> web.Application:
    """Every page and every command of the admin port."""
    application = web.Application(middlewares=[manners(view), guard])
    shown: dict[str, Callable[[View], Any]] = {
        "/info": info,
        "/config": config,
        "/routes": routes,
        "/clusters": clusters,
        "/stats": stats,
        "/failures": failures,
    }
    shown |= {path: _of_section(section) for section, path in PAGES.items()}
    for path, show in shown.items():
        application.router.add_get(path, _page(view, path, show))
    for order in ORDERS:
        application.router.add_post(f"/{order}", _order(view, order))
    add_dashboard(application.router, view)
    application.router.add_get("/explain", _explain(view))
    for path, make in STREAMS.items():
        stream = Stream(view, make)
        application.router.add_get(path, stream.answer, allow_head=False)
        application.on_shutdown.append(stream.close)
    add_debug(application, view)
    application.router.add_post("/reload", _reload(view))
    application.router.add_post("/drain", _drain(view))
    application.router.add_post("/upgrade", _upgrade(view))
    return application


def pages(view: View) -> dict[str, Any]:
    """What the other workers need of ours, by path, to show all of them as one."""
    from meshproxy.control import observer  # only several workers, or /metrics, need it

    told = {"/clusters": clusters(view), "/stats": stats(view), observer.PAGE: observer.parts(view)}
    return told | {path: _of_section(section)(view) for section, path in PAGES.items()}


# What may be asked


@web.middleware
async def guard(request: web.Request, handler: Answer) -> web.StreamResponse:
    """No reading changes anything, and no answer before the whole question is here."""
    if request.path in MUTATIONS and request.method != "POST":
        return refusal(405, f"{request.path} changes something: POST it", {"Allow": "POST"})
    if request.body_exists:
        try:
            async with asyncio.timeout(PATIENCE):
                await request.read()
        except TimeoutError:
            return refusal(408, "the request's body did not come")
    return await handler(request)


class Streaming(Protocol):
    """An answer that goes on until its reader or the port goes."""

    async def answer(self, request: web.Request) -> web.StreamResponse: ...
    async def close(self, application: web.Application) -> None: ...


class Stream:
    """One of them, loaded when the first asks: nobody may ever do."""

    def __init__(self, view: View, make: Callable[[View], Streaming]) -> None:
        self._view = view
        self._make = make
        self._made: Streaming | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self._made is None:
            self._made = self._make(self._view)
        return await self._made.answer(request)

    async def close(self, application: web.Application) -> None:
        if self._made is not None:
            await self._made.close(application)


def _tap(view: View) -> Streaming:
    from meshproxy.control.tap import Taps  # few ever watch

    return Taps(view)


def _live(view: View) -> Streaming:
    from meshproxy.control.live import Live  # few ever watch

    return Live(view)


STREAMS: dict[str, Callable[[View], Streaming]] = {"/tap": _tap, "/live": _live}


# What is shown


def info(view: View) -> dict[str, Any]:
    return {
        "service": asdict(view.identity),
        "meshproxy": __version__,
        "python": platform.python_version(),
        "pid": view.company.pid,
        "workers": list(view.company.workers()),
        "uptime_seconds": round(view.uptime(), 3),
        "draining": view.draining,
        "config": {"source": view.source, "generation": view.standing.generation},
        "listeners": [asdict(listening) for listening in view.listeners()],
    }


def config(view: View) -> dict[str, Any]:
    """The effective config: every default filled in, secrets as `***`."""
    snapshot, standing = view.snapshot, view.standing
    return {
        "source": view.source,
        "generation": snapshot.generation if snapshot else 0,
        "digest": snapshot.digest if snapshot else "",
        "loaded_at": _time(standing.succeeded_at),
        "last_reload": {
            "ok": standing.ok,
            "reason": standing.reason,
            "at": _time(standing.at),
            "errors": standing.errors,
        },
        "config": snapshot.source if snapshot else None,
    }


def routes(view: View) -> list[dict[str, Any]]:
    """Per listener, in the order in which they are asked."""
    plans = view.snapshot.plans.values() if view.snapshot else ()
    return [_plan(plan) for plan in plans]


def clusters(view: View) -> list[dict[str, Any]]:
    """Endpoints with their connections, and what breakers and checks say of each."""
    found = view.snapshot.clusters if view.snapshot else ()
    known = _verdicts(view)
    return [
        {
            "name": cluster.name,
            "panic": known.get((cluster.name, ""), {}).get("panic", False),
            "endpoints": [
                _endpoint(one) | known.get((cluster.name, one.name), {})
                for one in cluster.endpoints
            ],
        }
        for cluster in found
    ]


def _verdicts(view: View) -> dict[tuple[str, str], dict[str, Any]]:
    """By upstream and endpoint (none: the whole of it), those that are in force."""
    now = view.now()
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for cell in _reported(view.cells()):
        if cell.section not in ("breakers", "health_checks", "panic"):
            continue
        report = cell.report(now)
        if report.get("mode") == "shadow":
            continue
        entry = known.setdefault((report["upstream"], report.get("endpoint", "")), {})
        if cell.section == "breakers":
            entry["circuit"] = report["state"]
            if "forced" in report:
                entry["forced"] = report["forced"]
        elif cell.section == "panic":
            entry["panic"] = entry.get("panic", False) or report["on"]
        else:
            entry["health"] = {key: report[key] for key in ("healthy", "checked", "last")}
    return known


def stats(view: View) -> dict[str, Any]:
    """The app's numbers, and what policies report that has no page of its own."""
    from meshproxy.control.summary import summary  # few ever ask

    now = view.now()
    others: dict[str, list[Mapping[str, Any]]] = {}
    for cell in _reported(view.cells()):
        if cell.section not in PAGES:
            others.setdefault(cell.section, []).append(cell.report(now))
    uptime = {"uptime_seconds": round(view.uptime(), 3)}
    return {**uptime, **view.stats(), **summary(view), **others}


def failures(view: View) -> list[Mapping[str, Any]]:
    """The latest exchanges that did not go well, the newest first."""
    return list(reversed(view.recent.since(0, view.recent.latest)))


def _of_section(section: str) -> Callable[[View], list[Mapping[str, Any]]]:
    def show(view: View) -> list[Mapping[str, Any]]:
        now = view.now()
        return [cell.report(now) for cell in _reported(view.cells()) if cell.section == section]

    return show


def _reported(cells: Iterable[Any]) -> Iterable[Reported]:
    return (cell for cell in cells if isinstance(cell, Reported))


def _plan(plan: Plan) -> dict[str, Any]:
    address = f"[{plan.host}]" if ":" in plan.host else plan.host
    return {
        "listener": plan.key,
        "direction": plan.direction,
        "listen": f"{address}:{plan.port}",
        "routes": [_route(route) for route in plan.routes],
    }


def _route(route: Route) -> dict[str, Any]:
    return {
        "name": route.name,
        "upstream": route.cluster.name if route.cluster else None,
        "rule": route.rule,
        **route.about,
        "phases": _phases(route.phases),
    }


def _phases(phases: Phases) -> dict[str, list[str]]:
    """Who takes part in each phase, in the order of the walk."""
    return {
        name: [_policy(method) for method in getattr(phases, name)]
        for name in (phase.name for phase in fields(phases) if phase.init)
        if getattr(phases, name)
    }


def _policy(method: Callable[..., Any]) -> str:
    owner = getattr(method, "__self__", None)
    return type(owner).__name__ if owner is not None else method.__qualname__


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "address": endpoint.name,
        "version": endpoint.version or None,
        "weight": endpoint.weight,
        "tier": endpoint.tier,
        "in_flight": endpoint.load,
        "first_byte_seconds": round(endpoint.cost, 6),
        "connections": {
            "open": endpoint.connections,
            "idle": endpoint.idling,
            "dialling": endpoint.dials,
            "waiting": len(endpoint.waiters),
            "kept_idle_seconds": endpoint.idle_for,
        },
    }


def _time(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None


# How it is answered


def _page(view: View, path: str, show: Callable[[View], Any]) -> Answer:
    async def page(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        await view.company.gather()
        return answer(view.company.added(path, show(view)))

    return page


def _explain(view: View) -> Answer:
    async def explained(request: web.Request) -> web.StreamResponse:
        from meshproxy.control import explain  # few ever ask

        snapshot = view.snapshot
        asked = [(name, str(value)) for name, value in request.query.items()]
        try:
            plan, question = explain.read(asked, snapshot.plans if snapshot else {})
        except explain.BadQuestionError as error:
            return refusal(422, str(error))
        return answer(explain.shown(view.explain(plan, question)))

    return explained


def _reload(view: View) -> Answer:
    async def reload(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        # A caller that leaves must not stop it half way.
        outcome = await asyncio.shield(view.reload("admin"))
        return answer(asdict(outcome), 200 if outcome.ok else 422)

    return reload


def _drain(view: View) -> Answer:
    async def drain(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        view.begin_drain()
        return answer({"draining": view.draining}, 202)

    return drain


def _upgrade(view: View) -> Answer:
    async def upgrade(request: web.Request) -> web.StreamResponse:
        take_time(request, UPGRADE)
        why = await asyncio.shield(view.upgrade())
        return refusal(409, why) if why else answer({"upgraded": True})

    return upgrade


def _order(view: View, order: str) -> Answer:
    """Carried out here, and by the other workers too."""

    async def carry_out(request: web.Request) -> web.StreamResponse:
        if len(request.query) > len(set(request.query)):
            return refusal(422, "each word of an order is said once")
        try:
            done = obey(view, order, request.query)
        except WrongOrderError as error:
            return refusal(422, str(error))
        await view.company.spread(order, dict(request.query))
        return answer(done)

    return carry_out
