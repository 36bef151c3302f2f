"""The metrics port: is it alive, has it started, is it ready; and the scrape.

A failed reload and an open breaker are told but never make it unready: the config before
still serves, and an upstream's trouble is not this pod's. An app that fails its health checks is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import payload, web
from aiohttp.abc import AbstractStreamWriter

from meshproxy import __version__
from meshproxy.control.serving import Answer, answer, manners
from meshproxy.control.view import View
from meshproxy.core.report import Reported
from meshproxy.settings.views import APP

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

SHOWN = 5
"""Errors of a failed reload that a probe tells; /config of the admin port tells all."""

Checks = dict[str, "Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question a probe asks, and what there is to say about the answer."""

    ok: bool
    detail: str


def live(view: View) -> Checks:  # noqa: ARG001  # whoever answers has a loop that turns
    return {"loop": Check(True, "answering")}


def startup(view: View) -> Checks:
    """Ready once; draining does not undo a start."""
    return {"config": _config(view), "listeners": _listeners(view)}


def ready(view: View) -> Checks:
    draining = Check(not view.draining, "draining" if view.draining else "not draining")
    return {**startup(view), "drain": draining, **_app(view)}


def told(view: View, checks: Checks) -> tuple[int, dict[str, Any]]:
    """The status of a probe and its body."""
    good = all(check.ok for check in checks.values())
    body = {
        "status": "ok" if good else "unavailable",
        "service": view.identity.name,
        "version": view.identity.version,
        "meshproxy": __version__,
        "checks": {
            name: {"ok": check.ok, "detail": check.detail} for name, check in checks.items()
        },
    }
    return (200 if good else 503), body


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept field likes OpenMetrics at least as much as the plain text format.

    RFC 9110 section 12.5.1, as far as a scraper needs it: the best weight of each type.
    """
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        if kind in best:
            best[kind] = max(best[kind], _weight(parameters))
    return 0.0 < best["application/openmetrics-text"] >= best["text/plain"]


def metrics_application(view: View) -> web.Application:
    """GET /metrics, the three probes and their aliases under /health."""
    application = web.Application(middlewares=[manners(view)])
    add = application.router.add_get
    add("/metrics", _scrape(view))
    for path in ("/livez", "/health/live"):
        add(path, _probe(view, live))
    for path in ("/readyz", "/health", "/health/ready"):
        add(path, _probe(view, ready))
    for path in ("/startupz", "/health/startup"):
        add(path, _probe(view, startup))
    return application


def _config(view: View) -> Check:
    snapshot, standing = view.snapshot, view.standing
    if snapshot is None:
        return Check(False, "no config yet")
    in_force = f"generation {snapshot.generation}, {snapshot.digest}"
    if view.pending:
        in_force += f"; {view.pending}"
    if standing.ok:
        return Check(True, in_force)
    errors = standing.errors[:SHOWN]
    more = [f"and {len(standing.errors) - SHOWN} more"] if len(standing.errors) > SHOWN else []
    return Check(True, f"{in_force}; the last reload failed: {'; '.join([*errors, *more])}")


def _app(view: View) -> Checks:
    """Whether the app passes its health checks, where the file has any."""
    for cell in view.cells():
        if isinstance(cell, Reported) and cell.section == "health_checks":
            report = cell.report(view.now())
            if report["upstream"] == APP:
                return {"app": Check(report["ready"], report["last"] or "not checked yet")}
    return {}


def _listeners(view: View) -> Check:
    listeners = view.listeners()
    missing = [f"{one.key} {one.address}" for one in listeners if not one.bound]
    if missing or not listeners:
        return Check(False, f"not bound: {', '.join(missing) or 'none yet'}")
    return Check(True, ", ".join(f"{one.key} {one.address}" for one in listeners))


def _probe(view: View, checks: Any) -> Answer:
    async def probe(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        status, body = told(view, checks(view))
        return answer(body, status)

    return probe


class Pieces(payload.Payload):
    """A body that is there in pieces, and sent so: one write of all would copy megabytes."""

    def __init__(self, pieces: Sequence[bytes], kind: str) -> None:
        super().__init__(pieces, content_type=kind)
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in self._value:
            await writer.write(piece)
            await asyncio.sleep(0)


def _scrape(view: View) -> Answer:
    async def scrape(request: web.Request) -> web.StreamResponse:
        openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
        await view.company.gather()
        pieces = []
        for piece in view.metrics(openmetrics):
            pieces.append(piece)
            await asyncio.sleep(0)  # the loop turns: whoever has a request goes first
        return web.Response(body=Pieces(pieces, OPENMETRICS if openmetrics else TEXT))

    return scrape


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
