"""What a policy is: a Spec that builds an object with some of the phase methods.

The methods' names are the phases of `core.route.Phases`; `gather` collects those that an
object has, in the order of the registry. Optional class attributes: `reads`, the request
fields a policy looks at (lower-case), and `replaces`, those it drops and writes anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from meshproxy.core.ledger import Draft
from meshproxy.core.route import Classifier, Cluster, Phases, Pick, Route
from meshproxy.core.sharing import Sharing

T = TypeVar("T")

NO_SERVICES: Mapping[str, Route] = {}
NOTHING: Mapping[str, Any] = {}


class Random(Protocol):
    """Entropy, injected; `random.Random` has both."""

    def random(self) -> float: ...
    def getrandbits(self, k: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a policy stands, and what it may hold on to.

    `owner` is the innermost place in the file that says something about this policy, so that
    state is shared exactly as widely as the rule was written (`inbound`,
    `outbound.services.payments`, `...payments.routes.GET /quotes/*`). `rule` is the same with
    its file and line, for people. `tell(event, **fields)` writes one line to the log; never
    call it per request. `hops` is how many trusted proxies stand in front. `route_of(service)` is
    the route of a service for requests that none of its own routes takes; not to be asked before
    all are compiled. `beside(key)` is the Spec of another policy at the same place, None where
    that is off; it and `route` are for those that are `of_route`. `sharing` is there where this
    is one worker of several.
    """

    direction: str
    route: str
    owner: str
    rule: str
    cluster: Cluster
    classifier: Classifier
    now: float
    random: Random
    draft: Draft
    tell: Callable[..., None]
    hops: int = 0
    route_of: Callable[[str], Route] = NO_SERVICES.__getitem__
    beside: Callable[[str], Any] = NOTHING.get
    sharing: Sharing | None = None

    def name(self, kind: str, *more: Hashable) -> tuple[Hashable, ...]:
        """The name under which a cell of this policy at its owner is shared by the workers."""
        return (kind, self.owner, *more)

    def state(self, kind: str, make: Callable[[], T], *more: Hashable) -> T:
        """The cell of this policy at its owner, found again after a reload."""
        return self.draft.state((kind, self.owner, *more), make)


class Spec(BaseModel):
    """What the operator may write under `key`. Every field has a default; units are explicit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: ClassVar[str]
    adds_up: ClassVar[bool] = False
    """The YAML is a list, and every list from the outside in counts (`rate_limits`)."""
    always: ClassVar[bool] = False
    """Built with its defaults even where the file does not mention it."""
    always_at: ClassVar[frozenset[str]] = frozenset({"inbound", "outbound"})
    """The directions in which `always` holds."""
    of_route: ClassVar[bool] = False
    """Built for each route by itself, as it asks its scope for the route, or for what stands
    beside it. All others are built once for all routes that inherit them from one place."""
    either: ClassVar[frozenset[str]] = frozenset()
    """Keys of which one at most is written; whoever writes one inherits none of the others."""

    def build(self, scope: Scope) -> object | None:
        """The live policy, or None when these settings switch it off."""
        raise NotImplementedError

    @classmethod
    def build_all(cls, specs: Sequence[tuple[Any, Scope]]) -> object | None:
        """For `adds_up` specs: one policy out of all that apply, outermost first."""
        raise NotImplementedError


def gather(policies: Iterable[object]) -> Phases:
    """Collect the phase methods that each policy has, keeping the order of the policies."""
    built = tuple(policies)
    return Phases(
        **{
            phase.name: tuple(
                getattr(policy, phase.name) for policy in built if hasattr(policy, phase.name)
            )
            for phase in fields(Phases)
            if phase.init
        }
    )


def picking(policies: Iterable[Any]) -> Pick | None:
    """The balancer's `pick`, inside those of whoever may know better: `around(pick)`."""
    built = tuple(policies)
    pick: Pick | None = next((policy.pick for policy in built if hasattr(policy, "pick")), None)
    for policy in built:
        if hasattr(policy, "around"):
            pick = policy.around(pick)
    return pick


def fields_read(policies: Iterable[object]) -> tuple[Collection[bytes], Collection[bytes]]:
    """The request fields that these policies read, and those that they replace."""
    built = tuple(policies)
    reads = {name for policy in built for name in getattr(policy, "reads", ())}
    replaces = {name for policy in built for name in getattr(policy, "replaces", ())}
    return reads - replaces, replaces
