"""The README keeps its word: its files are valid, its commands run, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Origin, Sidecar

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


FILES = [block for block in blocks("yaml") if block.startswith("version:")]
SHELL = "".join(blocks("sh"))
CURLS = [
    line
    for line in SHELL.splitlines()
    # What the admin port is told, tests/e2e/test_controls.py tells it.
    if "127.0.0.1" in line and "curl " in line and ":15000" not in line
]


def meshproxy(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "meshproxy", *argv]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("text", FILES)
def test_a_configuration_in_the_readme_passes_check(text: str) -> None:
    checked = meshproxy("check", "-c", "-", stdin=text)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_first_configuration_is_fifteen_lines_long() -> None:
    assert len(FILES[0].splitlines()) == 15


def test_every_command_that_the_readme_names_is_a_command() -> None:
    code = SHELL + "\n".join(re.findall(r"`([^`\n]+)`", README))
    named = set(re.findall(r"^meshproxy ([a-z]+)", code, re.MULTILINE))
    assert {"run", "check", "schema", "init", "reload", "healthcheck", "version"} <= named
    unknown = [name for name in sorted(named) if meshproxy(name, "--help").returncode != 0]
    assert not unknown


def test_every_make_target_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`?make ([a-z]+)(?=`|\s{2,}#)", README))
    assert {"demo", "test"} <= named
    missing = [name for name in named if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE)]
    assert not missing


def test_every_link_to_a_file_leads_to_one() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_a_container_gets_the_folder_of_its_file_and_not_the_file() -> None:
    """Which, mounted by itself, would stay the old one when an editor renames another over it."""
    mounted = re.findall(r"-v \./(\S+?):(\S+?):ro", SHELL)
    assert mounted == [("orders", "/etc/meshproxy")]


def test_the_script_that_the_readme_calls_is_installed_under_its_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"meshproxy": "meshproxy.__main__:main"}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    """Stands in for every endpoint of the README's first configuration."""
    with Origin.running() as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(origin: Origin) -> Iterator[Sidecar]:
    """A sidecar with that configuration, on other ports."""
    places = {"0.0.0.0:15006": "<inbound>", "127.0.0.1:15001": "<outbound>"}
    places |= {"127.0.0.1:15102": "<users>", "127.0.0.1:8080": origin.address}
    text = re.sub(r"10\.0\.\d+\.\d+:8080", origin.address, FILES[0])
    # One origin plays both servers of payments, and a service lists an endpoint once.
    text = text.replace(f'["{origin.address}", "{origin.address}"]', f'["{origin.address}"]')
    for written, here in places.items():
        text = text.replace(written, here)
    with Sidecar.running(text) as running:
        yield running


@pytest.mark.parametrize("line", CURLS)
def test_a_service_is_reached_the_way_the_readme_says(
    line: str, sidecar: Sidecar, origin: Origin
) -> None:
    origin.forget()
    for port, name in (("15001", "outbound"), ("15102", "users")):
        line = line.replace(f"127.0.0.1:{port}", f"127.0.0.1:{sidecar.where(name)[1]}")
    shell = line.replace("curl ", "curl -sf -m 10 ", 1)
    done = subprocess.run(["sh", "-c", shell], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, shell
    path = "/charges" if "charges" in line else "/ada"
    assert origin.last.target == path


def test_the_readme_shows_four_ways_to_reach_a_service() -> None:
    assert len(CURLS) == 4
