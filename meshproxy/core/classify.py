"""What counts as a failure on one route: one answer for breaker, retry and metrics alike.

The words are those of `failures` and of `retry.when`. It sees what an attempt came to (a
failure's condition or the upstream's own status), never an answer that the proxy made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshproxy.core.verdict import Failure

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

DEFAULT_FAILURES = ("5xx", "connect-failure", "reset", "timeout", "bad-response")

CONDITIONS = tuple(dict.fromkeys(each.condition for each in Failure if each.upstream_fault))
"""Words for attempts that brought no usable answer."""

FAILURES = (*CONDITIONS, Failure.DEADLINE.condition)
"""What may count as a failure. A caller's own deadline does so only where the file says it: it
tells how long somebody waits, and one who waits for 1 ms must not open everybody's breaker."""

STATUS_WORDS: dict[str, frozenset[int]] = {
    "5xx": frozenset(range(500, 600)),
    "4xx": frozenset(range(400, 500)),
    "gateway-error": frozenset((502, 503, 504)),
}
"""Words for sets of statuses. A status is only ever one that the upstream sent: a refused
connection is `connect-failure` and never also `503`, though the caller sees that."""

SUCCESS = "success"


def read_word(value: object) -> str:
    """The word as it is known, `503` for the number 503; ValueError tells what there is."""
    word = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    if word in FAILURES or word in STATUS_WORDS or _is_failing_status(word):
        return word
    known = ", ".join((*FAILURES, *STATUS_WORDS))
    raise ValueError(f"write one of {known}, or a status from 400 to 599, got {value!r}")


def _is_failing_status(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) == 3 and word[0] in "45"


@dataclass(frozen=True, slots=True)
class Conditions:
    """A list of such words, ready to be asked."""

    failures: frozenset[Failure]
    statuses: frozenset[int]

    @classmethod
    def of(cls, words: Iterable[object]) -> Conditions:
        """ValueError where `read_word` refuses one."""
        read = [read_word(word) for word in words]
        named = {word for word in read if word in FAILURES}
        statuses: set[int] = {int(word) for word in read if word.isdigit()}
        for word in read:
            statuses |= STATUS_WORDS.get(word, frozenset())
        return cls(
            frozenset(each for each in Failure if each.condition in named), frozenset(statuses)
        )

    def hold(self, exchange: Exchange) -> bool:
        """Whether the attempt that just ended met one of them."""
        failure = exchange.failure
        if failure is None:
            return exchange.status in self.statuses
        return failure in self.failures


class Classifier:
    """The `failures` of a route. Statuses 1xx to 3xx can't be failures."""

    __slots__ = ("_failures", "_statuses")

    def __init__(self, words: Iterable[object] = DEFAULT_FAILURES) -> None:
        conditions = Conditions.of(words)
        self._failures = conditions.failures
        self._statuses = conditions.statuses

    def failed(self, exchange: Exchange) -> bool:
        """Whether the attempt that just ended counts against its endpoint."""
        failure = exchange.failure
        if failure is None:
            return exchange.status in self._statuses
        return failure in self._failures

    def condition(self, exchange: Exchange) -> str:
        """The word for metrics: `success`, a failure's condition, or a failing status."""
        failure = exchange.failure
        if failure is not None:
            return failure.condition
        return str(exchange.status) if exchange.status in self._statuses else SUCCESS
