"""Load balancing as the file has it, and what is built of it.

A word, or a mapping where there is more to say. The strategies are `balancers` and
`ring_hash`; around them stand `tiers` and `slow_start`, only where they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    StringConstraints,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from meshproxy.core.fields import Timeout
from meshproxy.logic import balance, units
from meshproxy.policies import ring_hash
from meshproxy.policies.balancers import (
    Balancer,
    ByChance,
    Lone,
    PeakEwma,
    RoundRobin,
    TwoChoices,
)
from meshproxy.policies.contract import Scope, Spec
from meshproxy.policies.ring_hash import RingHash
from meshproxy.policies.slow_start import SlowStart
from meshproxy.policies.tiers import Tiers

if TYPE_CHECKING:
    from meshproxy.core.route import Endpoint

Word = Literal["peak_ewma", "least_request", "round_robin", "random"]
STRATEGIES: tuple[str, ...] = get_args(Word)
"""Those that need nothing more said."""

UNBOUNDED = float("inf")


def _read_bound(value: Any) -> float:
    if value in ("off", False):  # YAML's bare off
        return UNBOUNDED
    if isinstance(value, str) and re.fullmatch(units.PERCENT_PATTERN, value):
        share = float(value[:-1]) / 100.0
        if 1.0 <= share <= 10.0:
            return share
    raise PydanticCustomError("bound", "write 100% to 1000%, as in 125%, or off")


def _write_bound(share: float) -> str:
    return "off" if share == UNBOUNDED else f"{round(share * 100, 6):g}%"


Bound = Annotated[
    float,
    BeforeValidator(_read_bound),
    PlainSerializer(_write_bound, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": units.PERCENT_PATTERN, "examples": ["125%"]},
                {"const": "off"},
            ]
        }
    ),
]
HashOf = Annotated[str, StringConstraints(pattern=ring_hash.PATTERN)]


class LoadBalancerSpec(Spec):
    """Which endpoint gets a request: peak_ewma, least_request, round_robin, random, ring_hash."""

    key: ClassVar[str] = "load_balancer"
    always: ClassVar[bool] = True  # in both directions: somebody has to pick

    strategy: Literal[Word, "ring_hash"] = Field(
        default="peak_ewma", description="Alone, it is written bare; ring_hash needs a hash."
    )
    hash: HashOf | None = Field(
        default=None, description="What ring_hash goes by: header:NAME, cookie:NAME or ip."
    )
    bound: Bound = Field(
        default=1.25,
        description="With ring_hash, the most that one gets, of its share of requests in flight.",
    )
    slow_start: Timeout = Field(
        default=0.0,
        description="An endpoint that recovers or is added has its full share after so long.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        if value in STRATEGIES:
            return {"strategy": value}
        if value == "ring_hash":
            raise PydanticCustomError(
                "strategy", "say what to hash: {strategy: ring_hash, hash: header:x-user}"
            )
        known = ", ".join(STRATEGIES)
        raise PydanticCustomError("strategy", "write one of {known}", {"known": known})

    @model_validator(mode="after")
    def _agree(self) -> LoadBalancerSpec:
        if self.strategy == "ring_hash":
            if self.hash is None:
                raise PydanticCustomError("hash", "say what to hash, as in hash: header:x-user")
            if self.slow_start:
                raise PydanticCustomError(
                    "hash", "slow_start does not go with ring_hash: its keys keep their places"
                )
        elif self.hash is not None or "bound" in self.model_fields_set:
            message = "hash and bound go with ring_hash: without them, write just {word}"
            raise PydanticCustomError("hash", message, {"word": self.strategy})
        return self

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> Any:
        said = handler(self)
        ringed = self.strategy == "ring_hash"
        keys = {"strategy", "hash", "bound"} if ringed else {"strategy", "slow_start"}
        if not ringed and not self.slow_start:
            return self.strategy
        return {key: value for key, value in said.items() if key in keys}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        shape = handler.resolve_ref_schema(handler(core_schema))
        shape["properties"]["bound"]["default"] = _write_bound(1.25)
        shape["properties"]["slow_start"]["default"] = "off"
        about = shape.pop("description", None)
        return {"anyOf": [{"enum": list(STRATEGIES)}, dict(shape)], "description": about}

    def build(self, scope: Scope) -> Balancer:
        tiers = scope.cluster.tiers or (tuple(scope.cluster.endpoints),)
        parts = [self._over(tier, scope) for tier in tiers]
        balancer: Balancer = parts[0] if len(parts) == 1 else Tiers(parts)
        if self.slow_start and len(scope.cluster.endpoints) > 1:
            return SlowStart(balancer, self.slow_start, scope.random, scope.cluster.endpoints)
        return balancer

    def _over(self, endpoints: Sequence[Endpoint], scope: Scope) -> Balancer:
        if len(endpoints) < 2:
            return Lone(endpoints)
        if self.strategy == "peak_ewma":
            return PeakEwma(endpoints, scope.random, scope.classifier)
        if self.strategy == "least_request":
            says = "the one of two that has fewer in flight: least_request"
            calmer = partial(balance.Pairs, prefers=balance.less_crowded)
            likely = balance.how_likely_less_crowded
            return TwoChoices(endpoints, scope.random, calmer, likely, says)
        if self.strategy == "round_robin":
            return RoundRobin(endpoints, scope.random)
        if self.strategy == "ring_hash":
            return RingHash(endpoints, scope.random, str(self.hash), self.bound, scope.hops)
        return ByChance(endpoints, scope.random)
