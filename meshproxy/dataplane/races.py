"""Attempts beside an exchange: a second one that may answer sooner, and one for the cache alone.

Such an attempt is an exchange of its own with a client that hears nothing. A rival that answers
first becomes its leader's attempt, connection and all; until then each fails for itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshproxy.core.exchange import Exchange
from meshproxy.core.verdict import Failure
from meshproxy.dataplane import choice

if TYPE_CHECKING:
    from meshproxy.dataplane.conductor import Conductor
    from meshproxy.dataplane.tunnel import Tunnel

# RFC 9110 section 13.1 and 14.2: what makes an answer about less than the whole.
CONDITIONS = (b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since",
              b"if-range", b"range")  # fmt: skip


class Nobody:
    """The client of an attempt that nobody listens to."""

    def reply(self, data: bytes) -> None:
        """Unheard, like all of it."""

    def relay(self, pieces: list[bytes], size: int) -> None: ...
    def resume(self) -> None: ...
    def hold(self) -> None: ...
    def cut(self, exchange: Exchange) -> None: ...
    def reset(self) -> None: ...
    def ended(self, exchange: Exchange, now: float) -> None: ...

    def is_held(self) -> bool:
        return False

    def listens(self) -> bool:
        return True

    def hand_over(self, tunnel: Tunnel, head: bytes) -> bytes:  # noqa: ARG002  # never asked for one
        return b""


class Races:
    """The conductor's second pair of hands; keeps nothing of its own."""

    __slots__ = ("_conductor",)

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def begin(self, exchange: Exchange, now: float) -> None:
        """The first attempt is out: note when another may go out beside it."""
        extras = exchange.more()
        if extras.leader is not None or not exchange.complete or exchange.route.lone is not None:
            return
        for hedge in exchange.route.phases.hedge:
            delay = hedge(exchange, now)
            if delay > 0.0:
                extras.hedge_due = now + delay
                self._conductor.deadlines.look_at(exchange, exchange.due)

    def due(self, exchange: Exchange, now: float) -> None:
        """That time has come: send it, if there is somewhere to and the policy lets it go."""
        extras = exchange.more()
        extras.hedge_due = 0.0
        running = exchange.upstream is not None or exchange.waiting
        if exchange.answered or not running or not exchange.replayable:
            return
        rival = _beside(exchange, now)
        rival.attempts = exchange.attempts
        rival.tried = (*exchange.tried, exchange.endpoint) if exchange.endpoint else exchange.tried
        endpoint = choice.pick(rival, now)
        if endpoint is None or endpoint in rival.tried:
            return
        if all(ask(exchange, now) for ask in exchange.route.phases.rival):
            extras.rival = rival
            exchange.defer(lambda now: self._drop_rival(exchange, now))
            self._conductor.attempt(rival, now, endpoint)

    def won(self, exchange: Exchange, now: float) -> Exchange:
        """This one is answered; returns whom the answer is for."""
        leader = exchange.more().leader
        if leader is None:
            self._drop_rival(exchange, now)
            return exchange
        if leader.more().rival is not exchange:
            return exchange  # for the cache
        status = exchange.status
        self._conductor.abandon(leader, Failure.OUTRUN, now)
        self._take_over(leader, exchange, now)
        leader.status = status
        return leader

    def lost(self, exchange: Exchange, now: float) -> bool:
        """This attempt failed; whether another that is under way makes up for it."""
        extras = exchange.more()
        leader, rival = extras.leader, extras.rival
        if leader is not None and leader.more().rival is exchange:
            _discard(exchange, now)
            leader.more().rival = None
            self._conductor.conclude(exchange, now)
            return True
        if rival is None:
            return False
        _discard(exchange, now)
        self._take_over(exchange, rival, now)
        return True

    def refresh(self, exchange: Exchange, lines: bytes, now: float) -> None:
        """Make the same request again for the cache, under these conditions."""
        again = _beside(exchange, now)
        fields = b"\r\n".join(exchange.lines).split(b"\r\n")
        again.lines = [one for one in fields if one.partition(b":")[0].lower() not in CONDITIONS]
        again.lines += lines.split(b"\r\n")[:-1]
        again.base = b""
        self._conductor.launch(again, now)

    def gone(self, exchange: Exchange) -> None:
        """It is ended by a bug: if it was beside another, that one goes on alone."""
        leader = exchange.extras.leader if exchange.extras is not None else None
        if leader is not None and leader.more().rival is exchange:
            leader.more().rival = None

    def _drop_rival(self, leader: Exchange, now: float) -> None:
        extras = leader.more()
        rival, extras.rival = extras.rival, None
        if rival is not None and not rival.concluded:
            self._conductor.abandon(rival, Failure.OUTRUN, now)
            self._conductor.conclude(rival, now)

    def _take_over(self, leader: Exchange, rival: Exchange, now: float) -> None:
        """The rival's attempt is the leader's own from now on."""
        conductor = self._conductor
        leader.more().rival = None
        if leader.endpoint is not None:
            leader.tried = (*leader.tried, leader.endpoint)
        conductor.leave(leader)
        leader.endpoint, rival.endpoint = rival.endpoint, None
        leader.upstream, rival.upstream = rival.upstream, None
        leader.attempts, leader.sent_at = rival.attempts, rival.sent_at
        leader.try_due, leader.retry_after = rival.try_due, rival.retry_after
        leader.sent_upstream, leader.trace = rival.sent_upstream, rival.trace
        leader.failure = None
        if leader.upstream is not None:
            leader.upstream.rebind(leader)
        elif rival.waiting and leader.endpoint is not None:
            conductor.pool.forget(rival)
            leader.waiting = True
            leader.endpoint.line_up(leader)
        conductor.conclude(rival, now)


def _discard(exchange: Exchange, now: float) -> None:
    """Its answer, if it is one that failed, is of no use."""
    if exchange.upstream is not None:
        exchange.upstream.discard(now)
        exchange.upstream = None


def _beside(leader: Exchange, now: float) -> Exchange:
    """The same request for nobody."""
    made = Exchange(Nobody(), leader.peer, leader.plan, now)
    made.method, made.target, made.path = leader.method, leader.target, leader.path
    made.host, made.minor, made.length = leader.host, leader.minor, leader.length
    made.lines, made.taken = list(leader.lines), leader.taken
    made.body, made.held = list(leader.body), leader.held
    made.complete = True
    made.bytes_in = leader.bytes_in
    made.route, made.base = leader.route, leader.base
    made.request_id, made.trace = leader.request_id, leader.trace
    made.more().leader = leader
    made.idle_due = made.due = float("inf")
    return made
