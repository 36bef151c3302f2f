"""The words of `inject` are read as the help says."""

from __future__ import annotations

import pytest

from meshproxy import __version__
from meshproxy.commands.arguments import parser


def test_a_file_is_all_it_takes() -> None:
    options = parser().parse_args(["inject", "-f", "a.yaml", "-f", "-"])
    assert options.file == ["a.yaml", "-"]
    assert options.image == f"meshproxy:{__version__}"
    assert (options.native, options.drain, options.to) == (True, 20, [])


def test_everything_can_be_said() -> None:
    words = ["--classic", "--drain", "45s", "--port", ":8080", "--to", "a=b:1,c:2"]
    options = parser().parse_args(["inject", "-f", "a.yaml", *words])
    assert (options.native, options.drain, options.port) == (False, 45, 8080)
    assert options.to == [("a", ["b:1", "c:2"])]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("--image", "two words"),
        ("--image", ""),
        ("--port", "0"),
        ("--port", "65536"),
        ("--port", "http"),
        ("--port", "15000"),
        ("--port", "15001"),
        ("--port", "15006"),
        ("--port", ":15020"),
        ("--config-map", "No_Name"),
        ("--drain", "1.5"),
        ("--drain", "-1"),
        ("--drain", "4000"),
    ],
)
def test_what_means_nothing_is_told(
    word: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["inject", "-f", "a.yaml", f"{word}={value}"])
    assert ended.value.code == 2
    assert f"argument {word}: " in capsys.readouterr().err


def test_a_port_of_the_sidecar_is_said_to_be_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["inject", "-f", "a.yaml", "--port", "15006"])
    assert "15006 is the sidecar's own inbound port, not the app's" in capsys.readouterr().err
