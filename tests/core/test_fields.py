"""Units as pydantic types: they read text, show text, and say how to write what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from meshproxy.core.fields import Duration, Percent, Rate, RateOf, Size, Timeout


class Example(BaseModel):
    duration: Duration = 5.0
    timeout: Timeout = 0.0
    percent: Percent = 0.2
    size: Size = 1024
    rate: Rate = RateOf(60.0, 60.0)


def test_what_is_written_becomes_a_plain_number_and_is_shown_as_written() -> None:
    written = {
        "duration": "250ms", "timeout": "5s", "percent": "1%", "size": "64KiB", "rate": "5/10s",
    }  # fmt: skip
    read = Example.model_validate(written)
    assert (read.duration, read.timeout, read.percent, read.size) == (0.25, 5.0, 0.01, 65536)
    assert read.rate.per_second == 0.5
    assert read.model_dump(mode="json") == written


def test_defaults_are_shown_as_one_would_write_them() -> None:
    assert Example().model_dump(mode="json") == {
        "duration": "5s", "timeout": "off", "percent": "20%", "size": "1KiB", "rate": "60/m",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (Duration, 5, "add a unit: write 5s or 5ms"),
        (Timeout, "0s", "write off to have none"),
        (Percent, 0.2, "write a percentage: 20%"),
        (Size, 64, "add a unit: write 64B or 64KiB"),
        (Rate, 100, "add a period: write 100/s or 100/m"),
    ],
)
def test_a_bare_number_is_refused_with_a_word_on_how_to_write_it(
    kind: Any, value: object, told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        TypeAdapter(kind).validate_python(value)
