"""curl with every way it has to send and to fetch, and what speaks HTTP/1.0.

The origin is a small file server: it stores what is uploaded and tells what it saw. Inbound the
sidecar is the server, outbound it is curl's proxy.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from .harness import Client, Conversation, Message, Origin, Sidecar, fetch
from .harness import reply as answer

CONFIG = """
inbound: {listen: <inbound>, app: http://<app>, circuit_breaker: off}
outbound:
  listen: <outbound>
  connect: {allow: ["<app>"], networks: [127.0.0.0/8]}
  services: {files: {endpoints: [<app>], circuit_breaker: off}}
"""
FILE = bytes(i * 31 % 251 for i in range(300_000))
TEXT = b"a line of text\n" * 2000
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def serve(peer: Conversation) -> None:
    """Keep-alive, 100-continue, ranges, gzip; anything with a body is told back as JSON."""
    while (message := peer.head()) is not None:
        if (message.get("expect") or "").lower() == "100-continue":
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.reader.body_of_request(message)
        peer.send(respond(message))


def respond(message: Message) -> bytes:
    if message.method not in ("GET", "HEAD"):
        return answer(200, told(message), {"Content-Type": "application/json"})
    if message.target == "/text" and "gzip" in (message.get("accept-encoding") or ""):
        return answer(200, gzip.compress(TEXT), {"Content-Encoding": "gzip"})
    body, headers, status = FILE, {"Accept-Ranges": "bytes"}, 200
    if asked := _RANGE.fullmatch(message.get("range") or ""):
        first, last = int(asked[1]), int(asked[2] or len(FILE) - 1)
        body, status = FILE[first : last + 1], 206
        headers["Content-Range"] = f"bytes {first}-{last}/{len(FILE)}"
    whole = answer(status, body, headers)
    return whole if message.method == "GET" else whole[: whole.index(b"\r\n\r\n") + 4]


def told(message: Message) -> bytes:
    seen = {
        "method": message.method,
        "target": message.target,
        "type": message.get("content-type"),
        "framing": message.framing,
        "body": message.body.decode("latin-1"),
    }
    return json.dumps(seen).encode()


@pytest.fixture(autouse=True)
def files(origin: Origin) -> Origin:
    origin.script = serve
    return origin


Curl = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(params=["inbound", "proxy", "tunnel"])
def curl(request: pytest.FixtureRequest, sidecar: Sidecar, app: Origin) -> Iterator[Curl]:
    """Runs curl with these arguments; in `@/path` the `@` stands for the server's URL."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is missing: apt-get install curl")
    proxy = "http://{}:{}".format(*sidecar.outbound)
    base, options = {
        "inbound": ("http://{}:{}".format(*sidecar.inbound), ["--noproxy", "*"]),
        "proxy": ("http://files", ["--proxy", proxy]),
        "tunnel": (f"http://{app.address}", ["--proxytunnel", "--proxy", proxy]),
    }[request.param]

    options += ["-sS", "-m", "30"]

    def given(argument: str) -> list[str]:
        if argument == "--next":  # which forgets all options
            return [argument, *options]
        return [base + argument[1:] if argument.startswith("@/") else argument]

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [program, *options, *(word for each in arguments for word in given(each))],
            input=stdin,
            capture_output=True,
            timeout=40,
            check=True,
        )

    return run


def seen(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    return dict(json.loads(done.stdout))


pytestmark = pytest.mark.server("curl")

# ---- sending


def test_a_file_is_put(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(FILE)
    got = seen(curl("-T", str(tmp_path / "up"), "@/up"))
    assert (got["method"], got["framing"]) == ("PUT", "length")
    assert got["body"].encode("latin-1") == FILE


def test_standard_input_is_put_in_chunks(curl: Curl) -> None:
    got = seen(curl("-T", "-", "@/up", stdin=FILE))
    assert (got["method"], got["framing"]) == ("PUT", "chunked")
    assert got["body"].encode("latin-1") == FILE


def test_a_form_is_posted(curl: Curl) -> None:
    got = seen(curl("-d", "a=1", "--data-urlencode", "b=c d&e", "@/form"))
    assert (got["method"], parse_qs(got["body"])) == ("POST", {"a": ["1"], "b": ["c d&e"]})
    assert got["type"] == "application/x-www-form-urlencoded"


def test_an_empty_form_is_posted(curl: Curl) -> None:
    got = seen(curl("-d", "", "@/form"))
    assert (got["method"], got["framing"], got["body"]) == ("POST", "length", "")


def test_a_form_becomes_a_query(curl: Curl, files: Origin) -> None:
    curl("-G", "-d", "a=1", "--data-urlencode", "b=\N{SNOWMAN}", "-o", "/dev/null", "@/file")
    assert parse_qs(files.last.target.partition("?")[2]) == {"a": ["1"], "b": ["\N{SNOWMAN}"]}


def test_parts_are_posted(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(FILE)
    got = seen(curl("-F", "name=value", "-F", f"file=@{tmp_path / 'part'}", "@/parts"))
    assert got["type"].startswith("multipart/form-data; boundary=")
    assert FILE.decode("latin-1") in got["body"]


def test_bytes_are_posted_as_they_are(curl: Curl) -> None:
    every = bytes(range(256)) * 16
    got = seen(curl("--data-binary", "@-", "@/bytes", stdin=every))
    assert got["body"].encode("latin-1") == every


def test_a_large_body_waits_for_the_origins_word(curl: Curl, files: Origin) -> None:
    got = seen(curl("-H", "Expect: 100-continue", "--data-binary", "@-", "@/bytes", stdin=FILE * 5))
    assert len(got["body"]) == 5 * len(FILE)
    assert (files.last.get("expect") or "").lower() == "100-continue"


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_any_method_may_have_a_body(curl: Curl, method: str) -> None:
    got = seen(curl("-X", method, "-d", "body", "@/thing"))
    assert (got["method"], got["body"]) == (method, "body")


def test_an_upload_may_be_slow(curl: Curl) -> None:
    got = seen(curl("--limit-rate", "200K", "-T", "-", "@/up", stdin=FILE[:100_000]))
    assert len(got["body"]) == 100_000


# ---- fetching


def test_a_file_is_fetched(curl: Curl) -> None:
    assert curl("@/file").stdout == FILE


def test_a_head_is_fetched(curl: Curl) -> None:
    head = curl("-I", "@/file").stdout.decode()
    assert re.search(rf"(?mi)^content-length: {len(FILE)}\r$", head)


def test_a_range_is_fetched(curl: Curl) -> None:
    assert curl("-r", "1000-1999", "@/file").stdout == FILE[1000:2000]


def test_a_download_is_resumed(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "down").write_bytes(FILE[:123_456])
    curl("-C", "-", "-o", str(tmp_path / "down"), "@/file")
    assert (tmp_path / "down").read_bytes() == FILE


def test_a_compressed_text_is_unpacked(curl: Curl) -> None:
    assert curl("--compressed", "@/text").stdout == TEXT
    assert gzip.decompress(curl("-H", "Accept-Encoding: gzip", "@/text").stdout) == TEXT


def test_a_download_may_be_slow(curl: Curl) -> None:
    assert curl("--limit-rate", "400K", "@/file").stdout == FILE


def test_one_connection_serves_many(curl: Curl) -> None:
    urls = [f"@/{i}" for i in range(20)]
    sinks = [each for _ in urls for each in ("-o", "/dev/null")]
    made = curl("-w", "%{num_connects} ", *sinks, *urls).stdout.split()
    assert [int(each) for each in made] == [1] + [0] * 19


def test_many_are_fetched_at_once(curl: Curl, tmp_path: Path) -> None:
    pairs = [(f"@/{i}", str(tmp_path / str(i))) for i in range(40)]
    curl("-Z", "--parallel-max", "20", *(each for url, at in pairs for each in (url, "-o", at)))
    assert all(Path(at).read_bytes() == FILE for _, at in pairs)


def test_a_fetch_and_a_post_share_a_connection(curl: Curl) -> None:
    count = ("-w", "%{stderr}%{num_connects}")
    done = curl("-o", "/dev/null", "@/file", "--next", *count, "-d", "x", "@/form")
    assert (seen(done)["body"], done.stderr) == ("x", b"0")


def test_http_1_0_is_spoken(curl: Curl, files: Origin) -> None:
    assert curl("--http1.0", "@/file").stdout == FILE
    assert curl("--http1.0", "-H", "Connection: keep-alive", "@/1", "@/2").stdout == FILE * 2
    got = seen(curl("--http1.0", "-d", "posted", "@/form"))
    assert got["body"] == "posted"


# ---- asking about the server itself


def test_options_of_the_whole_server(sidecar: Sidecar, curl: Curl, files: Origin) -> None:
    got = seen(curl("-X", "OPTIONS", "--request-target", "*", "@/"))
    assert (got["method"], got["target"]) == ("OPTIONS", "*")


def test_the_last_hop_answers_options_itself(sidecar: Sidecar, files: Origin) -> None:
    last = {"Max-Forwards": "0"}
    mine = fetch(sidecar.inbound, "*", "OPTIONS", last)
    assert (mine.status, files.requests) == (200, [])
    assert "GET" in (mine.get("allow") or "")
    assert fetch(sidecar.inbound, "/", "OPTIONS", {"Max-Forwards": "3"}).status == 200
    assert files.last.get("max-forwards") == "2"
    assert fetch(sidecar.inbound, "/", "GET", last).status == 200
    assert files.last.get("max-forwards") == "0", "it says nothing in a GET"


def test_the_last_hop_does_not_echo_a_trace(sidecar: Sidecar, files: Origin) -> None:
    last = {"Max-Forwards": "0", "Authorization": "Basic c2VjcmV0"}
    mine = fetch(sidecar.inbound, "/", "TRACE", last)
    assert (mine.status, files.requests) == (405, [])
    assert b"c2VjcmV0" not in mine.body


# ---- HTTP/1.0


def test_a_client_of_http_1_0_gets_no_chunks(sidecar: Sidecar, files: Origin) -> None:
    def chunked(peer: Conversation) -> None:
        while peer.request() is not None:
            peer.send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            )

    files.script = chunked
    with Client(sidecar.inbound) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        got = client.response()
        assert (got.status, got.body, got.framing) == (200, b"hello", "close")


@pytest.mark.server("ab")
@pytest.mark.parametrize("keep", [[], ["-k"]], ids=["one by one", "keep-alive"])
def test_ab_fails_nothing(sidecar: Sidecar, files: Origin, keep: list[str]) -> None:
    ab = shutil.which("ab")
    if ab is None:
        pytest.skip("ab is missing: apt-get install apache2-utils")
    url = "http://{}:{}/file".format(*sidecar.inbound)
    done = subprocess.run(
        [ab, "-q", "-n", "200", "-c", "10", *keep, url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert re.search(r"Complete requests: +200\n", done)
    assert re.search(r"Failed requests: +0\n", done), done
    assert f"HTML transferred:       {200 * len(FILE)} bytes" in done
