"""Requests that must be taken, and what of each must reach the origin: no more, no less.

A proxy that refuses everything is strict too; these are what its clients really send.
"""

from __future__ import annotations

from . import fields, framing, hops, pipelines, targets

ALL = (
    *framing.CASES,
    *fields.CASES,
    *targets.CASES,
    *hops.CASES,
    *pipelines.CASES,
)
