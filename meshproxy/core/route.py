"""The compiled config: what the data plane reads of it, and the endpoints it leads to.

Everything here is frozen but `Endpoint`, which is memory of traffic and lives in the
ledger. Nothing here decides; phases are filled in by the policies at compile time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, MutableSequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange, Start
    from meshproxy.core.verdict import Hold, Refusal, Reset, Served

Admit = Callable[["Exchange", float], "Refusal | Hold | Served | Reset | None"]
Eligible = Callable[["Endpoint", float], bool]
Barred = Callable[["Exchange", float], "Refusal | None"]
Depart = Callable[["Exchange", float], None]
Settle = Callable[["Exchange", float], None]
Retry = Callable[["Exchange", float], "float | None"]
Respond = Callable[["Exchange", float], None]
Broke = Callable[["Exchange", float], None]
Rescue = Callable[["Exchange", "Refusal | None", float], "Served | Route | None"]
Keep = Callable[["Exchange", "Head", float], "Keeper | Served | None"]
Hedge = Callable[["Exchange", float], float]
Rival = Callable[["Exchange", float], bool]
Allowed = Eligible
"""Whether every policy that has a say lets an endpoint be tried now."""
Pick = Callable[["Exchange", Allowed, float], "Endpoint | None"]

IDLE_UPSTREAM = 1.5
"""Seconds an idle upstream connection is kept before anything was learned of its server.

gunicorn closes at 2 s and uvicorn at 5 s; whoever waits longer meets the race.
"""


class Guard(Protocol):
    """Judges each address that a client's choice of a host leads to, before it is dialled."""

    def why_not(self, ip: str, port: int, ours: Callable[[str], bool]) -> str | None:
        """Why not, if so. `ours(ip)` says whether an address is one of this machine."""


class Asked:
    """What every request reads and writes of the endpoint it goes to.

    Of a thousand endpoints each is cold. A class's own fields lie side by side in memory, so
    those that are always asked for have one of their own, and fewer lines are fetched. `idle` is
    the connection that was used last, and its `below` the one before it: a list would be another
    two lines.
    """

    __slots__ = (
        "circuit", "cost", "cost_at", "idle", "idle_for", "kept", "load", "retired", "waiters",
    )  # fmt: skip

    def __init__(self) -> None:
        self.load = 0
        self.cost = 0.0  # moving average of seconds to first byte, kept by the balancer
        self.cost_at = 0.0
        self.circuit: Any = None  # the one in force, kept by the breakers of its cluster
        self.idle: Any = None
        self.idle_for = IDLE_UPSTREAM
        self.kept = False  # the pool has it among those that have idle connections
        self.waiters: deque[Any] | tuple[()] = ()  # most never have any: a deque takes 760 bytes
        self.retired = False


class Endpoint(Asked):
    """One address of a cluster: its load, what was learned of it, and its idle connections.

    `guard` is set where a client chose the host; `why_not` is then what it said last.
    """

    __slots__ = (
        "connections", "dials", "guard", "healthy", "host", "name", "passed_at", "port",
        "ramp_since", "tier", "version", "weight", "why_not",
    )  # fmt: skip

    def __init__(
        self, name: str, host: str, port: int, weight: int = 1, since: float = 0.0
    ) -> None:
        super().__init__()
        self.name = name
        self.host = host
        self.port = port
        self.weight = weight
        self.connections = 0
        self.dials = 0
        self.healthy = True  # as the active checks say
        self.passed_at = 0.0  # when the latest active check that went well began
        self.ramp_since = since  # when it joined or came back, for who lets it in slowly
        self.tier = 0  # 0 is asked first
        self.version = ""  # as the file says, for whoever compares
        self.guard: Guard | None = None
        self.why_not = ""

    @property
    def idling(self) -> int:
        """How many idle connections it has."""
        count, idle = 0, self.idle
        while idle is not None:
            count, idle = count + 1, idle.below
        return count

    def line_up(self, exchange: Any) -> None:
        """It waits for a connection, behind all that do."""
        if not self.waiters:
            self.waiters = deque()
        self.waiters.append(exchange)


class Head(Protocol):
    """An answer's head: `lines` are blocks of field lines, as they will go to the client."""

    @property
    def status(self) -> int: ...
    @property
    def lines(self) -> list[bytes]: ...
    @property
    def length(self) -> int: ...


class Keeper(Protocol):
    """Who gets a copy of an answer's body: all of it, then `done`; or `dropped`."""

    def piece(self, data: bytes) -> None: ...
    def done(self, now: float) -> None: ...
    def dropped(self, now: float) -> None: ...


class Classifier(Protocol):
    """One per route: what counts as a failure, for breaker, retry and metrics alike."""

    def failed(self, exchange: Exchange) -> bool:
        """Whether the attempt that just ended counts against its endpoint."""


class RouteSeries(Protocol):
    """The hot side of telemetry: plain adds, rendered elsewhere. Each route has a row of it.

    All routes have it in common, so that it is never cold. `under_way` are requests by row.
    """

    @property
    def under_way(self) -> MutableSequence[int]: ...
    def ended(self, row: int, exchange: Exchange, now: float) -> None: ...
    def sampled(self, row: int, exchange: Exchange, now: float) -> None:
        """One that is about to have ended is of a trace that is kept."""


class RouteRow(Protocol):
    """The place where one route is counted."""

    @property
    def series(self) -> RouteSeries: ...
    @property
    def place(self) -> int: ...


class ClusterSeries(Protocol):
    """Counts attempts by result: `success`, a failure's condition, or a failing status.

    `successes` are those that were answered below 400, added without a call.
    """

    successes: int

    def attempted(self, result: str) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """The endpoints of one service, or the app itself.

    `tiers` are the same endpoints, those to be asked first in front; empty if all are equal.
    `versions` are those of all endpoints; empty if they do not differ in it.
    """

    name: str
    endpoints: Collection[Endpoint]
    series: ClusterSeries
    tiers: tuple[tuple[Endpoint, ...], ...] = ()
    versions: Mapping[Endpoint, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Phases:
    """What the policies of one route do, gathered; an absent phase is an empty tuple.

    `settle` learns from the head of an answer or from a failure without one, `broke` from an
    answer that broke off after its head.

    `rescue` may give an answer, or another route, where the upstream failed for good: `refusal`
    is what the proxy would say itself, None where it would pass on the upstream's own answer.
    `keep` may take a copy of an answer, or give another in its place. `hedge` says after how many
    seconds a second attempt may go out beside the first (0.0: none), and `rival` whether it does
    when they are over.
    """

    admit: tuple[Admit, ...] = ()
    eligible: tuple[Eligible, ...] = ()
    barred: tuple[Barred, ...] = ()
    depart: tuple[Depart, ...] = ()
    settle: tuple[Settle, ...] = ()
    retry: tuple[Retry, ...] = ()
    respond: tuple[Respond, ...] = ()
    broke: tuple[Broke, ...] = ()
    rescue: tuple[Rescue, ...] = ()
    keep: tuple[Keep, ...] = ()
    hedge: tuple[Hedge, ...] = ()
    rival: tuple[Rival, ...] = ()
    allowed: Allowed = field(init=False)
    """What every `eligible` makes of an endpoint together."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed", _together(self.eligible))


def _together(eligible: tuple[Eligible, ...]) -> Allowed:
    """One for all of them; made once, as each request asks."""
    if not eligible:
        return lambda _endpoint, _now: True
    if len(eligible) == 1:
        return eligible[0]
    if len(eligible) == 2:
        # A breaker and a health check: half a microsecond less than with `all`.
        one, other = eligible
        return lambda endpoint, now: one(endpoint, now) and other(endpoint, now)
    return lambda endpoint, now: all(ask(endpoint, now) for ask in eligible)


@dataclass(frozen=True, slots=True)
class Part:
    """One policy of a route and its key; the place where it stands, if that is not the route's."""

    key: str
    policy: object
    rule: str = ""


def nowhere(*keys: str) -> str:  # noqa: ARG001  # the origin of what no file says
    """The `origin` of a route that no key of the file bounds."""
    return ""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Walked:
    """What every request asks of its route. Durations are seconds; 0.0 switches one off.

    `row` is where `series` counts it. `strip` is how many bytes of the target a service's prefix
    takes. `lone` is the only endpoint of the cluster, where there is nothing to pick.

    Of a thousand routes each is cold. A class's own fields lie side by side in memory, so those
    that are always asked for have one of their own, and fewer lines are fetched.
    """

    cluster: Cluster | None
    phases: Phases
    pick: Pick
    series: RouteSeries
    row: int = 0
    timeout: float = 15.0
    per_try_timeout: float = 0.0
    idle_timeout: float = 300.0
    strip: int = 0
    lone: Endpoint | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Route(Walked):
    """One row of the table, compiled.

    `parts` are the policies in the order of the walk and `origin("retry", "attempts")` the
    place of such a value, for those who explain.
    """

    name: str
    direction: str
    classifier: Classifier
    connect_timeout: float = 1.0
    replay_bytes: int = 65536
    rule: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    origin: Callable[..., str] = nowhere


class RouteTable(Protocol):
    """Finds the route of a request; always answers, if need be with one that refuses."""

    def match(self, exchange: Exchange) -> Route: ...


class FieldKinds(Protocol):
    """What the head reader does with each request field; made by the data plane."""

    @property
    def table(self) -> Mapping[bytes, int]: ...
    @property
    def split(self) -> Callable[[bytes], list[bytes]]: ...
    def of(self, name: bytes) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Bounds on what a client may send and take; bytes, counts, seconds, bytes per second.

    0.0 or 0 switches off what can be.
    """

    header_bytes: int = 32 * 1024
    headers: int = 100
    uri_bytes: int = 8 * 1024
    connections: int = 10000
    head_timeout: float = 10.0
    keep_alive: float = 75.0
    body_rate: float = 1024.0
    write_timeout: float = 30.0
    connections_per_client: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything one listener needs of a generation of the config.

    `trusts(address)` says whether a peer may speak for others. `routes` are those the table may
    answer with, in the order of the file, for whoever shows them. `starts` and `paths` are request
    lines that were read before: by the whole line, and by what stands before a query.
    """

    key: str
    direction: str
    host: str
    port: int
    table: RouteTable
    unmatched: Route
    kinds: FieldKinds
    limits: Limits
    trusts: Callable[[str], bool]
    routes: tuple[Route, ...] = ()
    rule: str = ""
    starts: dict[bytes, Start] = field(default_factory=dict)
    paths: dict[bytes, Start] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One generation of the config, ready to serve."""

    generation: int
    digest: str
    plans: Mapping[str, Plan]
    clusters: tuple[Cluster, ...]
    source: Any = None
