"""Trace context: read what a caller sent, decide on sampling, mint ids, write the next header.

W3C Trace Context level 2, B3 (single and multi) and Jaeger's uber-trace-id. Ids are lower-case
hex as bytes, entropy comes from outside. A header that breaks its grammar counts as none: the
trace starts anew, and whatever came along with it is dropped. Nothing here knows which formats
are switched on.
"""

from __future__ import annotations

import re
from binascii import hexlify
from collections.abc import Callable, Iterator
from struct import iter_unpack
from typing import NamedTuple


class Parent(NamedTuple):
    """What a caller said. Without ids (b"") only its decision or its debug flag came.

    `sampled` None leaves the decision to us. `random` says that the trace id's last 56 bits
    are random (level 2, section 3.2.2.5.2); `state` is a tracestate fit to be sent on.
    """

    trace_id: bytes
    span_id: bytes
    sampled: bool | None
    random: bool = False
    state: bytes = b""
    debug: bool = False


_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16
_SAMPLED, _RANDOM = 1, 2


def read_w3c(traceparent: bytes, tracestate: bytes | None) -> Parent | None:
    """W3C Trace Context level 2, sections 3.2 and 4.3; None for a header that breaks it."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_id, span_id, hex_flags, more = found.groups()
    # Of a higher version the first 55 characters are read, if a dash or nothing follows them.
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    flags = int(hex_flags, 16)
    state = kept_state(tracestate) if tracestate else b""
    return Parent(trace_id, span_id, bool(flags & _SAMPLED), bool(flags & _RANDOM), state)


_STATE_MEMBER = re.compile(
    rb"[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]",
)
_STATE_MEMBERS = 32
_STATE_BYTES = 2048
"""Every vendor must carry 512 (section 3.3.1.5); this leaves room and still ends somewhere."""
_LONG_MEMBER = 128


def kept_state(tracestate: bytes) -> bytes:
    """A tracestate as it is sent on: valid as a whole, or gone as a whole (section 3.3.1)."""
    members = [member for part in tracestate.split(b",") if (member := part.strip(b" \t"))]
    if len(members) > _STATE_MEMBERS:
        return b""
    if not all(map(_STATE_MEMBER.fullmatch, members)):
        return b""
    state = b",".join(members)
    if len(state) <= _STATE_BYTES:
        return state
    # Section 3.3.1.5: entries longer than 128 go first, then entries from the end.
    members = [member for member in members if len(member) <= _LONG_MEMBER]
    while len(state := b",".join(members)) > _STATE_BYTES:
        members.pop()
    return state


_B3 = re.compile(
    rb"((?:[0-9a-f]{16}){1,2})-([0-9a-f]{16})(?:-([01d]|true|false)(?:-[0-9a-f]{16})?)?"
)
_DECISIONS: dict[bytes | None, bool | None] = {
    None: None,
    b"0": False,
    b"1": True,
    b"d": True,
    # Senders older than the specification write words.
    b"false": False,
    b"true": True,
}


def read_b3(value: bytes) -> Parent | None:
    """The single `b3` header; None for one that breaks its grammar."""
    if value in _DECISIONS:
        return Parent(b"", b"", _DECISIONS[value], debug=value == b"d")
    found = _B3.fullmatch(value)
    if found is None:
        return None
    trace_id, span_id, decision = found.groups()
    return _b3_parent(trace_id, span_id, _DECISIONS[decision], debug=decision == b"d")


_B3_TRACE = re.compile(rb"(?:[0-9a-f]{16}){1,2}")
_B3_SPAN = re.compile(rb"[0-9a-f]{16}")


def read_b3_multi(header: Callable[[bytes], bytes | None]) -> Parent | None:
    """The `x-b3-*` headers; None when there are none, or when one breaks its grammar."""
    trace_id, span_id = header(b"x-b3-traceid"), header(b"x-b3-spanid")
    decision, debug = header(b"x-b3-sampled"), header(b"x-b3-flags") == b"1"
    if decision == b"d" or decision not in _DECISIONS:
        return None
    sampled = True if debug else _DECISIONS[decision]  # debug implies an accept decision
    if trace_id is None and span_id is None:
        return None if sampled is None else Parent(b"", b"", sampled, debug=debug)
    if not _B3_TRACE.fullmatch(trace_id or b"") or not _B3_SPAN.fullmatch(span_id or b""):
        return None
    return _b3_parent(trace_id or b"", span_id or b"", sampled, debug=debug)


def _b3_parent(
    trace_id: bytes, span_id: bytes, sampled: bool | None, *, debug: bool
) -> Parent | None:
    wide = trace_id.rjust(32, b"0")  # a 64-bit id continues as a 128-bit one
    if wide == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Parent(wide, span_id, sampled, debug=debug)


_UBER = re.compile(
    rb"([0-9a-f]{1,32}):([0-9a-f]{1,16}):[0-9a-f]{0,16}:([0-9a-f]{1,2})", re.IGNORECASE
)
_DEBUG = 2


def read_jaeger(value: bytes) -> Parent | None:
    """The `uber-trace-id` header; None for one that breaks its grammar.

    `{trace-id}:{span-id}:{parent-span-id}:{flags}` in hex, of which senders leave out leading
    zeros and some escape the colons. The third part is deprecated and means nothing here.
    """
    found = _UBER.fullmatch(value.replace(b"%3A", b":").replace(b"%3a", b":"))
    if found is None:
        return None
    trace_id, span_id = found[1].lower().rjust(32, b"0"), found[2].lower().rjust(16, b"0")
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    flags = int(found[3], 16)
    debug = bool(flags & _DEBUG)
    return Parent(trace_id, span_id, debug or bool(flags & _SAMPLED), debug=debug)


_BATCH = 64
_RECORD = 32 + 16 + 36


def identities(getrandbits: Callable[[int], int]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Endless (trace id, span id, request id in the shape of a version 4 UUID).

    Drawn and spelled 64 at a time: 0.2 us for all three, against 1.0 us one by one. An id of
    zeros, which W3C forbids, comes once in 2**64 and is not looked for.
    """
    while True:
        text = bytearray(hexlify(getrandbits(_BATCH * _RECORD * 4).to_bytes(_BATCH * _RECORD // 2)))
        for place in (8, 13, 18, 23):
            text[48 + place :: _RECORD] = b"-" * _BATCH
        text[48 + 14 :: _RECORD] = b"4" * _BATCH
        text[48 + 19 :: _RECORD] = b"89ab" * (_BATCH // 4)
        yield from iter_unpack("32s16s36s", bytes(text))


def share_of(share: float) -> Callable[[bytes], bool]:
    """A question to trace ids that `share` (0 to 1) of them answer with yes.

    Asks their last 56 bits, as OpenTelemetry's consistent probability does: everyone who is
    given one share takes the same traces, and a larger share takes those too.
    """
    least = round((1.0 - share) * 2**56)
    if least == 2**56:
        return lambda _: False
    # Hex digits sort as the numbers do.
    bound = b"%014x" % least
    return lambda trace_id: trace_id[18:] >= bound


def write_w3c(trace_id: bytes, span_id: bytes, sampled: bool, parent: Parent | None) -> bytes:
    """The lines `traceparent` and, if there is one, `tracestate`; an id of ours is random."""
    is_random = parent is None or not parent.trace_id or parent.random
    flags = (_SAMPLED if sampled else 0) | (_RANDOM if is_random else 0)
    line = b"traceparent: 00-%b-%b-%02x\r\n" % (trace_id, span_id, flags)
    if parent is not None and parent.state:
        return b"%btracestate: %b\r\n" % (line, parent.state)
    return line


def write_b3(trace_id: bytes, span_id: bytes, sampled: bool, parent: Parent | None) -> bytes:
    """The single `b3` line."""
    if parent is None:
        return b"b3: %b-%b-%d\r\n" % (trace_id, span_id, sampled)
    decision = b"d" if parent.debug else b"1" if sampled else b"0"
    caller = b"-" + parent.span_id if parent.span_id else b""
    return b"b3: %b-%b-%b%b\r\n" % (trace_id, span_id, decision, caller)


def write_b3_multi(trace_id: bytes, span_id: bytes, sampled: bool, parent: Parent | None) -> bytes:
    """The `x-b3-*` lines; debug is said by the flags alone, as it implies the decision."""
    line = b"x-b3-traceid: %b\r\nx-b3-spanid: %b\r\n" % (trace_id, span_id)
    if parent is not None and parent.span_id:
        line += b"x-b3-parentspanid: %b\r\n" % parent.span_id
    if parent is not None and parent.debug:
        return line + b"x-b3-flags: 1\r\n"
    return line + b"x-b3-sampled: %d\r\n" % sampled


def write_jaeger(trace_id: bytes, span_id: bytes, sampled: bool, parent: Parent | None) -> bytes:
    """The `uber-trace-id` line; a trace that begins here has 0 for a parent."""
    caller, flags = b"0", _SAMPLED if sampled else 0
    if parent is not None:
        caller = parent.span_id or caller
        flags |= _DEBUG if parent.debug else 0
    return b"uber-trace-id: %b:%b:%b:%x\r\n" % (trace_id, span_id, caller, flags)
