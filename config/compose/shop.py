"""The two apps of the compose demo: `shop.py orders` calls payments, which fails at times.

Only the standard library, and only the loopback: what is wrong with the network, with the
other service or with a greedy client is the sidecar's to deal with.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("APP_PORT", "8080"))
SIDECAR = f"http://127.0.0.1:{os.environ.get('OUTBOUND_PORT', '15001')}"
CARRIED = ("traceparent", "tracestate", "b3", "x-request-id")
NUMBERS = itertools.count(1)


class App(BaseHTTPRequestHandler):
    """What both have: HTTP/1.1 and JSON."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: object) -> None:
        """The sidecar's log says it."""


class Payments(App):
    """Takes the money, but every third time."""

    def do_GET(self) -> None:
        number = next(NUMBERS)
        if number % 3 == 0:
            self.answer(503, {"paid": False})
        else:
            self.answer(200, {"paid": True, "charge": number})


class Orders(App):
    """Has each order paid for."""

    def do_GET(self) -> None:
        try:
            self.answer(200, {"order": next(NUMBERS), **self.pay()})
        except (OSError, ValueError) as error:
            self.answer(502, {"error": str(error)})

    def pay(self) -> dict[str, object]:
        headers = {name: self.headers[name] for name in CARRIED if name in self.headers}
        asked = urllib.request.Request(f"{SIDECAR}/charge", headers={"host": "payments", **headers})
        with urllib.request.urlopen(asked, timeout=5) as reply:
            paid: dict[str, object] = json.load(reply)
            return paid


def main() -> None:
    app = {"orders": Orders, "payments": Payments}[sys.argv[1]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ThreadingHTTPServer(("127.0.0.1", PORT), app) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
