"""Rate limits as the file has them, and what is built of them.

The arithmetic is `logic.bucket` and `logic.window`, a table of keys `logic.keyed`; what a
request is counted under is `keys` and `gates`, what happens to it `limits`. A tier's header is
believed whoever sent it: what stands in front must set it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from meshproxy.core.fields import Rate as RateField
from meshproxy.logic import units
from meshproxy.logic.bucket import Rate
from meshproxy.logic.keyed import Keyed, Measure, Overflow, Table
from meshproxy.logic.window import Quota
from meshproxy.policies import keys
from meshproxy.policies.contract import Scope, Spec
from meshproxy.policies.gates import Each, Gate, SharedEach, SharedWhole, Tiered, Whole
from meshproxy.policies.limits import Limit, RateLimits, Refused, Series, Shaded
from meshproxy.policies.shadow import Mode, shadows


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


PerWord = Annotated[str, StringConstraints(pattern=keys.PATTERN)]
Per = Annotated[
    tuple[PerWord, ...],
    BeforeValidator(_listed, json_schema_input_type=PerWord | list[PerWord]),
]
Burst = Annotated[int, Field(ge=1)]


class Tier(BaseModel):
    """Another limit for those whom the tier header names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: RateField = Field(description="Requests per period, as in 200/s.")
    burst: Burst | None = Field(default=None, description="Requests that may come at once.")


class Tiers(BaseModel):
    """The header whose value picks a tier, and the tiers; any other value gets the base limit."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Tier]

    header: str = Field(
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        description="Request field whose value picks the tier; what stands in front must set it.",
    )

    @property
    def named(self) -> Mapping[str, Tier]:
        return self.__pydantic_extra__


class RateLimitSpec(Spec):
    """How often; for whom each; and how many at once."""

    key: ClassVar[str] = "rate_limits"
    adds_up: ClassVar[bool] = True

    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$",
        description="Shown in answers and metrics; the default says what it counts by.",
    )
    limit: RateField = Field(description="Requests per period, as in 20/s or 60/m.")
    burst: Burst | None = Field(
        default=None, description="Requests that may come at once; by default one period's."
    )
    algorithm: Literal["token_bucket", "sliding_window"] = Field(
        default="token_bucket",
        description="token_bucket refills steadily; sliding_window looks back one period.",
    )
    per: Per = Field(
        default=(),
        description="One limit per header:NAME, ip, method, route, or a combination of them.",
    )
    tiers: Tiers | None = Field(default=None, description="Other limits by a header's value.")
    mode: Mode = "enforce"
    keys: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Keys counted apart, 0.3 to 1.2 KiB each; all others share one limit.",
    )

    @model_validator(mode="after")
    def _agree(self) -> RateLimitSpec:
        if len(set(self.per)) < len(self.per):
            raise PydanticCustomError("per", "per names the same thing twice")
        for limit in (self, *(self.tiers.named.values() if self.tiers else ())):
            if self.algorithm == "sliding_window":
                _fits_a_window(limit)
        return self

    @property
    def about(self) -> str:
        """What it counts by; the name of a limit that has none."""
        return f"per-{'+'.join(self.per)}" if self.per else "all"

    def reads(self, hops: int) -> frozenset[bytes]:
        """The request fields it looks at, in lower case."""
        named = keys.fields(self.per, hops)
        return frozenset({*named, self.tiers.header.lower().encode()} if self.tiers else named)

    @classmethod
    def build_all(cls, specs: Sequence[tuple[Any, Scope]]) -> RateLimits | None:
        seen: Counter[tuple[str, str]] = Counter()
        limits: list[Limit] = []
        reads: set[bytes] = set()
        for spec, scope in specs:
            name = spec.name or spec.about
            # One that is off keeps its name, so that the others keep their levels.
            seen[scope.owner, name] += 1
            count = seen[scope.owner, name]
            if spec.mode != "off":
                limits.append(_limit(spec, scope, name if count == 1 else f"{name}-{count}"))
                reads |= spec.reads(scope.hops)
        return RateLimits(limits, frozenset(reads)) if limits else None


def _fits_a_window(limit: RateLimitSpec | Tier) -> None:
    if limit.burst is not None:
        raise PydanticCustomError("burst", "burst means nothing to a sliding_window: leave it out")
    if not limit.limit.count.is_integer():
        raise PydanticCustomError(
            "limit", "a sliding_window counts whole requests: write 1/2s, not 0.5/s"
        )


def _measure(spec: RateLimitSpec, limit: RateLimitSpec | Tier) -> Measure[Any]:
    if spec.algorithm == "sliding_window":
        return Quota(int(limit.limit.count), limit.limit.seconds)
    return Rate(limit.limit.per_second, _burst(limit))


def _burst(limit: RateLimitSpec | Tier) -> float:
    return float(limit.burst or max(1.0, limit.limit.count))


def _limit(spec: RateLimitSpec, scope: Scope, name: str) -> Limit:
    """The limit under `name`, with what the ledger remembers of it.

    What gives its levels meaning is where it stands, its name, what it counts by and how; a
    changed rate, burst, capacity or mode keeps them. The limit itself is found again if nothing
    changed, so that every route under it reports as one.
    """
    kept = (scope.cluster.name, name, spec.per, spec.algorithm)
    gate = _gate(spec, scope, kept)
    counts = _counts(scope, name, kept)
    written = (spec.model_dump_json(), scope.rule, scope.hops)
    about = {
        "scope": scope.rule.partition(" (")[0],
        "upstream": scope.cluster.name,
        "limit": units.write_rate(spec.limit.count, spec.limit.seconds),
        "burst": _burst(spec) if spec.algorithm == "token_bucket" else None,
        "algorithm": spec.algorithm,
        "per": list(spec.per),
        "keys": spec.keys if spec.per else 0,
        "mode": spec.mode,
    }
    return scope.state("rate_limit", lambda: Limit(scope.rule, gate, counts, about), *kept, written)


def _counts(scope: Scope, name: str, kept: tuple[Hashable, ...]) -> tuple[Refused, Shaded]:
    """What was refused and what would have been are counted apart."""
    counts, series = shadows(scope), scope.draft.state(("rate_limited",), Series)
    return (
        scope.state("rate_limit", lambda: Refused(scope.direction, name, series), *kept),
        scope.state("shaded", lambda: Shaded(scope.direction, name, counts), *kept),
    )


def _gate(spec: RateLimitSpec, scope: Scope, kept: tuple[Hashable, ...]) -> Gate:
    base = _tier_gate(spec, spec, scope, (*kept, None))
    if spec.tiers is None:
        return base
    tiers = {
        value.encode(): _tier_gate(spec, tier, scope, (*kept, value))
        for value, tier in spec.tiers.named.items()
    }
    return Tiered(spec.tiers.header.lower().encode(), tiers, base)


def _tier_gate(
    spec: RateLimitSpec, limit: RateLimitSpec | Tier, scope: Scope, kept: tuple[Hashable, ...]
) -> Whole | Each:
    measure = _measure(spec, limit)
    if not spec.per:
        level = scope.state("rate_limit_level", lambda: measure.fresh(scope.now), *kept)
        if scope.sharing is not None:
            shared = scope.name("rate_limit_level", *kept)
            return SharedWhole(limit.limit, measure, level, scope.sharing, shared)
        return Whole(limit.limit, measure, level)
    base = _measure(spec, spec)
    # All tiers overflow into one level under the base limit: the strictest reading.
    spare = scope.state("rate_limit_overflow", lambda: base.fresh(scope.now), *kept[:-1])
    table: Table[Any] = scope.state("rate_limit_keys", Table, *kept)
    keyed = Keyed(measure, table, spec.keys, Overflow(base, spare))
    if scope.sharing is not None:
        by, shared = (spec.per, keys.read(spec.per, scope.hops)), scope.name("limit_keys", *kept)
        return SharedEach(limit.limit, by, table, keyed, scope.sharing, shared)
    return Each(limit.limit, (spec.per, keys.read(spec.per, scope.hops)), table, keyed)
