"""What would become of a request, and why: the words in which policies answer that question.

A policy says what it can through optional methods, the halves of its phases that ask and change
nothing: `explain` for its admission, `regard` for an endpoint, `choose` for a pick, `departs` for
the fields it would write, `stands_in` for a rescue, `tries` for how often it may be tried, and
`brief` for what it says of an exchange that has been through it. The exchange they are asked
about is nobody's and may be changed; nothing else may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Allowed, Endpoint, Plan, Route
    from meshproxy.core.verdict import Hold, Refusal, Reset, Served

    Verdict: TypeAlias = Refusal | Hold | Served | Reset

TOLD = b"x-meshproxy-explain"
"""The field by which a trusted peer asks for the decision, and gets it."""

Fields: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A request without a body that nobody has sent; `client` is the address it would come from."""

    method: str
    target: str
    fields: Fields = ()
    client: str = "127.0.0.1"


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


@dataclass(frozen=True, slots=True)
class Prospect:
    """One endpoint, and what everybody who has a say thinks of it."""

    upstream: str
    endpoint: Endpoint
    may: bool
    why: tuple[str, ...]
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Clock:
    """A bound on time, in seconds (0.0: off), and where it is written."""

    what: str
    seconds: float
    rule: str


@dataclass(frozen=True, slots=True)
class Worst:
    """How many attempts at most, and how long until the caller has an answer (None: no bound)."""

    attempts: int
    seconds: float | None
    says: str


@dataclass(frozen=True, slots=True)
class Rewrites:
    """What becomes of the head: `canonical` is the target as it was read, `sent` as it goes on."""

    canonical: str = ""
    sent: str = ""
    added: Fields = ()
    changed: Fields = ()
    dropped: tuple[str, ...] = ()
    head: bytes = b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What it comes to. Actions: `forward`, `hold` (wait first), `serve`, `refuse`, `reset`.

    `chance` is below 1.0 where a draw may yet make it something else, as the steps say.
    """

    action: str
    status: int = 0
    reason: str = ""
    detail: str = ""
    rule: str = ""
    chance: float = 1.0
    waits: float = 0.0
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer. `choice` and `rewrites` are of the first attempt, if there is one; it is
    on the route `elsewhere` where a fallback led there."""

    question: Question
    plan: Plan
    exchange: Exchange
    route: Route
    steps: tuple[Step, ...]
    outcome: Outcome
    prospects: tuple[Prospect, ...] = ()
    choice: Choice | None = None
    rewrites: Rewrites | None = None
    clocks: tuple[Clock, ...] = ()
    worst: Worst | None = None
    elsewhere: Route | None = None


# What a policy may have; each is optional.


@runtime_checkable
class Explains(Protocol):
    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:
        """What it would say at admission and along the way."""


@runtime_checkable
class Regards(Protocol):
    def regard(self, endpoint: Endpoint, now: float) -> Regard:
        """What it says of an endpoint."""


@runtime_checkable
class Chooses(Protocol):
    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None:
        """Whom it would pick; None where it leaves that to others, or nobody is left."""


@runtime_checkable
class Departs(Protocol):
    def departs(self, exchange: Exchange, now: float) -> Sequence[bytes]:
        """The lines that it would add to the first attempt; `<...>` for what is drawn."""


@runtime_checkable
class StandsIn(Protocol):
    def stands_in(self, exchange: Exchange, refusal: Refusal, now: float) -> Step | None:
        """What the caller would get instead of this refusal."""


@runtime_checkable
class Repeats(Protocol):
    def tries(self, exchange: Exchange) -> Tries:
        """What it may add to the attempts."""


@runtime_checkable
class Briefs(Protocol):
    def brief(self, exchange: Exchange, now: float) -> str:
        """`name=words` about an exchange that has been through it; empty if there is nothing."""
