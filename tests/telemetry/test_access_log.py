"""An exchange worth a line gets one, and nothing in it can be anything but data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.verdict import Failure, Refusal
from meshproxy.telemetry.access_log import AccessLog, plain, statuses_of
from meshproxy.telemetry.log import FIELD, Log, short

WALL = 1_700_000_000.25


def exchange(**fields: Any) -> Exchange:
    route = SimpleNamespace(
        direction="inbound", name="create-order", cluster=SimpleNamespace(name="app")
    )
    plan = cast(Any, SimpleNamespace(unmatched=route))
    made = Exchange(None, Peer("10.1.2.3", trusted=False, forwarded=b""), plan, 100.0)
    made.method, made.path, made.target = b"POST", b"/orders", b"/orders?secret=1"
    made.status, made.first_byte, made.attempts = 200, 100.1, 1
    made.request_id, made.trace = b"abc", (b"4b" * 16, b"00" * 8, False, None)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def said(form: str = "json", **access: Any) -> Any:
    """What the file says under `logs`."""
    defaults = {"errors": True, "statuses": [], "slower_than": 0.5, "sample": 0.0, "format": None}
    return SimpleNamespace(format=form, access=SimpleNamespace(**{**defaults, **access}))


def log(
    draw: float = 0.5, form: str = "json", fixed: str | None = None, **access: Any
) -> tuple[AccessLog, list[Any]]:
    lines: list[Any] = []
    made = AccessLog(lines.append, lambda: draw, lambda: WALL, fixed)
    made.configure(said(form, **access))
    return made, lines


def test_a_line_says_what_happened() -> None:
    access, lines = log(sample=1.0)
    endpoint = SimpleNamespace(name="127.0.0.1:8080")
    access.record(exchange(endpoint=endpoint, bytes_in=5, bytes_out=7), 100.25)
    assert lines == [
        {
            "time": "2023-11-14T22:13:20.250Z",
            "level": "info",
            "event": "request",
            "direction": "inbound",
            "route": "create-order",
            "upstream": "app",
            "endpoint": "127.0.0.1:8080",
            "method": "POST",
            "path": "/orders",
            "status": 200,
            "reason": "",
            "duration_ms": 250.0,
            "first_byte_ms": 100.0,
            "attempts": 1,
            "bytes_in": 5,
            "bytes_out": 7,
            "client": "10.1.2.3",
            "request_id": "abc",
            "trace_id": "4b" * 16,
        }
    ]


@pytest.mark.parametrize(
    ("settings", "fields", "now", "written"),
    [
        ({}, {}, 100.1, False),
        ({}, {"status": 500}, 100.1, True),
        ({}, {"status": 404}, 100.1, False),
        ({}, {"status": 429, "flags": "RL"}, 100.1, True),
        ({"errors": False}, {"status": 503, "flags": "UO"}, 100.1, False),
        ({}, {}, 100.6, True),
        ({"slower_than": 0.0}, {}, 999.0, False),
        ({"sample": 0.6}, {}, 100.1, True),
        ({"sample": 0.4}, {}, 100.1, False),
        ({"statuses": ["404"]}, {"status": 404}, 100.1, True),
        ({"statuses": ["404"]}, {"status": 405}, 100.1, False),
        ({"statuses": ["4xx"]}, {"status": 405}, 100.1, True),
        ({"statuses": ["2xx"]}, {"status": 500}, 100.1, True),
        ({"statuses": ["503"], "errors": False}, {"status": 503, "flags": "UF"}, 100.1, True),
        ({"statuses": ["503"], "errors": False}, {"status": 500}, 100.1, False),
        ({}, {"status": 700}, 100.1, True),
    ],
)
def test_errors_slow_ones_some_statuses_and_a_sample_get_a_line(
    settings: dict[str, Any], fields: dict[str, Any], now: float, written: bool
) -> None:
    access, lines = log(**settings)
    access.record(exchange(**fields), now)
    assert len(lines) == written


def test_a_log_that_is_off_writes_nothing_until_it_is_on_again() -> None:
    access, lines = log(sample=1.0)
    access.configure(SimpleNamespace(format="json", access="off"))
    access.record(exchange(status=503, flags="UF"), 999.0)
    assert lines == []
    access.configure(said())
    access.record(exchange(status=503, flags="UF"), 999.0)
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("words", "some", "not_"),
    [
        ([], (), (200, 404, 503)),
        (["503"], (503,), (500, 504)),
        (["2xx", "404"], (200, 299, 404), (300, 400, 405)),
        (["5xx"], (500, 599, 999), (499,)),
    ],
)
def test_words_for_statuses_are_numbers(
    words: list[str], some: tuple[int, ...], not_: tuple[int, ...]
) -> None:
    found = statuses_of(words)
    assert set(some) <= found
    assert not found & set(not_)


def test_a_line_of_text_begins_as_envoy_s_do() -> None:
    access, lines = log(sample=1.0, form="text")
    endpoint = SimpleNamespace(name="10.0.3.11:8080")
    made = exchange(
        endpoint=endpoint, bytes_in=5, bytes_out=7, answered=True, sent_at=100.01, host=b"orders"
    )
    access.record(made, 100.25)
    assert lines == [
        b'[2023-11-14T22:13:20.000Z] "POST /orders HTTP/1.1" 200 - 5 7 250 90 "10.1.2.3" "-"'
        b' "abc" "orders" "10.0.3.11:8080" inbound "create-order" "app" 1 '
        + b"4b" * 16
        + b' "-" "-"\n'
    ]


def test_a_refused_request_is_a_line_of_text_with_a_dash_for_what_never_was() -> None:
    access, lines = log(form="text")
    made = exchange(status=429, flags="RL", attempts=0, trace=None, request_id=b"", minor=0)
    made.refusal = Refusal(429, "RL", 'the rate limit "all" is used up', rule="f.yaml:3")
    access.record(made, 100.1)
    assert lines[0] == (
        b'[2023-11-14T22:13:20.150Z] "POST /orders HTTP/1.0" 429 RL 0 0 100 - "10.1.2.3" "-" "-"'
        b' "-" "-" inbound "create-order" "app" 0 -'
        b' "the rate limit \\x22all\\x22 is used up" "f.yaml:3"\n'
    )


GROK = re.compile(
    rb'\[([^\]]+)\] "(\S*) (.*?) (HTTP/\d\.\d)" (\d+) (\S+) (\d+) (\d+) (\d+) (\S+) "([^"]*)" '
    rb'"([^"]*)" "([^"]*)" "([^"]*)" "([^"]*)" (\w+) "([^"]*)" "([^"]*)" (\d+) (\S+) "([^"]*)" '
    rb'"([^"]*)"\n'
)
"""The first line and a half as Envoy's users parse them, the rest is ours."""


@given(raw=st.binary(max_size=60))
def test_no_client_can_end_a_field_of_text(raw: bytes) -> None:
    access, lines = log(form="text", sample=1.0)
    method = raw.replace(b" ", b"")
    access.record(exchange(path=raw, method=method, request_id=raw, host=raw), 100.1)
    found = GROK.fullmatch(lines[0])
    assert found is not None, lines
    assert found[11] == b"10.1.2.3"
    assert found[17] == b"create-order"


@pytest.mark.parametrize(
    ("fixed", "logs", "access", "text"),
    [
        (None, "json", None, False),
        (None, "text", None, True),
        (None, "json", "text", True),
        (None, "text", "json", False),
        ("json", "text", "text", False),
        ("text", "json", "json", True),
    ],
)
def test_the_command_line_chooses_the_format_then_the_access_log_then_the_log(
    fixed: str | None, logs: str, access: str | None, text: bool
) -> None:
    made, lines = log(form=logs, fixed=fixed, format=access, sample=1.0)
    made.record(exchange(), 100.1)
    assert isinstance(lines[0], bytes) is text


@pytest.mark.parametrize(
    ("errors", "fields", "failed"),
    [
        (True, {"status": 503, "flags": "UF"}, True),
        (False, {"status": 503, "flags": "UF"}, True),
        (False, {"status": 500}, True),
        (False, {"status": 429, "flags": "RL"}, True),
        (True, {"status": 403}, False),
        (True, {}, False),
    ],
)
def test_what_did_not_go_well_is_handed_on_written_or_not(
    errors: bool, fields: dict[str, Any], failed: bool
) -> None:
    lines: list[Mapping[str, Any]] = []
    handed: list[Mapping[str, Any]] = []
    access = AccessLog(lines.append, lambda: 1.0, lambda: WALL, failed=handed.append)
    access.configure(said(errors=errors, statuses=["404"]))
    access.record(exchange(**fields), 100.1)
    assert [each["path"] for each in handed] == ["/orders"] * failed
    assert len(lines) == (failed and errors)


def test_what_did_not_go_well_is_handed_on_whatever_the_log_looks_like() -> None:
    handed: list[Mapping[str, Any]] = []
    lines: list[Any] = []
    access = AccessLog(lines.append, lambda: 1.0, lambda: WALL, "text", handed.append)
    access.configure(said(form="text"))
    access.record(exchange(status=503, flags="UF"), 100.1)
    access.configure(SimpleNamespace(format="json", access="off"))
    access.record(exchange(status=503, flags="UF"), 100.1)
    assert [each["reason"] for each in handed] == ["UF", "UF"]
    assert [type(line) for line in lines] == [bytes]


@pytest.mark.parametrize(
    ("now", "sample", "written"), [(100.6, 0.0, True), (100.1, 0.6, True), (100.1, 0.4, False)]
)
def test_a_failure_may_get_its_line_for_another_reason(
    now: float, sample: float, written: bool
) -> None:
    access, lines = log(errors=False, sample=sample)
    access.record(exchange(status=503, flags="UF"), now)
    assert len(lines) == written


def test_a_refusal_names_its_rule() -> None:
    access, lines = log()
    refusal = Refusal(429, "RL", "limit spent", rule="inbound.rate_limits[0]")
    access.record(exchange(refusal=refusal, status=429, flags="RL"), 100.1)
    assert lines[0]["detail"] == "limit spent"
    assert lines[0]["rule"] == "inbound.rate_limits[0]"
    assert lines[0]["level"] == "warning"


def test_a_failure_behind_an_answer_is_told() -> None:
    access, lines = log()
    access.record(exchange(failure=Failure.TRUNCATED, flags="UC"), 100.1)
    assert lines[0]["detail"] == Failure.TRUNCATED.detail


def test_an_attempt_that_failed_leaves_its_endpoint() -> None:
    access, lines = log(sample=1.0)
    tried = [SimpleNamespace(name="10.0.0.1:80"), SimpleNamespace(name="10.0.0.2:80")]
    access.record(exchange(tried=tried, status=503, flags="UF"), 100.1)
    assert lines[0]["endpoint"] == "10.0.0.2:80"


def test_a_request_that_could_not_be_read_has_a_line_too() -> None:
    access, lines = log()
    access.record(
        exchange(
            path=b"", method=b"", status=400, flags="IH", first_byte=0.0, request_id=b"", trace=None
        ),
        100.1,
    )
    assert lines[0]["path"] == "/orders"
    assert (lines[0]["request_id"], lines[0]["trace_id"], lines[0]["first_byte_ms"]) == (
        "",
        "",
        None,
    )


def test_the_query_is_never_written() -> None:
    access, lines = log(sample=1.0)
    access.record(exchange(), 100.1)
    access.record(exchange(path=b""), 100.1)
    assert "secret" not in repr(lines)


def test_a_long_path_and_a_long_method_are_cut() -> None:
    access, lines = log(sample=1.0)
    access.record(exchange(path=b"/" + b"x" * 9000, method=b"M" * 500), 100.1)
    assert len(lines[0]["path"]) == FIELD
    assert lines[0]["path"].endswith("x...")
    assert len(lines[0]["method"]) == 32


@pytest.mark.parametrize("length", [FIELD - 1, FIELD, FIELD + 1, 8192])
def test_escapes_count_for_the_length_of_a_field(length: int) -> None:
    access, lines = log(sample=1.0)
    access.record(exchange(path=b"/" * length, request_id=b"\x1b" * length), 100.1)
    access.record(exchange(path=b"", target=b"\xff" * length), 100.1)
    for line in lines:
        assert all(len(value) <= FIELD for value in line.values() if isinstance(value, str))
    assert lines[0]["path"].endswith("...") == (length > FIELD)


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"http://u:hush@a.test/x?y=1", "http://a.test/x"),
        (b"http://u:hu/sh@a.test/x", "http://a.test/x"),
        (b"u:hush@a.test:443", "a.test:443"),
        (b"//u:hush@a.test/x", "//u:hush@a.test/x"),
        (b"http:u:hush@a.test", "a.test"),
        (b"/a@b/c#hush", "/a@b/c"),
        (b"*", "*"),
        (b"?hush", ""),
    ],
)
def test_of_a_target_that_was_refused_no_credentials_are_written(target: bytes, shown: str) -> None:
    access, lines = log()
    access.record(exchange(path=b"", target=target, status=400, flags="IH"), 100.1)
    assert lines[0]["path"] == shown


def test_what_was_wrong_with_a_bad_request_is_a_word() -> None:
    access, lines = log()
    bad = Refusal(400, "IH", "the length is wrong", close=True, why="bad-length")
    access.record(exchange(refusal=bad, status=400, flags="IH"), 100.1)
    assert (lines[0]["why"], lines[0]["rule"]) == ("bad-length", "")


@given(st.binary(max_size=60))
def test_any_bytes_become_printable_and_can_be_told_apart(raw: bytes) -> None:
    text = plain(raw)
    assert text.isascii()
    assert text.isprintable()
    assert text.encode().decode("unicode_escape").encode("latin-1") == raw


HOSTILE = [b"\r\n{}", b"\n", b"\x1b[2J\x1b]0;x\x07", b"\x00", b"\x7f", b"\x85", b"\xc2\x9b31m",
           b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xff\xfe", b'"', b"\\", b"\\u0022", b"=", b" ",
           b"x" * 8192]  # fmt: skip
ANY = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(HOSTILE)).map(b"".join))


@given(raw=ANY, form=st.sampled_from(["json", "text"]))
def test_no_client_can_begin_a_second_line(raw: bytes, form: str) -> None:
    read_end, write_end = os.pipe()
    try:
        out = Log(write_end, "info", form, lambda: WALL)
        access = AccessLog(out.write, lambda: 0.0, lambda: WALL)
        access.configure(said(form, slower_than=0.0, sample=1.0))
        made = exchange(path=raw, target=raw, method=raw, request_id=raw, status=400, flags="IH")
        made.host = raw
        # Nothing that a client says comes here today, but it might.
        text = raw.decode("latin-1")
        made.refusal = Refusal(400, "IH", text, rule=raw.decode("utf-8", "surrogateescape"))
        made.peer = Peer(text, trusted=False, forwarded=b"")
        access.record(made, 100.1)
        out.flush()
        written = os.read(read_end, 65536)
    finally:
        os.close(read_end)
        os.close(write_end)
    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    assert written[:-1].decode("ascii").isprintable()
    assert len(written) < 20 * FIELD
    if form == "json":
        found = orjson.loads(written)
        assert found["request_id"] == short(plain(raw))
        assert all(len(value) <= FIELD for value in found.values() if isinstance(value, str))
