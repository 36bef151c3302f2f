"""What would become of a request, and why: the words in which policies answer that question.

A policy says what it can through optional methods, the halves of its phases that ask and change
nothing: `explain` for its admission, `regard` for an endpoint, `choose` for a pick, `departs` for
the fields it would write, `stands_in` for a rescue, `tries` for how often it may be tried, and
`brief` for what it says of an exchange that has been through it. The exchange they are asked
about is nobody's and may be changed; nothing else may.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Endpoint, Route
    from meshproxy.core.verdict import Hold, Refusal, Reset, Served

    Verdict: TypeAlias = Refusal | Hold | Served | Reset

TOLD = b"x-meshproxy-explain"
"""The field by which a trusted peer asks for the decision, and gets it."""

Fields: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What one policy says. `chance` is how likely its verdict is; `rule` and `policy` are left
    empty where they are those of the policy itself."""

    says: str
    verdict: Verdict | None = None
    chance: float = 1.0
    rule: str = ""
    policy: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Route | None = None


@dataclass(frozen=True, slots=True)
class Regard:
    """Whether an endpoint may be tried, and what is known of it."""

    may: bool
    says: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """Who would be picked: one, or one of several; a chance is None where it is not known."""

    candidates: tuple[tuple[Endpoint, float | None], ...]
    says: str

    @property
    def is_certain(self) -> bool:
        return len(self.candidates) == 1


@dataclass(frozen=True, slots=True)
class Tries:
    """What a policy adds to the attempts: tries one after the other, and tries beside them.

    `pauses` are the longest ones before each of the further tries. `endures` says that an answer
    may ask for a longer pause.
    """

    further: int = 0
    beside: int = 0
    pauses: tuple[float, ...] = ()
    endures: bool = False


@runtime_checkable
class Briefs(Protocol):
    def brief(self, exchange: Exchange, now: float) -> str:
        """`name=words` about an exchange that has been through it; empty if there is nothing."""
