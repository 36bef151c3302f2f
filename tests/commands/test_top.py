"""`top` where its output is no terminal: tables, lines of JSON, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshproxy.__main__ import main
from meshproxy.commands import top

from .streams import event, route, telling, told


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MESHPROXY_CONFIG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def test_once_is_about_one_interval_and_not_all_that_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    since_start = event(routes=[route(rps=1.0)])
    latest = event(routes=[route(rps=5.5)])
    with telling(told(since_start, latest), stays=True) as (address, heard):
        assert main(["top", "--admin", address, "--once", "--every", "250ms"]) == 0
    text = capsys.readouterr().out
    assert " 5.5 " in text
    assert " 1.0 " not in text
    assert text.count("DIRECTION") == 1
    assert "\x1b" not in text
    assert heard[0].startswith(b"GET /live?every=250ms ")


def test_the_admin_port_is_found_in_the_config(capsys: pytest.CaptureFixture[str]) -> None:
    with telling(told(event(), event()), stays=True) as (address, _):
        Path("f.yaml").write_text(f"admin: {{listen: {address}}}")
        assert main(["top", "-c", "f.yaml", "--once"]) == 0
    assert address in capsys.readouterr().out


def test_columns_say_how_wide_plain_text_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with telling(told(event(), event()), stays=True) as (address, _):
        assert main(["top", "--admin", address, "--once"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.startswith("DIR ")]


def test_json_is_one_event_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    events = [event(generation=number) for number in range(3)]
    with telling(told(*events)) as (address, _):
        assert main(["top", "--admin", address, "--format", "json"]) == 1
    told_ = capsys.readouterr()
    assert [json.loads(line) for line in told_.out.splitlines()] == events
    assert told_.err == f"meshproxy top: the sidecar at {address} has ended\n"


def test_without_a_terminal_table_follows_table(capsys: pytest.CaptureFixture[str]) -> None:
    with telling(told(event(), event(), event())) as (address, _):
        assert main(["top", "--admin", address]) == 1
    assert capsys.readouterr().out.count("DIRECTION") == 3


def test_an_interrupt_is_how_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(stream: top.Stream, *_: object) -> None:
        next(stream)
        raise KeyboardInterrupt

    monkeypatch.setattr(top, "_tables", interrupted)
    with telling(told(event()), stays=True) as (address, _):
        assert main(["top", "--admin", address]) == 0


def test_a_window_that_changes_while_it_is_drawn_is_drawn_again() -> None:
    drawn: list[int] = []

    def show() -> None:
        drawn.append(len(drawn))
        if len(drawn) in (1, 2):
            drawing.draw()  # as the signal does
            drawing.draw()

    drawing = top.Drawing(show)
    drawing.draw()
    assert drawn == [0, 1, 2]
    drawing.draw()
    assert drawn == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "words",
    [
        ["--every", "100ms"],
        ["--every", "61s"],
        ["--every", "1"],
        ["--every", "fast"],
        ["--limit", "0"],
        ["--limit", "-1"],
        ["--sort", "colour"],
        ["--format", "xml"],
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(words: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["top", *words])
    assert refused.value.code == 2
