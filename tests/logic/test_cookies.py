"""One cookie's value out of a Cookie field, whatever else stands in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.cookies import cookie

octets = st.text("abcXYZ019!#$%&'*+-._`|~=/:", max_size=8).map(str.encode)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (None, b""),
        (b"", b""),
        (b"id=7", b"7"),
        (b"a=1; id=7; b=2", b"7"),
        (b"a=1;id=7", b"7"),
        (b"id=7; id=8", b"7"),
        (b"id=a=b", b"a=b"),
        (b"id", b""),
        (b"id=", b""),
        (b"xid=1; idx=2; x=id", b""),
        (b"ID=7", b""),
        (b"a=1, id=7", b"7"),
        (b" id = 7 ", b"7"),
    ],
)
def test_the_first_cookie_of_that_name_counts(field: bytes | None, value: bytes) -> None:
    assert cookie(field, b"id") == value


@given(octets, st.lists(octets, max_size=5))
def test_others_do_not_disturb_it(value: bytes, others: list[bytes]) -> None:
    pairs = [b"o%d=%s" % (index, other) for index, other in enumerate(others)]
    assert cookie(b"; ".join([*pairs, b"id=" + value, *pairs]), b"id") == value


@given(st.binary(max_size=60))
def test_no_field_is_too_odd_to_be_read(field: bytes) -> None:
    assert isinstance(cookie(field, b"id"), bytes)
