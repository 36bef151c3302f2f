"""The whole answer to what would become of a request, and whom a policy is asked through.

Put together from the words of `explanation` by who explains; a sidecar that nobody asks never
loads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from meshproxy.core.explanation import Choice, Fields, Regard, Step, Tries

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Allowed, Endpoint, Plan, Route
    from meshproxy.core.verdict import Refusal


@dataclass(frozen=True, slots=True)
class Question:
    """A request without a body that nobody has sent; `client` is the address it would come from."""

    method: str
    target: str
    fields: Fields = ()
    client: str = "127.0.0.1"


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
