"""RFC 9111 section 4: when a stored answer is good enough, and when a 304 is the answer."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis.strategies import floats, none

from meshproxy.logic import caching, freshness
from meshproxy.logic.caching import FOREVER, Says
from meshproxy.logic.freshness import NONE, Wishes, staleness, wishes

THEN = b"Sun, 06 Nov 1994 08:49:37 GMT"
LATER = b"Sun, 06 Nov 1994 08:49:38 GMT"


def says(control: bytes = b"", *lines: bytes, status: int = 200) -> Says:
    return caching.read(status, caching.fields([b"Cache-Control: " + control, *lines]))


@pytest.mark.parametrize(
    ("control", "status", "ttl", "told"),
    [
        (b"max-age=60", 200, None, 60.0),
        (b"max-age=60", 200, 5.0, 5.0),
        (b"", 200, 5.0, 5.0),
        (b"", 200, None, 0.0),
        (b"max-age=60", 404, 5.0, 60.0),
        (b"max-age=60, no-cache", 200, None, 0.0),
        (b"max-age=60, no-cache", 200, 5.0, 0.0),
    ],
)
def test_the_operators_lifetime_takes_the_place_of_the_answers(
    control: bytes, status: int, ttl: float | None, told: float
) -> None:
    assert freshness.lifetime(says(control, status=status), ttl) == told


def test_the_operators_lifetime_counts_from_when_it_came() -> None:
    old = says(b"max-age=60", b"Age: 50")
    assert freshness.lifetime(old, 30.0) == 80.0
    assert freshness.lifetime(old, None) == 60.0


@pytest.mark.parametrize(
    ("age", "wished", "told"),
    [
        (0.0, NONE, 0.0),
        (59.9, NONE, 0.0),
        (60.0, NONE, freshness._MOMENT),  # section 4.2: greater than its age, or it is stale
        (65.0, NONE, 5.0),
        (30.0, Wishes(age=30.0), 0.0),  # 5.2.1.1
        (30.1, Wishes(age=30.0), inf),
        (30.0, Wishes(fresh=30.0), 0.0),  # 5.2.1.3
        (30.1, Wishes(fresh=30.0), inf),
        (65.0, Wishes(stale=FOREVER), 5.0),
        (0.0, Wishes(age=-1.0), inf),  # 5.2.1.4: no-cache
    ],
)
def test_fresh_is_what_is_younger_than_its_lifetime(
    age: float, wished: Wishes, told: float
) -> None:
    assert staleness(says(b"max-age=60"), age, None, wished) == told


@given(floats(0, 1e6), floats(0, 1e6) | none(), floats(0, 1e6))
def test_what_is_stale_once_stays_so(age: float, ttl: float | None, more: float) -> None:
    answer = says(b"max-age=60")
    if staleness(answer, age, ttl, NONE) > 0.0:
        assert staleness(answer, age + more, ttl, NONE) >= staleness(answer, age, ttl, NONE)


@pytest.mark.parametrize(
    ("control", "told"),
    [
        (b"max-age=1", 7.0),
        (b"max-age=1, stale-if-error=3", 3.0),
        (b"max-age=1, stale-if-error=0", 0.0),
        (b"s-maxage=1", 0.0),  # 5.2.2.10: as proxy-revalidate, but for its own word
        (b"s-maxage=1, stale-if-error=3", 3.0),
        (b"max-age=1, must-revalidate", 0.0),  # 5.2.2.2
        (b"max-age=1, must-revalidate, stale-if-error=3", 0.0),
        (b"max-age=1, proxy-revalidate", 0.0),  # 5.2.2.8
        (b"no-cache", 0.0),  # 4.2.4
    ],
)
def test_how_long_a_stale_answer_will_do(control: bytes, told: float) -> None:
    assert freshness.stale_for(says(control), b"stale-if-error", 7.0) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", NONE),
        (b"max-age=3", Wishes(age=3.0)),
        (b"no-cache", Wishes(age=-1.0)),
        (b"max-age=3, no-cache", Wishes(age=-1.0)),
        (b"min-fresh=3", Wishes(fresh=3.0)),
        (b"max-stale", Wishes(stale=FOREVER)),
        (b"max-stale=3", Wishes(stale=3.0)),
        (b"no-store, only-if-cached", Wishes(no_store=True, only_if_cached=True)),
        (b"max-age=x", Wishes(age=0.0)),
    ],
)
def test_a_trusted_caller_says_what_it_will_take(value: bytes, told: Wishes) -> None:
    """Section 5.2.1."""
    assert wishes(value, trusted=True) == told


def test_a_stranger_cannot_send_every_request_to_the_upstream() -> None:
    said = wishes(b"no-cache, max-age=0, min-fresh=9, max-stale=3, only-if-cached", trusted=False)
    assert said == Wishes(stale=3.0, only_if_cached=True)
    assert said.takes_any()


@pytest.mark.parametrize("said", [b"no-cache", b"max-age=3", b"min-fresh=1", b"no-store"])
def test_who_is_particular_takes_not_just_any(said: bytes) -> None:
    assert not wishes(said, trusted=True).takes_any()


@pytest.mark.parametrize(
    ("etag", "asked", "told"),
    [
        (b'"a"', b'"a"', True),
        (b'"a"', b'W/"a"', True),  # RFC 9110 section 13.1.2: compared weakly
        (b'W/"a"', b'"a"', True),
        (b'"a"', b'"b", "a"', True),
        (b'"a,b"', b'"a,b"', True),
        (b'"a"', b"*", True),
        (b"", b"*", True),
        (b'"a"', b'"b"', False),
        (b"", b'""', False),
    ],
)
def test_a_tag_that_the_caller_has_is_a_304(etag: bytes, asked: bytes, told: bool) -> None:
    answer = says(b"", b"ETag: " + etag) if etag else says()
    assert freshness.not_modified(answer, asked, b"") == told


def test_a_tag_goes_before_a_date() -> None:
    """RFC 9110 section 13.1.3."""
    answer = says(b"", b'ETag: "a"', b"Last-Modified: " + THEN)
    assert not freshness.not_modified(answer, b'"b"', THEN)


@pytest.mark.parametrize(
    ("lines", "since", "told"),
    [
        ([b"Last-Modified: " + THEN], THEN, True),
        ([b"Last-Modified: " + THEN], LATER, True),
        ([b"Last-Modified: " + LATER], THEN, False),
        ([b"Date: " + THEN], THEN, True),  # section 4.3.2
        ([b"Last-Modified: " + THEN], b"yesterday", False),
        ([], THEN, False),
    ],
)
def test_a_date_that_is_not_before_the_change_is_a_304(
    lines: list[bytes], since: bytes, told: bool
) -> None:
    assert freshness.not_modified(says(b"", *lines), b"", since) == told


@pytest.mark.parametrize("status", [301, 404])
def test_only_what_would_succeed_is_conditional(status: int) -> None:
    """RFC 9110 section 13.2.1."""
    answer = says(b"", b'ETag: "a"', b"Last-Modified: " + THEN, status=status)
    assert not freshness.not_modified(answer, b'"a"', b"")
    assert not freshness.not_modified(answer, b"", THEN)


@pytest.mark.parametrize(
    ("stored", "told", "same"),
    [
        ([b'ETag: "a"'], [b'ETag: "a"'], True),
        ([b'ETag: "a"'], [b'ETag: W/"a"'], True),
        ([b'ETag: "a"'], [b'ETag: "b"'], False),
        ([b'ETag: "a"'], [], True),
        ([b"Last-Modified: " + THEN], [b"Last-Modified: " + THEN], True),
        ([b"Last-Modified: " + THEN], [b"Last-Modified: " + LATER], False),
        ([], [], True),
    ],
)
def test_a_304_speaks_of_what_has_its_validator(
    stored: list[bytes], told: list[bytes], same: bool
) -> None:
    """Section 4.3.4."""
    assert freshness.same(says(b"", *stored), says(b"", *told)) == same
