"""`tap` prints requests on standard output, all else on standard error, and says how it ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from meshproxy.__main__ import main
from meshproxy.commands import tap as module

from .test_remote import Sidecar

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n"
ONE = b'{"time":"2023-11-14T22:13:20.250Z","event":"request","status":503}\n'
TWO = b'{"time":"2023-11-14T22:13:21.250Z","event":"request","status":200}\n'
LAST = b'{"event":"tap","ended":"the sidecar has drained","told":2}\n'
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MESHPROXY_CONFIG", raising=False)


class Stream:
    """A port that answers one request with these pieces, and then hangs up or stays silent."""

    def __init__(self, pieces: Sequence[bytes], ends: bool) -> None:
        self.heard = b""
        self._pieces = pieces
        self.ends = threading.Event()
        if ends:
            self.ends.set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while b"\r\n\r\n" not in self.heard:
                self.heard += connection.recv(65536)
            for piece in self._pieces:
                connection.sendall(piece)
            self.ends.wait(10)

    @classmethod
    @contextmanager
    def of(cls, *pieces: bytes, ends: bool = True) -> Iterator[Stream]:
        stream = cls(pieces, ends)
        stream._thread.start()
        try:
            yield stream
        finally:
            stream.ends.set()
            stream._thread.join(10)
            stream._socket.close()

    @property
    def asked(self) -> dict[str, list[str]]:
        target = self.heard.split(b" ")[1].decode()
        assert target.startswith("/tap?")
        return parse_qs(urlsplit(target).query)


def test_requests_are_printed_and_the_end_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Stream.of(HEAD + b"\n", ONE + b"\n", TWO, LAST) as stream:
        assert main(["tap", "--admin", stream.address]) == 1
    told = capsys.readouterr()
    assert told.out == (ONE + TWO).decode()
    assert told.err.splitlines() == [
        LAST.decode().rstrip(),
        f"meshproxy tap: the sidecar at {stream.address} has ended this after 2 requests",
    ]
    assert stream.heard.endswith(b" HTTP/1.0\r\nHost: localhost\r\n\r\n")


def test_lines_may_come_in_any_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    whole = HEAD + b"\n" + ONE + TWO + LAST
    with Stream.of(*(whole[at : at + 1] for at in range(len(whole)))) as stream:
        assert main(["tap", "--admin", stream.address]) == 1
    assert capsys.readouterr().out == (ONE + TWO).decode()


def test_a_limit_that_is_reached_is_a_good_end(capsys: pytest.CaptureFixture[str]) -> None:
    for limit, code in (("2", 0), ("3", 1)):
        with Stream.of(HEAD, ONE, TWO) as stream:
            assert main(["tap", "--admin", stream.address, "--limit", limit]) == code
    assert "has ended this after 2 requests" in capsys.readouterr().err


def test_what_is_asked_reaches_the_sidecar_as_it_was_typed() -> None:
    expression = "route==\"a&b=c+d\" and path~'/%20/\u00fc'"
    words = ["--filter", expression, "--sample", "10%", "--rate", "5/s", "--format", "text"]
    with Stream.of(HEAD) as stream:
        Path("meshproxy.yaml").write_text(f"admin:\n  listen: {stream.address}\n")
        assert main(["tap", *words]) == 1
    assert stream.asked == {
        "filter": [expression], "sample": ["10%"], "rate": ["5/s"], "format": ["text"],
    }  # fmt: skip


def test_a_pipe_gets_json_unless_it_is_told_otherwise() -> None:
    with Stream.of(HEAD) as stream:
        main(["tap", "--admin", f"http://{stream.address}/"])
    assert stream.asked == {"format": ["json"]}


def test_a_terminal_gets_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with Stream.of(HEAD) as stream:
        main(["tap", "--admin", stream.address])
    assert stream.asked == {"format": ["text"]}


def test_a_bad_filter_is_shown_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"error": "filter, character 16: no", "parameter": "filter", "position": 15}
    with Sidecar.answering(422, told) as sidecar:
        assert main(["tap", "--admin", sidecar.address, "--filter", "status>=500 and"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "meshproxy tap: filter, character 16: no",
        "  status>=500 and",
        "                 ^",
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [({"error": "8 listen already"}, "8 listen already"), (b"not json", "status 503"), ([], "503")],
)
def test_any_other_refusal_is_told(
    body: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sidecar.answering(503, body) as sidecar:
        assert main(["tap", "--admin", sidecar.address]) == 1
    assert said in capsys.readouterr().err


def test_no_answer_at_all_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Stream.of() as stream:
        assert main(["tap", "--admin", stream.address]) == 1
    assert "has gone without an answer" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"SSH-2.0\r\n", b"x" * 3_000_000])
def test_what_is_no_http_is_told(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with Stream.of(answer) as stream:
        assert main(["tap", "--admin", stream.address]) == 1
    assert "does not speak HTTP" in capsys.readouterr().err


def test_a_line_without_end_is_not_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PENDING", 1000)
    with Stream.of(HEAD, b"x" * 2000, ends=False) as stream:
        assert main(["tap", "--admin", stream.address]) == 1
    assert capsys.readouterr().out == ""


def test_silence_is_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.05)
    with Stream.of(HEAD, ONE, ends=False) as stream:
        assert main(["tap", "--admin", stream.address]) == 1
    told = capsys.readouterr()
    assert (told.out, "nothing from" in told.err) == (ONE.decode(), True)


def test_nobody_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    assert main(["tap", "--admin", address]) == 1
    told = capsys.readouterr().err
    assert told == f"meshproxy tap: cannot reach the sidecar at {address}: Connection refused\n"


def test_an_interrupt_is_a_clean_end() -> None:
    with Stream.of(HEAD, ONE, ends=False) as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "meshproxy", "tap", "--admin", stream.address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == ONE, "it comes at once, also through a pipe"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, b"", b"")
