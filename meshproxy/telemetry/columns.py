"""A request as one line for people, in columns.

Takes the fields of the access log's line and adds nothing to them; whatever they hold, the line
is printable ASCII.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshproxy.telemetry.access_log import plain

WAYS = {"inbound": "in", "outbound": "out"}

_LINE = "{:12} {:3} {:3} {:6} {:7} {:32} {:40} {:>9} {:>3} {}"

HEAD = _LINE.format(
    "# time (UTC)", "way", "st.", "reason", "method", "path", "route -> endpoint", "duration",
    "try", "request id",
)  # fmt: skip


def text_line(fields: Mapping[str, Any]) -> bytes:
    """Time, direction, status, reason, method, path, route, endpoint, duration, tries, id."""
    line = _LINE.format(
        fields["time"][11:23],
        WAYS.get(fields["direction"], "?"),
        fields["status"],
        fields["reason"] or "-",
        fields["method"] or "-",
        fields["path"] or "-",
        f"{fields['route']} -> {fields['endpoint'] or '-'}",
        _duration(fields["duration_ms"]),
        f"{fields['attempts']}x",
        fields["request_id"] or "-",
    )
    return plain(line.encode("utf-8", "surrogateescape")).encode() + b"\n"


def _duration(milliseconds: float) -> str:
    if milliseconds < 1000.0:
        return f"{milliseconds:.1f}ms"
    return f"{milliseconds / 1000.0:.3f}s"
