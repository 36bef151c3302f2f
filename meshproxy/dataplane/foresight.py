"""The walk of an exchange, asked instead of taken: what would happen, and why.

Reads the same bytes by the same reader, asks the same table and the same policies in the same
order as the conductor, but only their halves that change nothing. The exchange is nobody's: no
client, no attempt, no release. What people are told of it is not spelled here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from meshproxy.core.exchange import CHUNKED, Exchange, Peer
from meshproxy.core.explanation import Choice, Step
from meshproxy.core.foretold import (
    Chooses,
    Departs,
    Explains,
    Explanation,
    Outcome,
    Prospect,
    Question,
    Regards,
    Rewrites,
    StandsIn,
)
from meshproxy.core.route import Allowed, Endpoint, Part, Plan, Route
from meshproxy.core.verdict import Hold, Refusal, Reset, Served
from meshproxy.dataplane import choice, endings, heads, refusals, requests
from meshproxy.dataplane.bounds import clocks, worst
from meshproxy.dataplane.listener import own_block
from meshproxy.dataplane.rewrites import rewrites


def foresee(plan: Plan, question: Question, now: float) -> Explanation:
    """What `plan` would do with this request at this moment."""
    return _Walk(plan, question, now).explanation()


def head_of(question: Question) -> bytes:
    """The head as a client would send it. No part holds a line end: whoever asks sees to that."""
    lines = [f"{question.method} {question.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in question.fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class _Walk:
    """One question: collects what everybody says on the way."""

    def __init__(self, plan: Plan, question: Question, now: float) -> None:
        peer = Peer(question.client, plan.trusts(question.client), own_block(question.client))
        self._question = question
        self._plan = plan
        self._now = now
        self._exchange = Exchange(None, peer, plan, now)
        self._steps: list[Step] = []
        self._chance = 1.0
        self._waits = 0.0
        self._queues = False
        self._prospects: tuple[Prospect, ...] = ()
        self._choice: Choice | None = None
        self._matched: Route | None = None
        self._rewrites: Rewrites | None = None

    def explanation(self) -> Explanation:
        exchange = self._exchange
        refusal = self._read()
        if refusal is not None:
            outcome = self._refused(refusal)
        else:
            exchange.route = self._matched = self._plan.table.match(exchange)
            outcome = self._walk()
        if self._queues and outcome.action != "forward":
            # As things stand now; they will have changed by the time that it is its turn.
            outcome = replace(outcome, action="hold")
        route = exchange.route
        matched = self._matched or route
        return Explanation(
            question=self._question,
            plan=self._plan,
            exchange=exchange,
            route=matched,
            elsewhere=route if route is not matched else None,
            steps=tuple(self._steps),
            outcome=outcome,
            prospects=self._prospects,
            choice=self._choice,
            rewrites=self._rewrites,
            clocks=tuple(clocks(route, self._steps)),
            worst=worst(outcome, exchange, self._steps),
        )

    def _read(self) -> Refusal | None:
        """As `downstream` does with a head that came whole, and the body with it."""
        exchange, head = self._exchange, head_of(self._question)
        refusal = requests.read_request(exchange, head, self._plan)
        exchange.complete = True
        if refusal is not None:
            whole = head[:1].isalpha() and heads.may_go_on(head)
            return refusal if whole else refusals.BAD_SYNTAX
        if not heads.request_check().passes(head):
            return refusals.BAD_SYNTAX
        exchange.held = max(0, exchange.length)
        exchange.bytes_in = exchange.held
        return None

    # ---- begin

    def _walk(self) -> Outcome:
        exchange = self._exchange
        route = exchange.route
        exchange.deadline = self._now + route.timeout if route.timeout else 0.0
        if exchange.extras is not None and exchange.extras.latest:
            exchange.limit_deadline(exchange.extras.latest)
        exchange.replayable = exchange.length != CHUNKED and exchange.held <= route.replay_bytes
        for part in route.parts:
            if not isinstance(part.policy, Explains):
                continue
            outcome = None
            for step in part.policy.explain(exchange, self._now):
                self._note(part, step)
                outcome = outcome or self._acted(step)
            if outcome is not None:
                return outcome
        return self._attempt()

    def _note(self, part: Part, step: Step) -> None:
        rule = step.rule or part.rule or self._exchange.route.origin(part.key)
        self._steps.append(
            Step(step.says, step.verdict, step.chance, rule, part.key, step.data, step.elsewhere)
        )

    def _acted(self, step: Step) -> Outcome | None:
        """What a verdict comes to; None where the walk goes on."""
        verdict = step.verdict
        if verdict is None:
            return None
        if step.chance < 1.0:
            self._chance *= 1.0 - step.chance
            return None
        if isinstance(verdict, Refusal):
            return self._refused(verdict)
        if isinstance(verdict, Served):
            return self._served(verdict)
        if isinstance(verdict, Reset):
            return Outcome("reset", reason=verdict.reason, chance=self._chance)
        return self._held(verdict)

    def _held(self, hold: Hold) -> Outcome | None:
        """Whoever is asked again may be woken before; the others wait their time out."""
        if hold.again:
            self._queues = True
            return None
        exchange = self._exchange
        self._waits += hold.seconds
        self._now += hold.seconds
        if exchange.deadline and self._now >= exchange.deadline:
            failure, rule = endings.whose_time(exchange), exchange.route.rule
            return self._despair(Refusal(failure.status, failure.reason, failure.detail, rule))
        return None if hold.expired is None else self._refused(hold.expired)

    # ---- attempt

    def _attempt(self) -> Outcome:
        exchange, now = self._exchange, self._now
        route = exchange.route
        name = route.cluster.name if route.cluster is not None else ""
        known: dict[Endpoint, Prospect] = {}

        def allowed(endpoint: Endpoint, now: float) -> bool:
            if endpoint not in known:
                known[endpoint] = _prospect(route, name, endpoint, now)
            return known[endpoint].may

        for endpoint in _endpoints(route):
            allowed(endpoint, now)
        chosen = next(_choices(route, exchange, allowed, now), None)
        self._prospects += tuple(known.values())
        if chosen is None:
            return self._despair(choice.barred(exchange, route, now))
        self._choice = chosen
        return self._forwarded()

    def _forwarded(self) -> Outcome:
        exchange = self._exchange
        if exchange.method != b"CONNECT":
            for part in exchange.route.parts:
                if isinstance(part.policy, Departs):
                    exchange.added += part.policy.departs(exchange, self._now)
            self._rewrites = rewrites(self._question, exchange, requests.request_head(exchange))
        waits = self._queues or self._waits > 0.0
        return Outcome("hold" if waits else "forward", chance=self._chance, waits=self._waits)

    # ---- the end

    def _despair(self, refusal: Refusal) -> Outcome:
        """No endpoint, or no time: an answer from elsewhere, once, or the refusal."""
        exchange = self._exchange
        for part in () if exchange.more().rescued else exchange.route.parts:
            step = (
                part.policy.stands_in(exchange, refusal, self._now)
                if isinstance(part.policy, StandsIn)
                else None
            )
            if step is not None:
                exchange.more().rescued = True
                self._note(part, step)
                if step.elsewhere is None:
                    return self._acted(step) or self._refused(refusal)
                exchange.route, exchange.base = step.elsewhere, b""
                exchange.added.clear()
                return self._walk()
        return self._refused(refusal)

    def _refused(self, refusal: Refusal) -> Outcome:
        return Outcome(
            "refuse" if refusal.status >= 400 else "serve",
            refusal.status,
            refusal.reason,
            refusal.detail,
            refusal.rule,
            self._chance,
            self._waits,
            refusal.retry_after,
        )

    def _served(self, served: Served) -> Outcome:
        by = self._steps[-1]
        return Outcome(
            "serve", served.status, served.flag, f"{by.policy}: {by.says}", by.rule, self._chance,
            self._waits,
        )  # fmt: skip


def _endpoints(route: Route) -> tuple[Endpoint, ...]:
    """Those of a service; those of hosts that clients choose are asked about one by one."""
    if route.cluster is None or not isinstance(route.cluster.endpoints, tuple):
        return ()
    return route.cluster.endpoints


def _prospect(route: Route, upstream: str, endpoint: Endpoint, now: float) -> Prospect:
    regards = [
        part.policy.regard(endpoint, now)
        for part in route.parts
        if isinstance(part.policy, Regards)
    ]
    data = {name: value for regard in regards for name, value in regard.data.items()}
    why = tuple(regard.says for regard in regards if regard.says)
    return Prospect(upstream, endpoint, all(regard.may for regard in regards), why, data)


def _choices(route: Route, exchange: Exchange, allowed: Allowed, now: float) -> Iterator[Choice]:
    """Whoever stands around the balancer is asked before it, the outermost first."""
    around = [part for part in reversed(route.parts) if hasattr(part.policy, "around")]
    inside = [part for part in route.parts if not hasattr(part.policy, "around")]
    for part in (*around, *inside):
        if isinstance(part.policy, Chooses):
            found = part.policy.choose(exchange, allowed, now)
            if found is not None:
                yield found
