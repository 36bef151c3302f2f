"""The command line: what is printed where, which exit code, and how little it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshproxy import __version__
from meshproxy.__main__ import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
GOOD = "inbound: {app: 'http://127.0.0.1:8080'}\n"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and no config of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MESHPROXY_CONFIG", raising=False)


def imported(*words: str) -> tuple[int, set[str]]:
    """The exit code of a command in a fresh interpreter, and the modules it loaded."""
    program = (
        "import sys, meshproxy.__main__ as main\n"
        "try: code = main.main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "print(code, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    code, *modules = done.stderr.splitlines()[-1].split()
    return int(code), {module.partition(".")[0] for module in modules}


HEAVY = {"aiohttp", "rich", "uvloop", "httptools", "prometheus_client", "asyncio"}


@pytest.mark.parametrize(
    ("words", "lean"),
    [
        (["--help"], True),
        (["run", "--help"], True),
        (["version"], True),
        (["schema"], True),
        (["init"], True),
        (["healthcheck", "--url", "http://127.0.0.1:9"], True),
        (["healthcheck", "-c", "plain.yaml"], True),
        (["reload", "--admin", "127.0.0.1:9"], True),
        (["tap", "--admin", "127.0.0.1:9", "--filter", "status>=500"], True),
        (["top", "--admin", "127.0.0.1:9"], True),
        (["check", "-c", "plain.yaml"], False),
    ],
)
def test_a_command_imports_only_what_it_needs(words: list[str], lean: bool) -> None:
    Path("plain.yaml").write_text(f"{GOOD}metrics: {{listen: '127.0.0.1:9'}}\n")
    code, modules = imported(*words)
    assert code == (1 if words[0] in ("healthcheck", "reload", "tap", "top") else 0)
    assert modules & HEAVY == set()
    if lean:
        assert modules & {"pydantic", "yaml"} == set()


def test_every_command_is_found_where_it_is_said_to_be() -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "meshproxy run --app :8080 --to payments=127.0.0.1:9000" in told.err
    for name in (*COMMANDS, "version"):
        assert f"    {name}" in told.err


@pytest.mark.parametrize("words", [["version"], ["--version"]])
def test_the_version_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(f"meshproxy {__version__} (Python 3.")


@pytest.mark.parametrize(
    "words",
    [["chek"], ["check", "--no-such"], ["run", "--to", "payments"], ["run", "--app"],
     ["top", "--every", "1"],
     ["reload", "--timeout", "never"], ["reload", "--timeout", "0"],
     ["run", "--log-level", "loud"]],
)  # fmt: skip
def test_words_that_mean_nothing_are_a_usage_error(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2


@pytest.mark.parametrize("command", ["run", "check"])
def test_without_any_config_it_says_how_to_name_one(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == 2
    assert "-c FILE" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["healthcheck", "-c", "none.yaml"]) == 1
    told = capsys.readouterr().err
    assert told == "meshproxy healthcheck: none.yaml: No such file or directory\n"


def test_a_reader_that_left_is_no_error_of_ours() -> None:
    line = f"{sys.executable} -m meshproxy schema | head -c 1"
    done = subprocess.run(
        ["sh", "-c", line],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr) == ("{", "")


@pytest.mark.parametrize(
    ("closed", "kept"), [("<&-", "stdin"), (">&-", "stdout"), ("2>&-", "stderr"),
                         ("<&- >&- 2>&-", "all of them")],
)  # fmt: skip
def test_a_closed_descriptor_is_filled_before_anything_else(
    closed: str, kept: str, tmp_path: Path
) -> None:
    program = f"""
import os, sys
from meshproxy.__main__ import main
assert main(["version"]) == 0
for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
    assert stream.fileno() == number, number
    assert os.get_inheritable(number), number
sys.stdin.read()
sys.stderr.write("told")
with open({str(tmp_path / "opened")!r}, "w") as opened:
    opened.write(str(opened.fileno()))
"""
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-W", "error", "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, (kept, done.stderr)
    assert int((tmp_path / "opened").read_text()) > 2
    assert done.stdout.startswith("meshproxy ") is (">&-" not in closed.replace("2>&-", ""))
    assert (done.stderr == "told") is ("2>&-" not in closed)


def test_the_whole_path_from_init_to_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    assert main(["check"]) == 0
    assert main(["check", "--format", "json"]) == 0
    lines = capsys.readouterr().out
    assert json.loads(lines[lines.index("{\n") :])["ok"] is True
