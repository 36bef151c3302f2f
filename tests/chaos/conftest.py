"""The fixtures of the end-to-end tests: one origin and one sidecar per module, from its CONFIG."""

from __future__ import annotations

from tests.e2e.conftest import app, origin, sidecar

__all__ = ["app", "origin", "sidecar"]
