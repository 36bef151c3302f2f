"""Cutting a head: the named fields in any spelling, everything else byte for byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshproxy.dataplane.fields import splitter

NAMES = [b"host", b"content-length", b"connection", b"x-forwarded-for", b"te"]
SPLIT = splitter(NAMES, prefixes=[b"x-meshproxy-"])


def found(*lines: bytes) -> list[tuple[bytes, bytes]]:
    parts = SPLIT(b"\r\n".join((b"GET / HTTP/1.1", *lines)))
    return list(zip(parts[1::3], parts[2::3], strict=True))


def test_a_named_field_is_found_in_any_case() -> None:
    assert found(b"HOST: a", b"Content-length:1", b"x-Forwarded-FOR: \t b ") == [
        (b"HOST", b"a"), (b"Content-length", b"1"), (b"x-Forwarded-FOR", b"b "),
    ]  # fmt: skip


def test_names_that_only_begin_or_end_alike_are_not() -> None:
    assert found(b"ghost: a", b"hosts: b", b"x-host: c", b"tee: d", b"a: host: e") == []


def test_an_underscore_is_no_disguise() -> None:
    assert found(b"Content_Length: 1", b"x_forwarded-for: 2") == [
        (b"Content_Length", b"1"), (b"x_forwarded-for", b"2"),
    ]  # fmt: skip


def test_a_prefix_stands_for_all_that_begin_with_it() -> None:
    assert found(b"X-MeshProxy-Attempt: 9", b"x-meshproxy-: 1") == [
        (b"X-MeshProxy-Attempt", b"9"), (b"x-meshproxy-", b"1"),
    ]  # fmt: skip


token = st.text("abchostxXTe-_", min_size=1, max_size=20).map(str.encode)
value = st.binary(max_size=20).filter(lambda raw: not set(raw) & set(b"\r\n"))


@given(fields=st.lists(st.tuples(token, value), max_size=12))
def test_nothing_is_lost_or_made_up(fields: list[tuple[bytes, bytes]]) -> None:
    head = b"".join([b"GET / HTTP/1.1", *(b"\r\n%b:%b" % field for field in fields)])
    parts = SPLIT(head)
    again = parts[0]
    for name, given_value, between in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        at = head.find(b"\r\n" + name + b":", len(again))
        assert at == len(again)
        blanks = head[at + 3 + len(name) :].partition(given_value)[0] if given_value else b""
        assert not blanks.strip(b" \t")
        end = head.find(given_value, at + 3 + len(name)) + len(given_value)
        again = head[:end] + between
    assert again.rstrip() == head.rstrip()
