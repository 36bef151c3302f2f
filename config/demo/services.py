"""The applications of the demo: front, orders, users and payments, on aiohttp.

They decide what a shop says and which hop calls which. They know nothing of limits,
retries, breakers or endpoints: each calls `localhost` and its sidecar does the rest.
What an application owes the mesh is in `carried`: hand on the headers of the trace.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import ClientSession, web

CARRIED = ("traceparent", "tracestate", "b3", "x-request-id")
SESSION = web.AppKey("session", ClientSession)
SIDECAR = f"http://127.0.0.1:{os.environ.get('OUTBOUND_PORT', '15001')}"
INSTANCE = os.environ.get("INSTANCE", "demo")
SLOW = 1.5  # seconds; longer than the caller's per_try_timeout

Json = dict[str, Any]


def carried(request: web.Request) -> dict[str, str]:
    """The headers that keep one trace together across this service."""
    return {name: request.headers[name] for name in CARRIED if name in request.headers}


def seen(request: web.Request) -> Json:
    """What this hop saw of the trace, for the caller to look at."""
    return {
        "service": INSTANCE,
        "traceparent": request.headers.get("traceparent"),
        "request_id": request.headers.get("x-request-id"),
    }


def answer(body: Json, status: int = 200, indent: int | None = None) -> web.Response:
    """A JSON answer that ends its line, so that curl prints it well."""
    text = json.dumps(body, indent=indent) + "\n"
    return web.Response(text=text, status=status, content_type="application/json")


async def call(request: web.Request, method: str, host: str, path: str, **extra: str) -> Json:
    """Call another service through the sidecar, or end this request with what it said."""
    headers = {"host": host, **carried(request), **extra}
    session = request.app[SESSION]
    async with session.request(method, SIDECAR + path, headers=headers) as reply:
        if reply.status != 200:
            # Whoever failed, its own word goes up to the caller: the rule, where a sidecar spoke.
            raise web.HTTPBadGateway(text=(await reply.text()).rstrip() + "\n")
        body: Json = await reply.json()
        return body


async def menu(_: web.Request) -> web.Response:
    """Front: answered without calling anybody."""
    return answer({"menu": ["tea", "coffee"]})


async def checkout(request: web.Request) -> web.Response:
    """Front: place an order; with `?hops` in the URL, say what each hop saw of the trace."""
    order = await call(request, "POST", "orders", "/orders")
    hops = [seen(request), *order.pop("hops")]
    if "hops" in request.query:
        return answer({**order, "hops": hops}, indent=2)
    return answer(order)


def place_order() -> Callable[[web.Request], Any]:
    """Orders: look the customer up and have the order paid for."""
    numbers = itertools.count(1)

    async def place(request: web.Request) -> web.Response:
        number = next(numbers)
        user = await call(request, "GET", "users", "/users/ada")
        # A POST is only retried after the bytes have left when it is marked as repeatable.
        paid = await call(
            request, "POST", "demo", "/payments/charges", **{"idempotency-key": f"order-{number}"}
        )
        hop = paid["hop"]
        return answer(
            {
                "order": number,
                "customer": user["name"],
                "paid_by": hop["service"],
                "hops": [seen(request), user["hop"], hop],
            }
        )

    return place


async def user(request: web.Request) -> web.Response:
    """Users: one customer."""
    return answer({"name": request.match_info["name"].title(), "hop": seen(request)})


class Till:
    """Payments: takes the money; in `flaky` mode every third charge fails, each time otherwise."""

    __slots__ = ("_faults", "_turn", "mode")

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._turn = itertools.count(1)
        self._faults = itertools.cycle((self._refuse, self._stall, self._hang_up))

    async def charge(self, request: web.Request) -> web.Response:
        """Answer one charge the way the mode says."""
        if self.mode == "down":
            return await self._refuse(request)
        if self.mode == "flaky" and next(self._turn) % 3 == 0:
            return await next(self._faults)(request)
        return answer({"paid": True, "hop": seen(request)})

    async def switch(self, request: web.Request) -> web.Response:
        """Change the mode: `steady`, `flaky` or `down`."""
        mode = request.match_info["mode"]
        if mode not in ("steady", "flaky", "down"):
            return answer({"error": "the modes are steady, flaky and down"}, status=400)
        self.mode = mode
        return answer({"instance": INSTANCE, "mode": mode})

    async def _refuse(self, _: web.Request) -> web.Response:
        return answer({"paid": False}, status=503)

    async def _stall(self, request: web.Request) -> web.Response:
        await asyncio.sleep(SLOW)
        return answer({"paid": True, "hop": seen(request)})

    async def _hang_up(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # goes nowhere: the connection is gone


async def _session(app: web.Application) -> AsyncIterator[None]:
    async with ClientSession() as session:
        app[SESSION] = session
        yield


def build(service: str, mode: str) -> web.Application:
    """The application of one service."""
    till = Till(mode)
    routes = {
        "front": [web.get("/menu", menu), web.post("/checkout", checkout)],
        "orders": [web.post("/orders", place_order())],
        "users": [web.get("/users/{name}", user)],
        "payments": [web.post("/charges", till.charge), web.post("/mode/{mode}", till.switch)],
    }
    app = web.Application()
    app.cleanup_ctx.append(_session)
    app.add_routes(routes[service])
    return app


def main() -> None:
    """Serve one service on the loopback until SIGTERM."""
    parser = argparse.ArgumentParser(description="one application of the demo")
    parser.add_argument("service", choices=["front", "orders", "users", "payments"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mode", choices=["steady", "flaky", "down"], default="steady")
    options = parser.parse_args()
    app = build(options.service, options.mode)
    web.run_app(
        app,
        host="127.0.0.1",
        port=options.port,
        print=None,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=1.0,
    )


if __name__ == "__main__":
    main()
