"""Whatever is wrong with a filter is one sentence, with its place and the right word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.filter import FIELDS, And, Compare, In, Not, Or
from meshproxy.logic.filter_text import (
    ELSEWHERE,
    MOST_CHARACTERS,
    MOST_DEPTH,
    MOST_VALUES,
    FilterError,
    nearest,
    parse,
)

A, B, C = Compare("status", ">=", "500"), Compare("route", "==", "b-c"), Compare("client", "~", "1")


def test_and_binds_closer_than_or_and_not_closest() -> None:
    assert parse("status>=500 or route==b-c and client~1") == Or((A, And((B, C))))
    assert parse("(status>=500 or route==b-c) and client~1") == And((Or((A, B)), C))
    assert parse("not status>=500 and route==b-c") == And((Not(A), B))
    assert parse("not (status>=500 and route==b-c)") == Not(And((A, B)))
    assert parse("status>=500 and route==b-c and client~1") == And((A, B, C))


def test_blanks_and_capitals_of_keywords_do_not_matter() -> None:
    assert parse(" status  >=\t500  AND\nNot route == 'b-c' ") == And((A, Not(B)))


def test_a_list_may_be_denied() -> None:
    assert parse("route in (a, 'b c',d)") == In("route", ("a", "b c", "d"))
    assert parse("route not in (a)") == parse("not route in (a)") == Not(In("route", ("a",)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("route==create-order", "create-order"),
        ("route==a/b:c%20[0]@{x}+$^;#", "a/b:c%20[0]@{x}+$^;#"),
        (r"path==/a\xff", r"/a\xff"),
        (r'route=="a \"b\" \\ c"', r'a "b" \ c'),
        (r"route=='it\'s'", "it's"),
        ("route==''", ""),
        ("route=='and'", "and"),
        ("route==\u00fcber", "\u00fcber"),
    ],
)
def test_values_are_words_or_quoted(text: str, value: str) -> None:
    (found,) = [parse(text)]
    assert isinstance(found, Compare)
    assert found.value == value


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("", 0, "a comparison is missing here"),
        ("   ", 3, "a comparison is missing here"),
        ("statsu>=500", 0, "did you mean status?"),
        ("status>=500 and rout==a", 16, "did you mean route?"),
        ("latency>1s", 0, "did you mean duration?"),
        ("Status==500", 0, "did you mean status?"),
        ("zzz==1", 0, "the fields are status, "),
        ("500<=status", 0, "there is no field '500'"),
        ("'status'==500", 0, "a comparison begins with one of"),
        ("status", 6, "write one of ==, !=, <, <=, >, >=, ~ or in after status"),
        ("status 500", 7, "write one of =="),
        ("status=500", 6, "write == to compare"),
        ("!status==500", 0, "write not"),
        ("status==500 && route==a", 12, "write and"),
        ("status==500 || route==a", 12, "write or"),
        ("status==", 8, "a value for status is missing here"),
        ("status== and route==a", 9, 'write it in quotes: "and"'),
        ("status>=500 route==a", 12, "write and, or, or nothing more here"),
        ("status>=500 and", 15, "a comparison is missing here"),
        ("and status>=500", 0, "a comparison begins with one of"),
        ("(status>=500", 12, "the parenthesis at character 1 has no end"),
        ("status>=500)", 11, "never opened"),
        ("()", 1, "a comparison begins with one of"),
        ("route in a", 9, "in parentheses"),
        ("route in ()", 10, "a value for route is missing here"),
        ("route in (a b)", 12, "the list at character 10 has no end"),
        ("route in (a,", 12, "a value for route is missing here"),
        ("route not (a)", 10, "write in after not"),
        ("route=='abc", 7, "this quote has no end"),
        (r"route=='a\n'", 9, "a backslash stands before a quote or a backslash"),
        ("duration>250", 9, "add a unit: write 250s or 250ms"),
        ("status in (404, 7xx)", 16, "a class such as 5xx"),
        ("route==a == b", 9, "write and, or"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, position: int, said: str) -> None:
    with pytest.raises(FilterError) as wrong:
        parse(text)
    assert (wrong.value.position, said in str(wrong.value)) == (position, True), wrong.value


def test_a_filter_is_bounded() -> None:
    for text, said in (
        ("route==" + "a" * MOST_CHARACTERS, "characters"),
        ("(" * (MOST_DEPTH + 1) + "status==1", "levels"),
        ("not " * (MOST_DEPTH + 1) + "status==1", "levels"),
        (" or ".join(["status==1"] * (MOST_VALUES + 1)), "values"),
        (f"status in ({','.join('1' * (MOST_VALUES + 1))})", "values"),
    ):
        with pytest.raises(FilterError, match=f"at most .* {said}"):
            parse(text)
    parse("(" * MOST_DEPTH + "status==1" + ")" * MOST_DEPTH)
    parse(" or ".join(["(not status==1)"] * MOST_VALUES))


def refused(text: str) -> FilterError | None:
    try:
        parse(text)
    except FilterError as error:
        return error
    return None


PIECES = st.sampled_from(
    [*FIELDS, "==", "!=", "<", "~", "(", ")", ",", "and", "or", "not", "in", "5xx", "a-b", "250ms",
     '"', "'", "\\", "=", "!", "&", "|", " ", "\n", "\x00", "\u00fc"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=20).map(" ".join)))
def test_any_text_is_read_or_refused_at_a_place_in_it(text: str) -> None:
    error = refused(text)
    if error is not None:
        assert 0 <= error.position <= len(text)
        assert str(error)


def test_what_other_tools_call_a_field_leads_to_ours() -> None:
    assert not ELSEWHERE.keys() & FIELDS.keys()
    assert {nearest(word) for word in ELSEWHERE} <= set(FIELDS)
    assert nearest("URL") == "path"
    assert nearest("upstraem") == "upstream"
    assert nearest("qqqq") is None
