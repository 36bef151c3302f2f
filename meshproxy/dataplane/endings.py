"""Answers that do not come from the upstream that was asked: refused, served, cut off, rescued.

Notes on the exchange what the log will say and tells the client; who concludes it is the
conductor.
"""

from __future__ import annotations

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Route
from meshproxy.core.verdict import Failure, Refusal, Reset, Served
from meshproxy.dataplane import answers, refusals


def refuse(exchange: Exchange, refusal: Refusal, now: float) -> None:
    """The proxy's own answer."""
    exchange.refusal = refusal
    exchange.status = refusal.status
    exchange.flag(refusal.reason)
    if refusal.close or not exchange.complete:
        exchange.keep_alive = False
    _respond(exchange, now)
    data = answers.refusal_bytes(exchange, refusal)
    exchange.bytes_out += len(data)
    exchange.client.reply(data)


def serve(exchange: Exchange, served: Served, now: float) -> None:
    """A whole answer that no upstream gave now."""
    exchange.status = served.status
    if served.flag:
        exchange.flag(served.flag)
    if not exchange.complete:
        exchange.keep_alive = False
    _respond(exchange, now)
    exchange.bytes_out += len(served.body)
    exchange.client.reply(answers.served_bytes(exchange, served))


def reset(exchange: Exchange, verdict: Reset) -> None:
    """No answer: the connection ends as if it had been lost."""
    exchange.flag(verdict.reason)
    exchange.keep_alive = False
    exchange.client.reset()


def break_off(exchange: Exchange, now: float) -> None:
    """A bug: 500, or an answer that is seen to be incomplete if some of it has left."""
    if exchange.answered:
        exchange.flag(Failure.BUG.reason)
        exchange.client.cut(exchange)
    else:
        refuse(exchange, refusals.BUG, now)


def reply_bare(exchange: Exchange) -> None:
    """500 without what policies add to an answer: it is one of them that has the bug."""
    exchange.answer_lines.clear()
    exchange.client.reply(answers.refusal_bytes(exchange, refusals.BUG))


def rescue(exchange: Exchange, refusal: Refusal | None, now: float) -> Served | Route | None:
    """What a policy gives instead, once. Nobody is rescued who only asks for the cache."""
    extras = exchange.more()
    if extras.rescued or extras.leader is not None:
        return None
    for policy in exchange.route.phases.rescue:
        found = policy(exchange, refusal, now)
        if found is not None:
            extras.rescued = True
            return found
    return None


def reroute(exchange: Exchange, route: Route) -> None:
    """Another route from here on: it has a time of its own, and counts what comes of it."""
    story = exchange.more().story
    if story is not None:
        to = route.cluster.name if route.cluster is not None else route.name
        story.append(f"{word(exchange)}>{to}")
    exchange.route.series.under_way[exchange.route.row] -= 1
    route.series.under_way[route.row] += 1
    exchange.route = route
    exchange.base = b""
    exchange.attempts = 0
    exchange.tried = ()
    exchange.try_due = 0.0


def word(exchange: Exchange) -> str:
    """What the attempt that just ended came to: a failure's condition, a status, or the reason
    why there was none."""
    if exchange.failure is not None:
        return exchange.failure.condition
    return str(exchange.status) if exchange.status else exchange.flags.rpartition(",")[2]


def whose_time(exchange: Exchange) -> Failure:
    """What has run out at the end of a call: the caller's patience, or the route's."""
    extras = exchange.extras
    callers = extras is not None and 0.0 < extras.latest <= exchange.deadline
    return Failure.DEADLINE if callers else Failure.TIMEOUT


def _respond(exchange: Exchange, now: float) -> None:
    for respond in exchange.route.phases.respond:
        respond(exchange, now)
    exchange.first_byte = now
