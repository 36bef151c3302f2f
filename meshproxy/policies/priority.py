"""Priority: how important a request is to whoever must choose.

A route says so, or a field of the request. Anyone may call itself less important than the route
says; only trusted peers may call themselves more. What follows from it is for the policies that
shed and queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from meshproxy.core.explanation import Step
from meshproxy.policies.contract import Scope, Spec

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

Level = Literal["high", "normal", "low"]
LEVELS: tuple[str, ...] = get_args(Level)
"""The most important first: their places are what exchanges carry."""

_PLAIN = LEVELS.index("normal")


class PrioritySpec(Spec):
    """Who is served first and shed last: high, normal or low."""

    key: ClassVar[str] = "priority"

    level: Level = Field(default="normal", description="Alone, it is written bare.")
    header: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        description="Request field that says it; only trusted peers can raise themselves by it.",
    )
    high: list[str] = Field(default=["high"], description="Its values that mean high.")
    low: list[str] = Field(default=["low"], description="Its values that mean low.")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        if value in LEVELS:
            return {"level": value}
        raise PydanticCustomError("level", "write high, normal or low, or {header: x-priority}")

    @model_validator(mode="after")
    def _agree(self) -> PrioritySpec:
        if self.header is None and {"high", "low"} & self.model_fields_set:
            raise PydanticCustomError("header", "high and low are values of a header: name it")
        if set(self.high) & set(self.low):
            raise PydanticCustomError("header", "high and low must not share a value")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        shape = handler.resolve_ref_schema(handler(core_schema))
        about = shape.pop("description", None)
        return {"anyOf": [{"enum": list(LEVELS)}, dict(shape)], "description": about}

    def build(self, scope: Scope) -> Fixed | ByHeader | None:  # noqa: ARG002  # the same everywhere
        level = LEVELS.index(self.level)
        if self.header is not None:
            return ByHeader(self, level)
        return Fixed(level) if level != _PLAIN else None


class Fixed:
    """What the route says."""

    __slots__ = ("_level",)

    def __init__(self, level: int) -> None:
        self._level = level

    def admit(self, exchange: Exchange, now: float) -> None:  # noqa: ARG002  # a phase
        exchange.more().priority = self._level

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:
        self.admit(exchange, now)
        yield Step(f"priority {LEVELS[self._level]}")


class ByHeader:
    """What the request says, as far as its sender may."""

    __slots__ = ("_header", "_level", "_levels", "reads")

    def __init__(self, spec: PrioritySpec, level: int) -> None:
        self._header = (spec.header or "").lower().encode()
        self.reads = frozenset({self._header})
        self._level = level
        self._levels = {
            **dict.fromkeys((word.encode() for word in spec.high), LEVELS.index("high")),
            **dict.fromkeys((word.encode() for word in spec.low), LEVELS.index("low")),
        }

    def admit(self, exchange: Exchange, now: float) -> None:  # noqa: ARG002  # a phase
        level = self._levels.get(exchange.taken.get(self._header, b""), self._level)
        if level < self._level and not exchange.peer.trusted:
            level = self._level
        if level != _PLAIN:
            exchange.more().priority = level

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:
        self.admit(exchange, now)
        name = self._header.decode()
        said = self._levels.get(exchange.taken.get(self._header, b""), self._level)
        vain = said != exchange.priority
        why = f"{name} says more, but the peer is not trusted" if vain else f"by {name}"
        yield Step(f"priority {LEVELS[exchange.priority]}, {why}")
