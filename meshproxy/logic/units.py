"""Durations, sizes, shares and rates as people write them, and back.

Each reader takes what YAML gave and raises ValueError with a sentence that says how to write
it; a bare number is never taken, because nobody should have to guess its unit.
"""

from __future__ import annotations

import re

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h)$"
SIZE_PATTERN = r"^[0-9]+(B|KiB|MiB|GiB)$"
THROUGHPUT_PATTERN = r"^[0-9]+(B|KiB|MiB|GiB)/s$"
PERCENT_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"
RATE_PATTERN = r"^[0-9]+(\.[0-9]+)?/(s|m|h|d|[0-9]+(ms|s|m|h))$"

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_NUMBER_UNIT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([A-Za-z%]*)")
_OFF = "off"


def duration(value: object) -> float:
    """Seconds of `250ms`, `5s`, `1m`."""
    number, unit = _split(value, "a duration such as 250ms, 5s or 1m")
    if not unit:
        raise ValueError(f"add a unit: write {number}s or {number}ms")
    if unit not in _SECONDS or unit == "d":
        raise ValueError(f"unknown unit {unit!r}: write us, ms, s, m or h, as in 250ms")
    return float(number) * _SECONDS[unit]


def timeout(value: object) -> float:
    """Seconds of a duration above zero; 0.0 for `off`, which is how a timeout is switched off."""
    if value == _OFF:
        return 0.0
    seconds = duration(value)
    if seconds == 0.0:
        raise ValueError("a timeout must be above zero; write off to have none")
    return seconds


def size(value: object) -> int:
    """Bytes of `64KiB`; powers of two only, so that nobody has to guess."""
    number, unit = _split(value, "a size such as 64KiB")
    if not unit:
        raise ValueError(f"add a unit: write {number}B or {number}KiB")
    if unit not in _BYTES:
        raise ValueError(f"unknown unit {unit!r}: write B, KiB, MiB or GiB, as in 64KiB")
    return int(float(number) * _BYTES[unit])


def throughput(value: object) -> float:
    """Bytes per second of `1KiB/s`; 0.0 for `off`."""
    if value == _OFF:
        return 0.0
    amount, slash, period = str(value).partition("/")
    if isinstance(value, bool) or not slash or period != "s":
        raise ValueError("write bytes per second such as 1KiB/s, or off")
    count = size(amount)
    if not count:
        raise ValueError("a throughput must be above zero; write off to have none")
    return float(count)


def percent(value: object) -> float:
    """A share from 0 to 1 of `20%`."""
    number, unit = _split(value, "a percentage such as 20%")
    if not unit and float(number) <= 1.0:
        raise ValueError(f"write a percentage: {_plain(float(number) * 100)}%")
    if unit != "%":
        raise ValueError(f"add a unit: write {number}%")
    share = float(number) / 100.0
    if share > 1.0:
        raise ValueError("at most 100%")
    return share


def rate(value: object) -> tuple[float, float]:
    """(count, seconds) of `100/s`, `60/m`, `5/10s`."""
    text = str(value)
    count, slash, period = text.partition("/")
    if not slash:
        raise ValueError(f"add a period: write {text}/s or {text}/m")
    number, unit = _split(count, "a rate such as 100/s")
    if unit:
        raise ValueError("write a rate as a count over a period, as in 100/s")
    if float(number) <= 0:
        raise ValueError("a rate must be above zero; use off to switch a limit off")
    if period in _SECONDS and period not in ("us", "ms"):
        return float(number), _SECONDS[period]
    try:
        seconds = duration(period)
    except ValueError:
        raise ValueError(f"unknown period {period!r}: write s, m, h, d or, say, 10s") from None
    if seconds <= 0:
        raise ValueError("the period of a rate must be above zero")
    return float(number), seconds


def write_duration(seconds: float) -> str:
    """The shortest exact spelling of a duration."""
    for unit, scale in (("h", 3600.0), ("m", 60.0), ("s", 1.0)):
        if seconds >= scale and (seconds / scale).is_integer():
            return f"{int(seconds / scale)}{unit}"
    if seconds >= 1.0:
        return f"{_plain(seconds)}s"
    if 0.0 < seconds < 1e-3:
        return f"{_plain(seconds * 1e6)}us"
    return f"{_plain(seconds * 1000)}ms"


def write_timeout(seconds: float) -> str:
    """A duration, or `off` for 0.0."""
    return write_duration(seconds) if seconds else _OFF


def write_size(count: int) -> str:
    """The shortest exact spelling of a size."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count}B"


def write_throughput(rate: float) -> str:
    """`1024.0` as `1KiB/s`, or `off` for 0.0."""
    return f"{write_size(int(rate))}/s" if rate else _OFF


def write_percent(share: float) -> str:
    """`0.2` as `20%`."""
    return f"{_plain(share * 100)}%"


def write_rate(count: float, seconds: float) -> str:
    """`(60, 60)` as `60/m`."""
    for unit in ("s", "m", "h", "d"):
        if seconds == _SECONDS[unit]:
            return f"{_plain(count)}/{unit}"
    return f"{_plain(count)}/{write_duration(seconds)}"


def _plain(number: float) -> str:
    """A number without an exponent, to nine places: more than any unit here needs."""
    return f"{number:.9f}".rstrip("0").rstrip(".")


def _split(value: object, kind: str) -> tuple[str, str]:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"write {kind}")
    found = _NUMBER_UNIT.fullmatch(str(value))
    if found is None:
        raise ValueError(f"write {kind}")
    return found[1], found[2]
