"""One path has one form, and what can be read in two ways has none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.path import canonical, folded


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "*",
        "/orders/7",
        "//a//b",
        "/a.b/c..d",
        "/a;v=1/b",
        "/a?next=%2F..%2f&x=%zz",
        "/caf%C3%A9",
        "/a%252e%252e/b",
        "/a/...",
    ],
)
def test_a_canonical_target_comes_back_as_it_is(target: str) -> None:
    assert canonical(target.encode()) == target.encode()


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/%61dmin", "/admin"),
        ("/%7euser", "/~user"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/a/b/../", "/a/"),
        ("/a//../b", "/a/b"),
        ("/a/..//b", "//b"),
        ("/.?q=..", "/?q=.."),
        ("/a/../b?x=/../y", "/b?x=/../y"),
        ("/a/.hidden", "/a/.hidden"),
    ],
)
def test_every_spelling_of_a_path_gets_one_form(target: str, expected: str) -> None:
    assert canonical(target.encode()) == expected.encode()


@pytest.mark.parametrize(
    "target",
    [
        "/..",
        "/a/../..",
        "/a/../../b",
        "/%2e%2e/x",
        "/a%00",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\..\\b",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a%%41",
        "/a/..;/b",
        "/a/..;x=1/b",
        "/a/%2e%2e;/b",
        "/a/.;/b",
        "/a/..%3b/b",
        "x/../y",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(target: str) -> None:
    assert canonical(target.encode()) is None


PIECES = st.sampled_from(
    ["/", "..", ".", "a", "b", "%2e", "%2E", "%61", "%25", "%3b", ";", "~", "%c3", "?", "%", "\\"]
)
TARGETS = st.lists(PIECES, max_size=12).map(lambda pieces: ("/" + "".join(pieces)).encode())


@given(TARGETS)
def test_the_canonical_form_of_a_canonical_form_is_itself(target: bytes) -> None:
    once = canonical(target)
    if once is not None:
        assert canonical(once) == once


@given(st.binary(max_size=40).map(lambda rest: b"/" + rest))
def test_no_bytes_at_all_bring_more_than_a_refusal(target: bytes) -> None:
    once = canonical(target)
    assert once is None or once.startswith(b"/")


@given(TARGETS)
def test_a_canonical_path_has_no_dot_segments_and_the_query_is_untouched(target: bytes) -> None:
    once = canonical(target)
    if once is not None:
        segments = once.partition(b"?")[0].split(b"/")
        assert b"." not in segments
        assert b".." not in segments
        assert once.partition(b"?")[1:] == target.partition(b"?")[1:]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("*", "*"),
        ("/a/b", "/a/b"),
        ("/a/", "/a/"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("//a///b//", "/a/b/"),
        ("/a;v=1/b;w", "/a/b"),
        ("/a%3Bv/b", "/a/b"),
        ("/;/a", "/a"),
        ("/a/;x", "/a/"),
        ("//", "/"),
    ],
)
def test_rules_are_found_without_parameters_and_empty_segments(path: str, expected: str) -> None:
    assert folded(path.encode()) == expected.encode()


@given(TARGETS)
def test_a_folded_path_is_canonical_and_folds_to_itself(target: bytes) -> None:
    once = canonical(target)
    if once is not None:
        short = folded(once.partition(b"?")[0])
        assert folded(short) == canonical(short) == short
