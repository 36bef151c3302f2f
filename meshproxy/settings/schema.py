"""The file as frozen models: which keys there are, their types and their defaults.

Policies come from the registry, so a new one is known here without a line. The models judge
a tree in which inheritance is already settled (`settings.inherit`); what several keys mean
together is `settings.meaning`'s, and text with line numbers is `settings.validate`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from meshproxy.core.classify import DEFAULT_FAILURES
from meshproxy.core.fields import Duration, Percent, Size, Throughput, Timeout
from meshproxy.policies.contract import Spec
from meshproxy.policies.registry import REGISTRY
from meshproxy.settings.addresses import ADDRESS_PATTERN, Address, App, Listen, Upstream
from meshproxy.settings.allowed import Connect, UnknownHosts
from meshproxy.settings.matches import MATCH_PATTERN, Match
from meshproxy.settings.words import (
    Failure,
    Host,
    Label,
    Name,
    Network,
    One,
    OrText,
    Prefix,
    Status,
    Version,
)

OFF: Literal["off"] = "off"
TOP_LEVEL = frozenset({"tracing", "overload"})
"""Policies that stand at the top of the file and nowhere else."""


class Strict(BaseModel):
    """Nothing unknown goes in, nothing changes after."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Timeouts(Strict):
    """Bounds on time and the word of what a failure is; inherited like any policy."""

    timeout: Timeout = Field(default=15.0, description="The whole call, retries included.")
    connect_timeout: Timeout = Field(
        default=1.0, description="Until the upstream accepts a connection."
    )
    idle_timeout: Timeout = Field(
        default=300.0, description="With nothing moving in either direction."
    )
    failures: list[Failure] = Field(
        default=list(DEFAULT_FAILURES),
        description="What counts as a failure, for breaker, retry and metrics alike.",
    )


def _tag(value: Any) -> str:
    return "<off>" if value == OFF else "<set>"


def _policy_field(spec: type[Spec], direction: str) -> tuple[Any, Any]:
    """The type and default of one policy's key; `off` stands wherever a policy may."""
    shape: Any = list[spec] if spec.adds_up else spec  # type: ignore[valid-type]
    kind = Annotated[
        Annotated[Literal["off"], Tag("<off>")] | Annotated[shape, Tag("<set>")],
        Discriminator(_tag),
    ]
    about = (spec.__doc__ or "").partition("\n")[0]
    if spec.adds_up:
        return kind, Field(default_factory=list, description=about)
    if spec.always and direction in spec.always_at:
        return kind, Field(default_factory=spec, description=about)
    return kind, Field(OFF, description=about)


def _place(name: str, direction: str) -> Any:
    fields = {
        spec.key: _policy_field(spec, direction) for spec in REGISTRY if spec.key not in TOP_LEVEL
    }
    made: Any = create_model(name, __base__=Timeouts, **fields)  # type: ignore[call-overload]
    return made


if TYPE_CHECKING:

    class InboundPlace(Timeouts):
        """Timeouts and, beside them, one key per policy of the registry."""

    class OutboundPlace(Timeouts):
        """The same with the defaults of the outbound direction."""

    class _Top(Strict):
        """The policies that stand at the top of the file."""

else:
    InboundPlace = _place("InboundPlace", "inbound")
    OutboundPlace = _place("OutboundPlace", "outbound")
    _Top = create_model(
        "Top",
        __base__=Strict,
        **{spec.key: _policy_field(spec, "outbound") for spec in REGISTRY if spec.key in TOP_LEVEL},
    )


MatchField = Annotated[Match, OrText(MATCH_PATTERN, "POST /orders")]


class _Matched(Strict):
    name: Label | None = Field(
        default=None, description="Its label in metrics; else the match itself."
    )
    match: MatchField = Field(description="First match wins: POST /orders, /reports/*, a mapping.")

    def label(self) -> str:
        """The name, or the match as written."""
        return self.name or self.match.label()


class InboundRoute(InboundPlace, _Matched):
    """Some of the requests to the app, and what is different for them."""


class OutboundRoute(OutboundPlace, _Matched):
    """Some of the requests to a service, and what is different for them."""


class Inbound(InboundPlace):
    """Callers -> this sidecar -> your app."""

    listen: Listen = Field(default=Address("0.0.0.0", 15006), description="Where callers connect.")
    app: App = Field(description="Your application: http://host:port.")
    routes: list[InboundRoute] = Field(default=[], description="First match wins.")


class Endpoint(Strict):
    """One server of a service."""

    address: Upstream = Field(description="host:port.")
    weight: int = Field(
        default=1, ge=1, le=1000, description="Share of the requests, to the others'."
    )
    tier: int = Field(
        default=0, ge=0, le=9, description="Asked when no endpoint of a lower tier can be used."
    )
    version: Version | None = Field(
        default=None, description="What runs there: figures are kept apart by it."
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"address": value} if isinstance(value, str) else value


EndpointField = Annotated[Endpoint, OrText(ADDRESS_PATTERN, "10.0.3.11:8080")]


class Service(OutboundPlace):
    """A service that your app calls, and how it finds it here."""

    hosts: list[Host] | None = Field(
        default=None,
        min_length=1,
        description="Host fields that mean it; default: the service's name.",
    )
    listen: Listen | None = Field(default=None, description="A port of its own.")
    prefix: Prefix | None = Field(
        default=None, description="A path that means it, and is stripped."
    )
    endpoints: list[EndpointField] = Field(min_length=1, description="Its servers.")
    routes: list[OutboundRoute] = Field(default=[], description="First match wins.")


class Outbound(Strict):
    """Your app -> this sidecar -> other services."""

    listen: Listen = Field(
        default=Address("127.0.0.1", 15001), description="Where your app connects."
    )
    unknown_hosts: UnknownHosts = Field(
        default="reject", description="Hosts of no service; port 80 where a host says none."
    )
    connect: Connect = Field(
        default="off", description="CONNECT tunnels; port 443 where a host says none."
    )
    defaults: OutboundPlace = Field(
        default_factory=lambda: OutboundPlace(), description="Every service starts from these."
    )
    services: dict[Name, Service] = Field({}, description="By name.")


class Identity(Strict):
    """Who stands behind this sidecar."""

    name: Label = Field(default="app", description="Shown by the probes, /info, logs and traces.")
    version: str = Field(default="", max_length=100)


class Metrics(Strict):
    """/metrics and the probes."""

    listen: Listen = Address("0.0.0.0", 15020)
    compat: list[Literal["istio"]] = Field(
        default=[], description="Say the counts of traffic under these names too."
    )


class Admin(Strict):
    """Everything else; loopback only."""

    listen: Listen = Address("127.0.0.1", 15000)


class Access(Strict):
    """Which exchanges get a line in the access log: those that meet any of these."""

    errors: bool = Field(default=True, description="Every 5xx and every one with a reason code.")
    statuses: list[Status] = Field(
        default=[], description="Every one with such a status: 429, 4xx."
    )
    slower_than: Timeout = Field(default=0.5, description="Every one that took longer.")
    sample: Percent = Field(default=0.01, description="A share of the rest.")
    format: Literal["json", "text"] | None = Field(
        default=None, description="text begins as Envoy's lines do; default: as logs.format."
    )


AccessField = Annotated[
    Annotated[Literal["off"], Tag("<off>")] | Annotated[Access, Tag("<set>")],
    Discriminator(_tag),
]


def _slow_loop(seconds: float) -> float:
    """Its heartbeat comes every 25 ms: what is shorter than two would be told without cause."""
    if 0.0 < seconds < 0.05:
        raise PydanticCustomError("least", "must be at least 50ms, or off")
    return seconds


SlowLoop = Annotated[Timeout, AfterValidator(_slow_loop)]


class Logs(Strict):
    """What is written to standard error and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
    access: AccessField = Field(
        default_factory=Access, description="Lines for requests; off: none at all."
    )
    slow_loop: SlowLoop = Field(
        default=0.2, description="Tell the stack of what holds the event loop for longer."
    )


class LimitsSpec(Strict):
    """Bounds on what a client may send."""

    header_bytes: Size = Field(default=32 * 1024, ge=1024, le=1024 * 1024)
    headers: int = Field(default=100, ge=10, le=10_000)
    uri_bytes: Size = Field(default=8 * 1024, ge=256, le=1024 * 1024)
    connections: int = Field(default=10_000, ge=1, le=1_000_000)
    head_timeout: Duration = Field(
        default=10.0, gt=0, description="Until a request head is complete."
    )
    keep_alive: Duration = Field(
        default=75.0, gt=0, description="Idle client connections stay this long."
    )
    body_rate: Throughput = Field(
        default=1024.0, description="A request body that comes slower over 10 s is refused."
    )
    write_timeout: Timeout = Field(
        default=30.0, description="A client that takes nothing for so long is cut off."
    )
    connections_per_client: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["off"] = Field(
        default="off", description="Connections of one client address at once."
    )


class Trust(Strict):
    """Who may speak for others through x-forwarded-* fields."""

    forwarded_from: list[Network] = Field(default=[], description="Peers that are believed.")
    hops: int = Field(
        default=1, ge=1, le=20, description="How many of them stand before the client."
    )


class Shutdown(Strict):
    """How the sidecar ends."""

    drain: Duration = Field(
        default=20.0,
        description=(
            "The whole time for leaving. Callers are let in for its first quarter (at most 5s), "
            "then answered to the end; the app's own calls go on until it has ended. What is left "
            "after that is cut off."
        ),
    )


class File(_Top):
    """The whole file. Every key has a default; `inbound` and `outbound` may be left out."""

    version: One = Field(default=1, description="Of this format.")
    service: Identity = Identity()
    inbound: Inbound | None = None
    outbound: Outbound | None = None
    metrics: Metrics = Metrics()
    admin: Admin = Admin()
    logs: Logs = Logs()
    limits: LimitsSpec = LimitsSpec()
    trust: Trust = Trust()
    shutdown: Shutdown = Shutdown()
    workers: Annotated[int, Field(ge=1, le=32)] | Literal["auto"] = Field(
        default=1, description="Processes that share the work; auto: one for each processor."
    )


def policy(place: BaseModel, spec: type[Spec]) -> Any:
    """What `place` says of one policy: its Spec, a list of them, or None where it is off."""
    value = getattr(place, spec.key)
    return None if value == OFF else value
