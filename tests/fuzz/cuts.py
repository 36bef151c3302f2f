"""However a client's bytes are cut, the same comes of them: the same answers and requests.

The client says all that it has to say before anything is answered, once in one read and once
in many; what differs is a request that some other reader could be made to see.
"""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Any

from meshproxy.core.exchange import Exchange
from tests.fuzz import strict
from tests.fuzz.oracle import judge, require
from tests.fuzz.scripts import Script, play
from tests.fuzz.world import World

_RANDOM = (b"traceparent", b"b3", b"x-b3", b"x-request-id", b"tracestate")


def whole(one: Script) -> Script:
    """All that was said, in one read, before all that was told; without any upset."""
    said = b"".join(data for verb, data in one.steps if verb == "say")
    told = tuple(step for step in one.steps if step[0] == "answer")
    return Script(one.plan, (("say", said), *told), one.inputs)


def cut(one: Script, rng: Random) -> Script:
    """The same in two pieces, or byte by byte."""
    said = one.steps[0][1]
    if rng.random() < 0.3 and len(said) < 1000:
        pieces = [said[at : at + 1] for at in range(len(said))]
    else:
        at = int(rng.random() * (len(said) + 1))
        pieces = [said[:at], said[at:]]
    steps = (("say", piece) for piece in pieces if piece)
    return Script(one.plan, (*steps, *one.steps[1:]), one.inputs)


class Pair:
    """Two worlds with the same history, one for each way to cut."""

    def __init__(self) -> None:
        self._worlds = World(), World()

    def compare(self, one: Script, other: Script) -> None:
        """Play both and require the same outcome, if need be in two worlds without a past."""
        try:
            _require_same(*map(outcome, self._worlds, (one, other)))
        except Exception:  # noqa: BLE001  # shown again by worlds without a past, or not at all
            self._worlds = World(), World()
            compare(one, other)


def compare(one: Script, other: Script) -> None:
    """Play each in a world of its own, and require the same outcome."""
    _require_same(outcome(World(), one), outcome(World(), other))


def _require_same(first: list[Any], second: list[Any]) -> None:
    """Whether the connection goes on may differ, so nothing after its end is compared.

    A request that is refused while its body is still to come ends it, and another does not.
    """
    for (kept, *seen), (also_kept, *also_seen) in zip(first, second, strict=False):
        if not (kept or also_kept) and _both_refused(seen, also_seen):
            return
        require("depends on how it is cut", seen == also_seen, f"{seen}\n{also_seen}")
        if not (kept and also_kept):
            return
    require("depends on how it is cut", len(first) == len(second), f"{first}\n{second}")


def _both_refused(seen: list[Any], also_seen: list[Any]) -> bool:
    """A fault in a body that is here counts before the rules, one that is to come is not met."""
    (_, why, got), (_, also_why, also_got) = seen, also_seen
    return not (got or also_got) and "IH" in (why, also_why) and bool(why and also_why)


def outcome(world: World, one: Script) -> list[Any]:
    """What the client was told, and each whole request that somebody got."""
    play(world, one)
    judge(world)
    requests: dict[Exchange, list[tuple[bytes, ...]]] = defaultdict(list)
    for wire in world.wires:
        written = bytes(wire.written)
        starts = [at for _, _, at in wire.sends]
        for (exchange, _, at), end in zip(wire.sends, [*starts[1:], len(written)], strict=False):
            requests[exchange] += [_seen(sent) for sent in strict.read_requests(written[at:end])]
    seen = [
        (each.keep_alive, *_verdict(each), [got for got in requests[each] if got])
        for each in world.begun
    ]
    world.forget()
    return seen


_LATE = frozenset(("UF", "UT", "SI"))


def _verdict(exchange: Exchange) -> tuple[int, str]:
    """Status and reason, where there is but one.

    Of two faults in a head either may be seen first, and so may any clock of a silent upstream.
    """
    if exchange.flags == "IH":
        return 0, "IH"
    if exchange.status in (503, 504) and exchange.flags in _LATE:
        return 0, "late"
    return exchange.status, exchange.flags.replace("UT", "SI")


def _seen(sent: strict.Message) -> tuple[bytes, ...]:
    """A whole request, without what is drawn anew for each."""
    if not sent.complete:
        return ()
    lines = [line for line in sent.fields.split(b"\r\n") if not line.startswith(_RANDOM)]
    return (*sent.first, *lines, sent.body)
