"""Requests that must be refused and never reach an origin.

RFC 9110 and 9112; where a case is stricter than they are, it says why. Grouped by what is abused.
"""

from __future__ import annotations

from . import chunks, fields, framing, hosts, lines, meaning, sizes, starts, targets

ALL = (
    *framing.CASES,
    *lines.CASES,
    *fields.CASES,
    *chunks.CASES,
    *hosts.CASES,
    *targets.CASES,
    *starts.CASES,
    *meaning.CASES,
    *sizes.CASES,
)
