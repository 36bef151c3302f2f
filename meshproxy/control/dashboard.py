"""The dashboard: one page that runs in the browser on what the other pages tell.

Hands out the few files of `static/` as they are, and the two pages that only people read.
Nothing is loaded from anywhere else: the policy sent along forbids it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from meshproxy.control.history import Entry
from meshproxy.control.serving import Answer, answer, refusal
from meshproxy.control.spelled import spelled
from meshproxy.control.view import View

FOLDER = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript"}
"""What the page is made of; nothing else of the folder is given away."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No script in the page itself, none from elsewhere, and nowhere to send anything to."""


def add_dashboard(router: web.UrlDispatcher, view: View) -> None:
    """The page at `/`, its files, and what it shows of the config."""
    router.add_get("/", _file("dashboard.html", "text/html"))
    for file in sorted(FOLDER.rglob("*")):
        if file.suffix in KINDS:
            name = file.relative_to(FOLDER).as_posix()
            router.add_get(f"/dashboard/{name}", _file(name, KINDS[file.suffix]))
    router.add_get("/config/text", _text(view))
    router.add_get("/config/history", _history(view))


def _file(name: str, kind: str) -> Answer:
    async def page(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        # Read each time: a page is asked for by people, and needs no memory in between.
        body = (FOLDER / name).read_bytes()
        return web.Response(
            body=body,
            content_type=kind,
            charset="utf-8",
            headers={"Content-Security-Policy": POLICY},
        )

    return page


def _text(view: View) -> Answer:
    async def page(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        source = view.snapshot.source if view.snapshot else {}
        # A large config takes a while to be spelled, and traffic shall not wait for it.
        lines = await asyncio.to_thread(spelled, source)
        return web.Response(text="\n".join([*lines, ""]))

    return page


def _history(view: View) -> Answer:
    async def page(request: web.Request) -> web.StreamResponse:
        number = request.query.get("number")
        if number is None:
            return answer([_entry(entry) for entry in view.history])
        found = next((one for one in view.history if number == str(one.number)), None)
        if found is None:
            return refusal(404, "no such reload is remembered: GET /config/history lists them")
        diff = await asyncio.to_thread(lambda: found.diff)
        return answer({**_entry(found), "diff": diff})

    return page


def _entry(entry: Entry) -> dict[str, Any]:
    outcome = entry.outcome
    return {
        "number": entry.number,
        "at": datetime.fromtimestamp(entry.at, UTC).isoformat(),
        "reason": outcome.reason,
        "ok": outcome.ok,
        "generation": outcome.generation,
        "digest": outcome.digest,
        "errors": outcome.errors,
        "changes": outcome.changes,
    }
