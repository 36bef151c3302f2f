"""`explain`: what would become of a request and why, or where a value of the config comes from.

Asks a file, as a sidecar that has just started on it would answer, or the running sidecar. What
would happen is found out by either; here it becomes text.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from typing import Any
from urllib.parse import urlencode

from meshproxy.commands.prose import lines
from meshproxy.commands.sources import UsageError, read, required

FORWARDED, REFUSED, INVALID = 0, 1, 2
"""Exit codes."""


def explain(options: Namespace) -> int:
    """A request (METHOD URL, or URL alone), or the path of a value."""
    method, url = _request(options.what)
    live = options.live or options.admin is not None
    if not url:
        if live or options.header:
            raise UsageError("a value is explained by the file alone, without --live and -H")
        return _value(options)
    asked = [("method", method), ("url", url), *(("header", each) for each in options.header)]
    asked += [
        (name, value)
        for name, value in (("listener", options.listener), ("client", options.client))
        if value is not None
    ]
    told = _of_the_running(options, asked) if live else _of_a_file(options, asked)
    if told is None:
        return INVALID
    if options.format == "json":
        print(json.dumps(told, indent=2))
    else:
        print("\n".join(lines(told)))
    return _code(told["verdict"])


def _request(words: list[str]) -> tuple[str, str]:
    """Method and URL; no URL where a value is meant."""
    if len(words) == 1:
        is_url = words[0].startswith("/") or "://" in words[0]
        return ("GET", words[0]) if is_url else ("", "")
    if len(words) == 2:
        return words[0], words[1]
    raise UsageError("write METHOD URL, or the path of a value as in outbound.defaults.timeout")


def _code(verdict: dict[str, Any]) -> int:
    refused = verdict["action"] in ("refuse", "reset")
    waits_in_vain = verdict["action"] == "hold" and (verdict["status"] or 0) >= 400
    return REFUSED if refused or waits_in_vain else FORWARDED


def _of_the_running(options: Namespace, asked: list[tuple[str, str]]) -> dict[str, Any] | None:
    from meshproxy.commands.remote import admin_address, ask

    path = f"/explain?{urlencode(asked)}"
    status, body = ask(admin_address(options), "GET", path, options.timeout)
    try:
        told: dict[str, Any] = json.loads(body)
    except ValueError:
        told = {}
    if status == 200:
        return told
    print(told.get("error") or f"status {status}", file=sys.stderr)
    return None


def _of_a_file(options: Namespace, asked: list[tuple[str, str]]) -> dict[str, Any] | None:
    settings = _settings(options)
    if settings is None:
        return None
    from meshproxy.app import explained
    from meshproxy.control.explain import BadQuestionError

    try:
        return explained(settings, asked)
    except BadQuestionError as error:
        print(error, file=sys.stderr)
        return None


def _value(options: Namespace) -> int:
    """`outbound.services.payments.timeout`: the value in force, and who said it."""
    from meshproxy.settings.origins import values

    settings = _settings(options)
    if settings is None:
        return INVALID
    try:
        found = [
            {"path": path, "value": value, "origin": origin}
            for path, value, origin in values(settings, options.what[0])
        ]
    except ValueError as error:
        print(f"{options.what[0]}: {error}", file=sys.stderr)
        return INVALID
    if options.format == "json":
        print(json.dumps(found, indent=2))
        return FORWARDED
    paths = max(len(str(each["path"])) for each in found)
    texts = [_plain(each["value"]) for each in found]
    width = min(40, max(len(text) for text in texts))
    for each, text in zip(found, texts, strict=True):
        print(f"{each['path']:<{paths}}  {text:<{width}}  {each['origin']}")
    return FORWARDED


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _settings(options: Namespace) -> Any:
    """None where the file is wrong, and then every reason is told."""
    from meshproxy.settings.errors import ConfigError
    from meshproxy.settings.validate import validate

    name = required(options.config)
    try:
        data, name = read(name)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror or error}") from None
    try:
        return validate(data, name, os.environ)
    except ConfigError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return None
