"""Becomes rotel, an OpenTelemetry collector that others made, with the options given.

Its program is linked to Python's shared library. Many a Python keeps that where the loader
does not look (pyenv, uv), and some come without (Debian's own, until libpython3.x is installed):
the first is helped here, of the second it is said what to install. What starts rotel, starts it
by this file; the process is then rotel itself, so signals and exit codes are its own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

NOT_STARTED = 127  # what the loader exits with, and this file for the same reason


def main(options: list[str]) -> NoReturn:
    """Replace this process by rotel, or say why that cannot be."""
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        refuse("rotel is missing: it comes with requirements-dev.lock")
    agent = str(Path(found.origin).with_name("rotel-agent"))
    paths = [os.environ.get("LD_LIBRARY_PATH"), sysconfig.get_config_var("LIBDIR")]
    env = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}
    try:
        tried = subprocess.run(
            [agent, "--version"], env=env, capture_output=True, text=True, check=False
        )
    except OSError as error:
        refuse(f"rotel does not start: {error.strerror}")
    if tried.returncode == NOT_STARTED:
        package = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
        said = tried.stderr.strip().rpartition("loading shared libraries: ")[2]
        refuse(f"rotel does not start: {said}; try: sudo apt-get install {package}")
    os.execve(agent, [agent, *options], env)


def refuse(why: str) -> NoReturn:
    """Say why nothing is received, and end."""
    print(why, file=sys.stderr)
    sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main(sys.argv[1:])
