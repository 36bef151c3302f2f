"""The worst case of a call: how long a caller waits at most until it has an answer.

Every try takes as long as it may, every pause is the longest there is, and the end of the whole
call's time is final. Seconds; 0.0 is no bound, and an answer of infinity says that there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf


def longest_call(
    attempts: int, timeout: float, per_try: float, idle: float, pauses: Sequence[float] = ()
) -> float:
    """So long at most for `attempts` tries with `pauses` between them.

    Without a time of its own a try lasts until the call's is over, and without that until
    nothing has moved for `idle`.
    """
    longest_try = min(each or inf for each in (per_try, idle))
    whole = attempts * longest_try + sum(pauses[: attempts - 1])
    return min(timeout or inf, whole)
