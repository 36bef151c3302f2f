"""Deadlines on the wire: how long a caller still waits, as three request fields tell it.

All of them tell the time that is left and none a time of day, so no two clocks have to agree:
`x-request-deadline` and `x-envoy-expected-rq-timeout-ms` in milliseconds, `grpc-timeout` as gRPC
writes it. What cannot be read says nothing. The clock is the caller's of this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

OWN = b"x-request-deadline"
ENVOY = b"x-envoy-expected-rq-timeout-ms"
GRPC = b"grpc-timeout"

LEAST = 0.001
"""Seconds: less than this is no time, and cannot be told in whole milliseconds."""

MOST = 86400.0
"""Seconds: what claims more is no time left, but most likely a time of day."""

_UNITS = {b"": 1e-3, b"ms": 1e-3, b"s": 1.0}
# gRPC over HTTP/2, "Timeout": a positive integer of at most 8 digits, and one letter.
_GRPC_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_OWN_VALUE = re.compile(rb"(-?[0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|)")
_GRPC_VALUE = re.compile(rb"([0-9]{1,8})([HMSmun])")


def read_left(name: bytes, value: bytes) -> float | None:
    """Seconds that are left, below zero where the time is over; None where this says nothing."""
    pattern, units = (_GRPC_VALUE, _GRPC_UNITS) if name == GRPC else (_OWN_VALUE, _UNITS)
    found = pattern.fullmatch(value)
    if found is None:
        return None
    seconds = float(found[1]) * units[found[2]]
    return seconds if seconds <= MOST else None


def least_left(taken: Mapping[bytes, bytes], names: Iterable[bytes]) -> float | None:
    """The shortest time that any of the fields tells; None where none of them does."""
    told = (read_left(name, taken[name]) for name in names if name in taken)
    return min((seconds for seconds in told if seconds is not None), default=None)


def template(names: Iterable[bytes]) -> bytes:
    """Field lines with a gap in each for `whole_ms`, ready for `%`."""
    return b"".join(b"%b: %%d%b\r\n" % (name, b"m" if name == GRPC else b"") for name in names)


def whole_ms(seconds: float) -> int:
    """Milliseconds to tell the next in line: rounded down, and never none."""
    return max(1, int(seconds * 1000.0 + 1e-6))
