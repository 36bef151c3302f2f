"""One endpoint's circuit: may it be tried now, and what did the outcome change.

Closed lets traffic through, open does not, half-open lets a few probes through. Every
answer is a function of an event, the numbers of the moment and `now`; who counts, who asks
and what a failure is stand elsewhere. `Rules` is what the operator wrote, `Circuit` what
traffic left behind: a reload replaces the first and keeps the second. An operator may say what
the state is; then it stays so until it is freed, whatever traffic would make of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from meshproxy.logic.tally import Tally

JITTER = 0.5
"""Share of an open time that may be added to it by chance (Linkerd's failure accrual)."""

NEVER = float("inf")
FIRST_CLAIM = 1.0
"""Seconds that a probe is waited for where no open time says it."""


class State(Enum):
    """The words of the trade; the values are those of the metric."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Rules:
    """When to open, for how long, and what closes again. Durations are seconds."""

    consecutive_failures: int = 7
    failure_rate: float = 0.5
    window: float = 10.0
    min_requests: int = 20
    open_for: float = 1.0
    max_open_for: float = 60.0
    half_open_requests: int = 1
    close_after: int = 2
    max_ejected: float = 0.5


class Watched(Tally):
    """What each attempt asks of a circuit and tells it, side by side in memory.

    `until` is the earliest moment for one more attempt. So "may it be tried" is one comparison
    in every state: closed it is 0.0, open it is the end of the open time, half-open it is past
    while a probe is free, else the moment at which the oldest probe's claim expires.
    """

    __slots__ = ("state", "streak", "until")

    def __init__(self) -> None:
        super().__init__()
        self.state = State.CLOSED
        self.until = 0.0
        self.streak = 0  # failures in a row


class Circuit(Watched):
    """What is known of one endpoint: its outcomes of late, and what follows from them."""

    __slots__ = ("broken", "claims", "doublings", "held", "since", "spell", "wins")

    def __init__(self, now: float) -> None:
        super().__init__()
        self.since = now
        self.broken = False  # the last failure of a streak had begun as a success
        self.wins = 0  # successful probes of this half-open time
        self.claims: list[float] = []  # when each probe that is out began
        self.doublings = 0
        self.spell = 0.0  # seconds of the latest open time
        self.held = False  # an operator says what `state` is


def claim(circuit: Circuit, rules: Rules, now: float) -> bool:
    """An attempt departs: claim a probe if one is needed. True: the circuit turned half-open.

    A claim expires after one open time, so a probe whose outcome never comes holds nothing
    up; whether a late outcome still counts is decided by when its attempt began.
    """
    if circuit.state is State.CLOSED or now < circuit.until:
        return False
    turned = circuit.state is State.OPEN
    if turned:
        _turn(circuit, State.HALF_OPEN, now)
    live = [began for began in circuit.claims if now < began + circuit.spell]
    circuit.claims = [*live, now]
    _watch_claims(circuit, rules)
    return turned


def release(circuit: Circuit, rules: Rules, began: float) -> None:
    """An attempt that began at `began` ended and taught nothing: its claim is free again."""
    if circuit.state is State.HALF_OPEN:
        _hand_back(circuit, rules, began)


def win(circuit: Circuit, rules: Rules, began: float, now: float) -> bool:
    """An attempt succeeded. True: this closed the circuit.

    What began before the latest transition speaks of another time and is ignored.
    """
    if began < circuit.since:
        return False
    if circuit.state is State.CLOSED:
        # Of answers that break off after their heads, each is a success first: two in a row
        # without a break are needed to end such a streak.
        circuit.streak = circuit.streak if circuit.broken else 0
        circuit.broken = False
        return False
    if circuit.state is State.OPEN:
        return False
    _hand_back(circuit, rules, began)
    circuit.wins += 1
    if circuit.wins < rules.close_after:
        return False
    _turn(circuit, State.CLOSED, now)
    return True


def lose(
    circuit: Circuit, rules: Rules, began: float, counts: tuple[int, int], broken: bool = False
) -> str:
    """An attempt failed; `counts` are (good, bad) of the window, this one included.

    `broken` says that it was taken for a success before, by its head. The answer says why the
    circuit must open now, and is empty where it need not.
    """
    if began < circuit.since or circuit.state is State.OPEN:
        return ""
    if circuit.state is State.HALF_OPEN:
        return "a probe failed"
    circuit.streak += 1
    circuit.broken = broken
    if circuit.held:
        return ""
    good, bad = counts
    if circuit.streak >= rules.consecutive_failures:
        return f"{circuit.streak} failures in a row"
    if good + bad >= rules.min_requests and bad >= rules.failure_rate * (good + bad):
        return f"{bad} of {good + bad} requests failed within {rules.window:g}s"
    return ""


def may_open(circuit: Circuit, rules: Rules, total: int, out: int) -> bool:
    """Whether an endpoint may be left out, when `out` of the `total` others and it already are.

    At least one of several can always be left out, and the last one never, unless the rules
    say 100 %. An only one has nobody to be left out for: its circuit refuses at once instead.
    """
    if circuit.state is not State.CLOSED or total < 2 or rules.max_ejected >= 1.0:
        return True
    return out < max(1, int(total * rules.max_ejected + 1e-9))


def panics(total: int, usable: int, share: float) -> bool:
    """Whether so few are left that all are to be used."""
    return usable < share * total


def follow(circuit: Circuit, state: State, at: float, rest: tuple[float, float, int]) -> None:
    """It turned elsewhere, at that moment; `rest` is `until`, `spell` and `doublings` there.

    A turn to half-open is a claim as well: the probe that made it is out.
    """
    _turn(circuit, state, at)
    circuit.until, circuit.spell, circuit.doublings = rest
    if state is State.HALF_OPEN:
        circuit.claims = [at]
        circuit.until = at + circuit.spell


def won_elsewhere(circuit: Circuit) -> None:
    """A probe of another worker went well, and did not close the circuit yet."""
    if circuit.state is State.HALF_OPEN:
        circuit.wins += 1
        circuit.claims = []
        circuit.until = 0.0


def vouched(circuit: Circuit, passed_at: float) -> bool:
    """Whether an open one may be probed before its time: a check that began after it opened,
    at `passed_at`, went well. A probe that fails opens it anew, and so needs a newer check.
    """
    return circuit.state is State.OPEN and passed_at > circuit.since and not circuit.held


def trip(
    circuit: Circuit,
    rules: Rules,
    now: float,
    draw: float,
    last: bool = False,
    proven: bool = True,
) -> None:
    """Open. `draw` is from [0, 1); `last` says that no other endpoint is closed.

    The open time doubles each time, and starts over only after a real close: one that lasted a
    whole window and in which something succeeded (`proven`); time alone is no evidence. The
    last endpoint is probed every `open_for` instead.
    """
    lasted = circuit.state is State.CLOSED and now - circuit.since >= rules.window
    if lasted and proven:
        circuit.doublings = 0
    circuit.spell = open_time(rules, 0 if last else circuit.doublings, draw)
    if not last:
        circuit.doublings += 1
    _turn(circuit, State.OPEN, now)


def force(circuit: Circuit, state: State, now: float) -> None:
    """An operator says that it is open or closed. A closed one goes on counting its failures."""
    if circuit.state is not state:
        _turn(circuit, state, now)
    circuit.held = True
    circuit.until = NEVER if state is State.OPEN else 0.0


def free(circuit: Circuit, now: float) -> None:
    """The rules decide again: on one that was held open with a probe, and that at once."""
    circuit.held = False
    if circuit.state is State.OPEN:
        circuit.until = now
        circuit.spell = circuit.spell or FIRST_CLAIM


def open_time(rules: Rules, doublings: int, draw: float) -> float:
    """Seconds: `open_for` doubled so often, plus up to half of it, never above the cap.

    At the cap the jitter goes below it, so that many sidecars still don't probe in step.
    """
    plain = rules.open_for * 2.0 ** min(doublings, 64)
    most = min(plain * (1.0 + JITTER), rules.max_open_for)
    least = min(plain, max(rules.open_for, rules.max_open_for / (1.0 + JITTER)))
    return least + (most - least) * draw


def _turn(circuit: Circuit, state: State, now: float) -> None:
    circuit.state = state
    circuit.since = now
    circuit.streak = circuit.wins = 0
    circuit.broken = False
    circuit.claims = []
    circuit.until = now + circuit.spell if state is State.OPEN else 0.0


def _hand_back(circuit: Circuit, rules: Rules, began: float) -> None:
    for claimed in reversed(circuit.claims):
        if claimed <= began:
            circuit.claims.remove(claimed)
            break
    _watch_claims(circuit, rules)


def _watch_claims(circuit: Circuit, rules: Rules) -> None:
    """Close the door while every probe is out, until the oldest claim expires."""
    out = len(circuit.claims) >= rules.half_open_requests
    circuit.until = circuit.claims[0] + circuit.spell if out else 0.0
