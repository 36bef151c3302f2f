"""The policies there are: one line each, and the order of the lines is the order of the walk."""

from __future__ import annotations

from meshproxy.policies.contract import Spec

REGISTRY: tuple[type[Spec], ...] = ()
