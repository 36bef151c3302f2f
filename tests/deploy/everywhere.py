"""Runs every sidecar of the end-to-end tests under the container's list of system calls:

    python -m pytest -p tests.deploy.everywhere tests/e2e -k "not small_commands"

For whoever changes the list, or makes the sidecar do something new. (The tests left out measure
how fast a command starts, and the confinement starts first.)
"""

from __future__ import annotations

from tests.e2e.harness import sidecar

from .test_seccomp import CONFINED

_plain = sidecar.command


def _confined(*arguments: str) -> list[str]:
    return [*CONFINED, *_plain(*arguments)]


sidecar.command = _confined
