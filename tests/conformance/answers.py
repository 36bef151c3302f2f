"""The corpus of answers: everything bad that an upstream may say or do, and the odd but right.

BAD is what must end in a right answer or an honest failure, with the connection never used
again. ODD is what must pass.
"""

from __future__ import annotations

from tests.conformance import answers_bodies, answers_extra, answers_heads, answers_odd
from tests.conformance.answers_case import Case, End, Fate

BAD: tuple[Case, ...] = (*answers_heads.ALL, *answers_bodies.ALL, *answers_extra.ALL)
ODD: tuple[Case, ...] = answers_odd.ALL

__all__ = ["BAD", "ODD", "Case", "End", "Fate"]
