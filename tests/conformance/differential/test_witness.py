"""The recorder takes what strict readers refuse, and a report keeps every byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Client
from tests.e2e.harness.ports import LOOPBACK

from .recorder import Recorder
from .witness import ReportFile, Understood

HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKS = b"2\r\nhi\r\n0\r\n\r\n"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder.running() as recorder:
        yield recorder


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (HEAD + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (HEAD + b"Content-Length: 9\r\nTransfer-Encoding: x, chunked\r\n\r\n" + CHUNKS, b"hi"),
        (HEAD + b"no colon\r\n\x00: \x01\r\n\r\n", b""),
    ],
    ids=["a length", "both framings", "broken fields"],
)
def test_the_recorder_takes_what_it_can(recorder: Recorder, data: bytes, body: bytes) -> None:
    with Client((LOOPBACK, recorder.port)) as client:
        client.send(data)
        assert client.response().body == b"/x"
    assert recorder.seen() == [Understood("POST", b"/x", b"a", body)]


def test_a_cut_body_makes_no_request(recorder: Recorder) -> None:
    with Client((LOOPBACK, recorder.port)) as client:
        client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhi")
        client.half_close()
        assert client.closed_by_peer()
    assert recorder.seen() == []


def test_a_report_is_read_line_by_line_and_byte_by_byte(tmp_path: Path) -> None:
    file = tmp_path / "seen"
    file.write_bytes(b"a word of the server's\n")
    report = ReportFile(file)
    assert report.seen() == []
    with file.open("ab") as lines:
        lines.write(b'{"method":"GET","target":"2fff","host":"-","body":""}\n')
        lines.write(b'{"raw":true,"status":"200","method":"GET","target":"/\xff\\u0001",')
    assert report.seen() == [Understood("GET", b"/\xff", b"", b"")]
    with file.open("ab") as lines:
        lines.write(b'"host":"a","body":""}\n{"status":"400","method":"GET"}\n')

    assert report.seen()[1] == Understood("GET", b"/\xff\x01", b"a", b"")
