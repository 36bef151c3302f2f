"""A port that tells a stream of events, and events as /live tells them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def route(name: str = "default", **more: Any) -> dict[str, Any]:
    return {
        "direction": "inbound", "route": name, "upstream": "app", "requests": 10, "rps": 10.0,
        "errors": 0, "success": 1.0, "p50_ms": 2.5, "p95_ms": 4.75, "p99_ms": 4.95, "limited": 0,
        "retries": 0, "in_flight": 0, **more,
    }  # fmt: skip


def endpoint(address: str = "10.0.0.1:80", **more: Any) -> dict[str, Any]:
    connections = {"open": 3, "idle": 1, "dialling": 0, "waiting": 0}
    return {
        "address": address, "version": None, "healthy": True, "circuit": "closed", "in_flight": 2,
        "weight": 1, "tier": 0, "first_byte_ms": 1.5, "connections": connections, **more,
    }  # fmt: skip


def upstream(name: str = "payments", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "attempts": 10, "failures": 1, "results": {"success": 9, "503": 1},
        "retries": 1, "panic": False, "endpoints": [endpoint()], **more,
    }  # fmt: skip


def event(**more: Any) -> dict[str, Any]:
    return {
        "at": "2026-01-02T03:04:05.000+00:00",
        "seconds": 1.0,
        "service": {"name": "orders", "version": "1.4"},
        "uptime_seconds": 3723.0,
        "generation": 7,
        "draining": False,
        "reload": {"ok": True, "at": "2026-01-02T03:00:00.000+00:00", "errors": []},
        "process": {
            "rss_bytes": 64 * 2**20, "cpu": 0.25, "open_files": 40, "loop_lag_ms": 1.2,
            "connections": {"inbound": 5, "outbound": 7},
        },
        "routes": [route()],
        "upstreams": [upstream()],
        "versions": [],
        "limits": [],
        "concurrency": [],
        "failures": [],
        **more,
    }  # fmt: skip


def told(*events: dict[str, Any]) -> bytes:
    """These events as they come over the wire, after the head of the answer."""
    spelled = (f"data: {json.dumps(each)}\n\n".encode() for each in events)
    return HEAD + b"retry: 1000\n" + b"".join(spelled)


@contextmanager
def telling(*pieces: bytes, stays: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """A port that answers one request with these pieces: its address and what it has heard."""
    heard: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(65536))
            for piece in pieces:
                connection.sendall(piece)
            if stays:
                done.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", heard
        finally:
            done.set()
            thread.join(10)
