"""RFC 9111 section 3 and 5: what an answer says of its being stored, and what is stored of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import binary, lists, sampled_from

from meshproxy.logic import caching
from meshproxy.logic.caching import FOREVER, Asked, Says, control, why_not

DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT"


def says(*lines: bytes, status: int = 200) -> Says:
    return caching.read(status, caching.fields(lines))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", {}),
        (b"max-age=5", {b"max-age": b"5"}),
        (b"Max-Age=5 , PUBLIC", {b"max-age": b"5", b"public": b""}),
        (b'max-age="5"', {b"max-age": b"5"}),  # section 5.2: both forms are to be read
        (b'private="a, b", no-store', {b"private": b"a, b", b"no-store": b""}),
        (b"max-age=5, max-age=5", {b"max-age": b"5"}),
        (b"max-age=5, max-age=9", {b"max-age": b"?"}),  # section 4.2.1: rather stale
        (b",,=3, ,", {}),
    ],
)
def test_directives_are_told_apart(value: bytes, told: dict[bytes, bytes]) -> None:
    assert control(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"max-age=60", 60.0),
        (b"max-age=0", 0.0),
        (b"max-age=99999999999999", FOREVER),  # section 1.2.2
        (b"max-age=99999999999999999999999999", 0.0),
        (b"max-age=-1", 0.0),
        (b"max-age=1.5", 0.0),
        (b"max-age", 0.0),
        (b"public", None),
    ],
)
def test_seconds_are_whole_and_not_below_zero(value: bytes, told: float | None) -> None:
    assert caching.seconds(control(value), b"max-age") == told


@pytest.mark.parametrize(
    "value",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ],
)
def test_a_date_has_three_forms(value: bytes) -> None:
    """RFC 9110 section 5.6.7."""
    assert caching.date(value) == 784111777.0


@pytest.mark.parametrize("value", [b"", b"0", b"-1", b"now", b"Sun, 06 Nov"])
def test_what_is_no_date_is_none(value: bytes) -> None:
    assert caching.date(value) is None


@given(binary(max_size=60))
def test_no_field_value_breaks_the_reading(value: bytes) -> None:
    names = (b"cache-control", b"age", b"expires", b"date", b"etag", b"vary", b"last-modified")
    read = caching.read(200, [(name, value) for name in names])
    assert read.age >= 0.0
    assert read.lifetime is None or 0.0 <= read.lifetime <= FOREVER


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([b"Cache-Control: max-age=9, s-maxage=5"], 5.0),
        ([b"Cache-Control: max-age=9", b"Expires: 0"], 9.0),
        ([b"Cache-Control: public", b"Cache-Control: max-age=9"], 9.0),
        ([DATE, b"Expires: Sun, 06 Nov 1994 08:50:37 GMT"], 60.0),
        ([DATE, b"Expires: Sun, 06 Nov 1994 08:48:37 GMT"], 0.0),
        ([DATE, b"Expires: 0"], 0.0),
        ([DATE, b"Expires: 0", b"Expires: Sun, 06 Nov 1994 08:50:37 GMT"], 0.0),
        ([b"Expires: Sun, 06 Nov 1994 08:50:37 GMT"], 0.0),
        ([b"Cache-Control: no-cache"], 0.0),
        ([b"Cache-Control: public"], None),
        ([DATE, b"Last-Modified: Sun, 06 Nov 1993 08:49:37 GMT"], None),  # 4.2.2: nothing guessed
        ([], None),
    ],
)
def test_the_lifetime_is_the_first_that_is_said(lines: list[bytes], told: float | None) -> None:
    """Section 4.2.1."""
    assert says(*lines).lifetime == told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], 0.0),
        ([b"Age: 7"], 7.0),
        ([b"Age: 7, 9"], 7.0),
        ([b"Age: 7", b"Age: 9"], 7.0),
        ([b"Age: -7"], 0.0),
        ([b"Age: soon"], 0.0),
    ],
)
def test_the_age_is_the_first_number(lines: list[bytes], told: float) -> None:
    """Section 5.1."""
    assert says(*lines).age == told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], ()),
        ([b"Vary: Accept"], (b"accept",)),
        ([b"Vary: b, A", b"Vary: a,,"], (b"a", b"b")),
        ([b"Vary: *"], None),
        ([b"Vary: a, *"], None),
        ([b"Vary: traceparent"], None),
        ([b"Vary: X-Request-Id"], None),
        ([b"Vary: x-b3-traceid"], None),
        ([b"Vary: Range"], None),
        ([b"Vary: " + b",".join(b"f%d" % i for i in range(9))], None),
    ],
)
def test_what_it_varies_by(lines: list[bytes], told: tuple[bytes, ...] | None) -> None:
    """Section 4.1."""
    assert says(*lines).vary == told


def test_a_field_that_must_come_once_says_nothing_twice() -> None:
    assert says(b'ETag: "a"', b'ETag: "b"').etag == b""


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([b'ETag: W/"a"'], b'if-none-match: W/"a"\r\n'),
        ([b"Last-Modified: then"], b"if-modified-since: then\r\n"),
        (
            [b"Last-Modified: then", b'ETag: "a"'],
            b'if-none-match: "a"\r\nif-modified-since: then\r\n',
        ),
        ([], b""),
    ],
)
def test_a_validator_asks_whether_it_has_changed(lines: list[bytes], told: bytes) -> None:
    """Section 4.3.1."""
    assert says(*lines).validator == told


FRESH = b"Cache-Control: max-age=60"


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410, 414])
def test_a_status_that_is_known_may_be_stored(status: int) -> None:
    assert why_not(says(FRESH, status=status), Asked(), None) == ""


@pytest.mark.parametrize("status", [201, 206, 304, 303, 400, 401, 403, 429, 500, 502, 503, 504])
def test_any_other_status_is_not(status: int) -> None:
    """Section 3: not understood, a part, or nothing to repeat."""
    assert why_not(says(FRESH, status=status), Asked(), 60.0) != ""


@pytest.mark.parametrize(
    ("lines", "stored"),
    [
        ([FRESH], True),
        ([b"Cache-Control: public"], True),
        ([b"Cache-Control: no-cache"], True),  # to be validated each time (5.2.2.4)
        ([b'Cache-Control: no-cache="set-cookie"'], True),
        ([b"Cache-Control: max-age=60, no-store"], False),  # 5.2.2.5
        ([b"Cache-Control: max-age=60, no-store, must-understand"], True),  # 5.2.2.3
        ([b"Cache-Control: max-age=60, private"], False),  # 5.2.2.7: we are shared
        ([b'Cache-Control: max-age=60, private="x-user"'], False),
        ([FRESH, b"Vary: *"], False),
        ([FRESH, b"Vary: accept"], True),
        ([FRESH, b"Set-Cookie: a=1"], False),
        ([b"Cache-Control: max-age=60, public", b"Set-Cookie: a=1"], True),
        ([b'ETag: "a"'], False),  # it says nothing of its freshness
        ([], False),
    ],
)
def test_whether_an_answer_may_be_stored(lines: list[bytes], stored: bool) -> None:
    assert (why_not(says(*lines), Asked(), None) == "") == stored


@pytest.mark.parametrize(
    ("directives", "stored"),
    [
        (b"max-age=60", False),
        (b"max-age=60, proxy-revalidate", False),
        (b"max-age=60, must-revalidate", True),
        (b"public", True),
        (b"s-maxage=60", True),
        (b"s-maxage=60, private", False),
    ],
)
def test_an_answer_to_credentials_must_be_declared_shareable(
    directives: bytes, stored: bool
) -> None:
    """Section 3.5: must-revalidate, public or s-maxage, and nothing else; no ttl either."""
    answer = says(b"Cache-Control: " + directives)
    for ttl in (None, 60.0):
        assert (why_not(answer, Asked(authorized=True), ttl) == "") == stored


@pytest.mark.parametrize(
    ("lines", "status", "asked", "stored"),
    [
        ([], 200, Asked(), True),
        ([], 301, Asked(), True),
        ([], 404, Asked(), False),
        ([], 302, Asked(), False),
        ([b"Cache-Control: no-store"], 200, Asked(), False),
        ([b"Cache-Control: private"], 200, Asked(), False),
        ([b"Set-Cookie: a=1"], 200, Asked(), False),
        ([], 200, Asked(private=True), False),
        ([FRESH], 200, Asked(private=True), True),
        ([b"Cache-Control: public"], 200, Asked(private=True), True),
        ([], 200, Asked(no_store=True), False),
    ],
)
def test_what_the_operators_lifetime_is_for(
    lines: list[bytes], status: int, asked: Asked, stored: bool
) -> None:
    assert (why_not(says(*lines, status=status), asked, 30.0) == "") == stored


def test_a_request_that_says_no_store_is_obeyed() -> None:
    """Section 5.2.1.5."""
    assert why_not(says(FRESH), Asked(no_store=True), None) != ""


def test_what_is_stored_is_all_but_what_is_ours_to_say() -> None:
    """Section 3.1."""
    lines = [b"Server: a\r\nContent-Length: 3", b"Age: 3", b"X-Cache: HIT", b"ETag: b", FRESH]
    assert caching.stored(lines) == b"Server: a\r\nETag: b\r\n" + FRESH + b"\r\n"


def test_a_304_tells_fields_anew_but_not_how_to_read_the_body() -> None:
    """Sections 3.2 and 4.3.4."""
    old = b"Server: a\r\nETag: b\r\nContent-Type: text/plain\r\nX-A: 1\r\nx-a: 2\r\n"
    new = [b"X-A: 3", b"Content-Type: text/html\r\nContent-Length: 0\r\nContent-Encoding: gzip"]
    told = b"Server: a\r\nETag: b\r\nContent-Type: text/plain\r\nX-A: 3\r\n"
    assert caching.freshened(old, new) == told


def test_a_304_carries_what_a_cache_needs() -> None:
    """RFC 9110 section 15.4.5."""
    kept = b"Date: d\r\nServer: a\r\nETag: b\r\nVary: c\r\nContent-Type: t\r\nExpires: e\r\n"
    assert caching.of_a_304(kept) == b"Date: d\r\nETag: b\r\nVary: c\r\nExpires: e\r\n"


WORDS = [b"no-store", b"private", b"public", b"max-age=5", b"s-maxage=5", b"no-cache",
         b"must-revalidate", b"must-understand"]  # fmt: skip


@given(lists(sampled_from(WORDS), unique=True))
def test_asking_with_credentials_never_makes_more_storable(words: list[bytes]) -> None:
    answer = says(b"Cache-Control: " + b", ".join(words))
    if not why_not(answer, Asked(authorized=True), 5.0):
        assert not why_not(answer, Asked(), 5.0)
    if b"private" in words:
        assert why_not(answer, Asked(), 5.0)
