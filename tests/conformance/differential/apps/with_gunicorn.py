"""gunicorn as an origin: a WSGI application that answers with the target that it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.conformance.differential.apps.report import report

Start = Callable[[str, list[tuple[str, str]]], object]


def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    target = environ["RAW_URI"].encode("latin-1")
    if len(body) < int(environ.get("CONTENT_LENGTH") or 0):
        raise ConnectionError("the body is cut")
    report(environ["REQUEST_METHOD"], target, environ.get("HTTP_HOST", "").encode("latin-1"), body)
    start("200 OK", [("Content-Length", str(len(target))), ("Content-Type", "text/plain")])
    return [target]
