"""What counts as a failure, word by word."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from meshproxy.core.classify import Classifier, Conditions, read_word
from meshproxy.core.verdict import Failure


def came_to(status: int = 0, failure: Failure | None = None) -> Any:
    return SimpleNamespace(status=status, failure=failure)


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 507, 599])
def test_server_errors_are_failures(status: int) -> None:
    assert Classifier().failed(came_to(status))
    assert Classifier().condition(came_to(status)) == str(status)


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 404, 409, 429, 499, 600])
def test_any_other_status_is_none(status: int) -> None:
    assert not Classifier().failed(came_to(status))
    assert Classifier().condition(came_to(status)) == "success"


@pytest.mark.parametrize("failure", list(Failure))
def test_failures_count_where_the_upstream_is_to_blame(failure: Failure) -> None:
    assert Classifier().failed(came_to(failure=failure)) is failure.upstream_fault
    assert Classifier().condition(came_to(failure=failure)) == failure.condition


def test_a_caller_s_deadline_counts_where_it_is_asked_for() -> None:
    assert not Classifier().failed(came_to(failure=Failure.DEADLINE))
    assert Classifier(["deadline"]).failed(came_to(failure=Failure.DEADLINE))


def test_429_counts_where_it_is_asked_for() -> None:
    classifier = Classifier(["5xx", 429])
    assert classifier.failed(came_to(429))
    assert not classifier.failed(came_to(404))
    assert not classifier.failed(came_to(failure=Failure.RESET))


def test_the_status_that_the_caller_sees_is_not_what_the_upstream_sent() -> None:
    """A refused connection is shown as 503, and a list that says 503 does not mean it."""
    conditions = Conditions.of(["503"])
    assert conditions.hold(came_to(503))
    assert not conditions.hold(came_to(failure=Failure.CONNECT))


def test_a_failure_after_the_head_is_judged_as_a_failure() -> None:
    assert Classifier(["reset"]).failed(came_to(200, Failure.TRUNCATED))
    assert not Classifier(["5xx"]).failed(came_to(503, Failure.TRUNCATED))


@pytest.mark.parametrize(
    ("words", "status", "holds"),
    [
        (["4xx"], 418, True),
        (["4xx"], 500, False),
        (["gateway-error"], 502, True),
        (["gateway-error"], 500, False),
        ([503], 503, True),
        (["503"], 504, False),
        ([], 503, False),
    ],
)
def test_statuses_may_be_named_one_by_one_or_together(
    words: list[object], status: int, holds: bool
) -> None:
    assert Conditions.of(words).hold(came_to(status)) is holds


@pytest.mark.parametrize(
    "word", ["3xx", "200", 200, "6xx", 600, "client-gone", "", "5XXX", True, None, 50.3, "٥٠٣"]
)
def test_a_word_that_means_nothing_is_refused_with_those_that_do(word: object) -> None:
    with pytest.raises(ValueError, match="write one of connect-failure, reset, timeout"):
        read_word(word)


def test_words_are_read_in_any_case() -> None:
    assert read_word(" 5XX ") == "5xx"
    assert read_word(503) == "503"
