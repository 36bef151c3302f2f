"""The units of the file as pydantic types: what is written becomes a plain number.

`Duration` is seconds, `Timeout` the same with 0.0 for `off`, `Percent` a share from 0 to 1,
`PercentOrOff` that with 0.0 for `off`, `Size` bytes, `Throughput` bytes per second with 0.0 for
`off`, `RateOf` a count per seconds. A bare number where a unit belongs is refused with a word on
how to write it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from meshproxy.logic import units


def _reading(parse: Any) -> BeforeValidator:
    def read(value: Any) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("unit", "{message}", {"message": str(error)}) from None

    return BeforeValidator(read)


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


@dataclass(frozen=True, slots=True)
class RateOf:
    """`limit: 60/m` is count 60.0 per 60.0 seconds."""

    count: float
    seconds: float

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


def _read_rate(value: Any) -> RateOf:
    return value if isinstance(value, RateOf) else RateOf(*units.rate(value))


Duration = Annotated[
    float,
    _reading(units.duration),
    PlainSerializer(units.write_duration, return_type=str, when_used="json"),
    _schema(units.DURATION_PATTERN, "250ms"),
]
Timeout = Annotated[
    float,
    _reading(units.timeout),
    PlainSerializer(units.write_timeout, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": units.DURATION_PATTERN, "examples": ["5s"]},
                {"const": "off"},
            ]
        }
    ),
]
Percent = Annotated[
    float,
    _reading(units.percent),
    PlainSerializer(units.write_percent, return_type=str, when_used="json"),
    _schema(units.PERCENT_PATTERN, "20%"),
]
PercentOrOff = Annotated[
    float,
    _reading(lambda value: 0.0 if value == "off" else units.percent(value)),
    PlainSerializer(
        lambda share: units.write_percent(share) if share else "off",
        return_type=str,
        when_used="json",
    ),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": units.PERCENT_PATTERN, "examples": ["50%"]},
                {"const": "off"},
            ]
        }
    ),
]
Size = Annotated[
    int,
    _reading(units.size),
    PlainSerializer(units.write_size, return_type=str, when_used="json"),
    _schema(units.SIZE_PATTERN, "64KiB"),
]
Throughput = Annotated[
    float,
    _reading(units.throughput),
    PlainSerializer(units.write_throughput, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": units.THROUGHPUT_PATTERN, "examples": ["1KiB/s"]},
                {"const": "off"},
            ]
        }
    ),
]
Rate = Annotated[
    RateOf,
    _reading(_read_rate),
    PlainSerializer(
        lambda rate: units.write_rate(rate.count, rate.seconds), return_type=str, when_used="json"
    ),
    _schema(units.RATE_PATTERN, "100/s"),
]
