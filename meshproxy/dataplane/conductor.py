"""The walk of an exchange: begin, attempt, answered, failed, conclude. No asyncio here.

Every exchange, whether refused, failed or answered, ends in `conclude` exactly once. Clients
and upstreams are shells that carry bytes; what happens next is decided here, with the clock
and the timer passed in. Nothing is raised on purpose; where a policy has a bug, its exchange
ends with 500, or its answer stays incomplete, and no other is disturbed.
"""
# ruff: noqa: BLE001  # whatever a policy raises, `bug` ends this exchange and the rest go on

from __future__ import annotations

from collections.abc import Callable

from meshproxy.core.exchange import Exchange, Extras
from meshproxy.core.route import Endpoint, Route
from meshproxy.core.verdict import Failure, Hold, Refusal, Served
from meshproxy.dataplane import answers, choice, endings, keeping
from meshproxy.dataplane.answers import Answer
from meshproxy.dataplane.deadlines import FOREVER, GLANCE, Deadlines
from meshproxy.dataplane.intake import Intake
from meshproxy.dataplane.races import Races
from meshproxy.dataplane.sides import Pool, Timer, Upstream
from meshproxy.dataplane.throttle import Throttled

# RFC 9110 section 9.2.2: a proxy must not repeat any other method by itself.
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})

Record = Callable[[Exchange, float], None]


def _by_nobody(_exchange: Exchange, _now: float) -> None:
    """Until somebody says who."""


def loud(error: Exception) -> None:
    """Where nobody else is told of bugs, such as in tests: let it be seen."""
    raise error


class Conductor:
    """Leads each exchange from its head to its log line; `tell_bug` hears what was raised."""

    __slots__ = (
        "_clock", "_forget", "_later", "_record", "deadlines", "intake", "pool", "races",
        "tell_bug",
    )  # fmt: skip

    def __init__(
        self,
        clock: Callable[[], float],
        later: Callable[..., Timer],
        pool: Pool,
        tell_bug: Callable[[Exception], None] = loud,
    ) -> None:
        self.tell_bug = tell_bug
        self._clock = clock
        self._later = later
        self.deadlines = Deadlines(clock, later, self._due)
        self._forget = self.deadlines.forget
        self.pool = pool
        self.intake = Intake()
        self.races = Races(self)
        self._record: Record = _by_nobody

    def record_by(self, record: Record) -> None:
        """From now on `record` is told of each exchange at its end: the access log, say."""
        self._record = record

    # ---- down: from the client to an upstream

    def launch(self, exchange: Exchange, now: float) -> None:
        """Begin an exchange that nobody admits and nobody waits for."""
        self._begin_call(exchange, now)
        self.deadlines.arm(exchange, now)
        self.attempt(exchange, now)

    def begin(self, exchange: Exchange, now: float) -> None:
        """A request head has arrived; its body may still be on the way."""
        plan = exchange.plan
        refusal = exchange.refusal
        if refusal is not None:
            self._begin_refused(exchange, refusal, now)
            return
        try:
            exchange.route = route = plan.table.match(exchange)
        except Exception as error:
            plan.unmatched.series.under_way[plan.unmatched.row] += 1
            self.bug(exchange, error, now)
            return
        route.series.under_way[route.row] += 1
        due = now + (route.idle_timeout or FOREVER) * GLANCE
        if route.timeout and exchange.complete:
            exchange.deadline = now + route.timeout
            if exchange.deadline < due:
                due = exchange.deadline
        if route.per_try_timeout and now + route.per_try_timeout < due:
            due = now + route.per_try_timeout
        exchange.due = due
        self.deadlines.watch(exchange)
        self._admit(exchange, 0, now)

    def _begin_refused(self, exchange: Exchange, refusal: Refusal, now: float) -> None:
        """Named and traced; that it is refused is known already."""
        unmatched = exchange.plan.unmatched
        unmatched.series.under_way[unmatched.row] += 1
        try:
            for admit in unmatched.phases.admit:
                admit(exchange, now)
        except Exception as error:
            self.tell_bug(error)
        self._refuse(exchange, refusal, now)

    def _admit(self, exchange: Exchange, index: int, now: float) -> None:
        """Ask everyone from `index` on; whoever holds it is asked a second time if it wants."""
        try:
            for admit in exchange.route.phases.admit[index:]:
                index += 1
                verdict = admit(exchange, now)
                if verdict is not None:
                    if isinstance(verdict, Refusal):
                        self._refuse(exchange, verdict, now)
                    elif isinstance(verdict, Hold):
                        if exchange.extras is not None:
                            self.deadlines.look_at(exchange, exchange.due)
                        self._park(exchange, verdict, index - verdict.again)
                    elif isinstance(verdict, Served):
                        self._serve(exchange, verdict, now)
                    else:
                        endings.reset(exchange, verdict)
                        self.conclude(exchange, now)
                    return
        except Exception as error:
            self.bug(exchange, error, now)
            return
        self.attempt(exchange, now)

    def _park(self, exchange: Exchange, hold: Hold, resume_at: int) -> None:
        """Wait for `wake` or for time; whichever comes first settles it."""
        timer: Timer

        def go_on(now: float) -> None:
            timer.cancel()
            exchange.wake = None
            if not exchange.concluded:
                self._admit(exchange, resume_at, now)

        def expire() -> None:
            exchange.wake = None
            if exchange.concluded:
                return
            if hold.expired is not None:
                self._refuse(exchange, hold.expired, self._clock())
            else:
                self._admit(exchange, resume_at, self._clock())

        exchange.wake = go_on
        timer = self._later(hold.seconds, expire)

    def attempt(self, exchange: Exchange, now: float, endpoint: Endpoint | None = None) -> None:
        """Send it to the endpoint, if one was picked already, else to one that is picked now."""
        try:
            if exchange.extras is not None and exchange.deadline:
                # Set by a policy, it may have passed in a queue or come before all that is watched.
                if now >= exchange.deadline:
                    self._out_of_time(exchange, endings.whose_time(exchange), now)
                    return
                self.deadlines.look_at(exchange, exchange.due)
            route = exchange.route
            phases = route.phases
            if endpoint is None:
                # `choice.pick` without its call.
                endpoint, allowed = route.lone, phases.allowed
                if endpoint is None:
                    endpoint = route.pick(exchange, allowed, now)
                elif not allowed(endpoint, now):
                    endpoint = None
                if endpoint is None:
                    self._despair(exchange, choice.barred(exchange, route, now), now)
                    return
            exchange.attempts += 1
            exchange.endpoint = endpoint
            endpoint.load += 1
            exchange.sent_at = now
            if exchange.attempts > 1 or exchange.fresh:
                _forget_attempt(exchange)
            for depart in phases.depart:
                depart(exchange, now)
            if route.per_try_timeout:
                exchange.try_due = due = now + route.per_try_timeout
                if due < exchange.due:
                    exchange.due = due
                    self.deadlines.watch(exchange)
            upstream = self.pool.take(exchange, endpoint, now)
            if upstream is not None:
                exchange.upstream = upstream
                upstream.send(exchange)
            if phases.hedge and exchange.attempts == 1:
                self.races.begin(exchange, now)
        except Exception as error:
            self.bug(exchange, error, now)

    def connected(self, exchange: Exchange, upstream: Upstream) -> None:
        """The connection that the pool had promised is here."""
        exchange.upstream = upstream
        try:
            if exchange.method == b"CONNECT":
                upstream.connect(exchange)
                return
            upstream.send(exchange)
        except Exception as error:
            self.bug(exchange, error, self._clock())
            return
        if exchange.held:
            exchange.client.resume()
            if exchange.held > exchange.route.replay_bytes:
                exchange.replayable = False
                exchange.body.clear()

    def body(self, exchange: Exchange, pieces: list[bytes], now: float) -> None:
        """More of the request's body has arrived, or its end (`exchange.complete`)."""
        if exchange.upstream is not None:
            if exchange.replayable:
                self._hold_body(exchange, pieces)
            exchange.upstream.stream(exchange, pieces)
        else:
            exchange.body += pieces
            exchange.held += sum(map(len, pieces))
            if exchange.held > exchange.route.replay_bytes and not exchange.complete:
                exchange.client.hold()
        if exchange.complete:
            # The call's time runs from the moment the whole request is here.
            self._begin_call(exchange, now)
            self.deadlines.arm(exchange, now)

    def _begin_call(self, exchange: Exchange, now: float) -> None:
        """How long the route waits from now on, and no longer than the caller does."""
        exchange.deadline = now + exchange.route.timeout if exchange.route.timeout else 0.0
        if exchange.extras is not None and exchange.extras.latest:
            exchange.limit_deadline(exchange.extras.latest)

    def _hold_body(self, exchange: Exchange, pieces: list[bytes]) -> None:
        exchange.held += sum(map(len, pieces))
        if exchange.held > exchange.route.replay_bytes:
            exchange.replayable = False
            exchange.body.clear()
        else:
            exchange.body += pieces

    # ---- up: from the upstream to the client

    def answered(self, exchange: Exchange, answer: Answer, now: float) -> tuple[bytes, bool] | None:
        """A final head is here: the head to send on with its chunkedness, or None to discard.

        Discarded answers are those that another attempt will replace.
        """
        try:
            route = exchange.route
            phases = route.phases
            exchange.status = answer.status
            for settle in phases.settle:
                settle(exchange, now)
            series = route.cluster.series  # type: ignore[union-attr]  # who answered has a cluster
            if answer.status < 400:
                series.successes += 1
            elif self._replaced(exchange, now):
                return None
            if exchange.extras is not None:
                exchange = self._with_extras(exchange, exchange.extras)
            for keep in phases.keep:
                kept = keep(exchange, answer, now)
                if isinstance(kept, Served):
                    exchange.upstream.discard(now)
                    exchange.upstream = None
                    self._accept(exchange, kept, now)
                    return None
                if kept is not None:
                    keeping.begin(exchange, kept)
            exchange.answered = True
            exchange.first_byte = now
            exchange.try_due = 0.0
            if not exchange.complete:
                # RFC 9112 section 9.3: the rest of the request is not wanted any more.
                exchange.keep_alive = False
            for respond in phases.respond:
                respond(exchange, now)
            return answers.answer_head(exchange, answer, now)
        except Exception as error:
            exchange.answered = False  # nothing of it has left
            self.bug(exchange, error, now)
            return None

    def _replaced(self, exchange: Exchange, now: float) -> bool:
        """Whether another answer will stand in the place of this one."""
        route = exchange.route
        failed = route.classifier.failed(exchange)
        route.cluster.series.attempted(str(exchange.status) if failed else "success")  # type: ignore[union-attr]  # who answered has a cluster
        if failed and exchange.extras is not None and self.races.lost(exchange, now):
            return True
        delay = self._retry_delay(exchange, now)
        if delay is not None:
            exchange.upstream.discard(now)
            self._again(exchange, delay, now)
            return True
        help_ = endings.rescue(exchange, None, now) if failed and route.phases.rescue else None
        if help_ is not None:
            exchange.upstream.discard(now)
            exchange.upstream = None
            self._accept(exchange, help_, now)
        return help_ is not None

    def _with_extras(self, exchange: Exchange, extras: Extras) -> Exchange:
        """The exchange that this answer is for; its client is slowed down if that was asked."""
        if extras.leader is not None or extras.rival is not None:
            exchange = self.races.won(exchange, self._clock())
        if exchange.more().throttle:
            exchange.client = Throttled(exchange, exchange.more().throttle, self._later)
        return exchange

    def switched(self, exchange: Exchange, answer: Answer, now: float) -> bytes:
        """Both sides want a tunnel: the head that tells the client so.

        From here on there is no call whose time could run out, only silence.
        """
        try:
            exchange.status = answer.status
            for settle in exchange.route.phases.settle:
                settle(exchange, now)
            exchange.route.cluster.series.successes += 1  # type: ignore[union-attr]  # as above
            exchange.answered = True
            exchange.first_byte = now
            exchange.deadline = exchange.try_due = 0.0
            self.deadlines.arm(exchange, now)
            for respond in exchange.route.phases.respond:
                respond(exchange, now)
            return answers.switch_head(exchange, answer)
        except Exception as error:
            exchange.answered = False
            self.bug(exchange, error, now)
            return b""

    def failed(self, exchange: Exchange, failure: Failure, now: float, why: str = "") -> None:
        """The attempt ended without a whole answer; its connection is gone or given up.

        `why` adds to what the failure says by itself.
        """
        try:
            exchange.upstream = None
            exchange.failure = failure
            route = exchange.route
            if exchange.answered:
                self._broke(exchange, failure, now)
                return
            if failure is Failure.STALE and not self._may_replay(exchange):
                exchange.failure = failure = Failure.RESET
            for settle in route.phases.settle:
                settle(exchange, now)
            if route.cluster is not None:
                route.cluster.series.attempted(failure.condition)
            if failure is Failure.STALE:
                exchange.fresh = True
                exchange.attempts -= 1
                self.leave(exchange)
                self.attempt(exchange, now)
                return
            if exchange.extras is not None and self.races.lost(exchange, now):
                return
            delay = self._retry_delay(exchange, now)
            if delay is not None:
                self._again(exchange, delay, now)
                return
            detail = f"{failure.detail}: {why}" if why else failure.detail
            if exchange.endpoint is not None:
                detail = f"{detail} ({exchange.endpoint.name})"
            self._despair(
                exchange, Refusal(failure.status, failure.reason, detail, route.rule), now
            )
        except Exception as error:
            self.bug(exchange, error, now)

    def _broke(self, exchange: Exchange, failure: Failure, now: float) -> None:
        """What had begun as an answer stays incomplete, and must be seen to."""
        route = exchange.route
        if route.cluster is not None and exchange.status < 400:
            route.cluster.series.successes -= 1
            route.cluster.series.attempted(failure.condition)
        for broke in route.phases.broke:
            broke(exchange, now)
        exchange.flag(failure.reason)
        exchange.client.cut(exchange)
        self.conclude(exchange, now)

    def _may_replay(self, exchange: Exchange) -> bool:
        """A connection that died before it was of use costs the caller nothing, if it may be so."""
        return exchange.replayable and not exchange.fresh and exchange.method in IDEMPOTENT

    def _retry_delay(self, exchange: Exchange, now: float) -> float | None:
        if not exchange.replayable or not choice.someone_left(exchange.route, now):
            return None
        for retry in exchange.route.phases.retry:
            delay = retry(exchange, now)
            if delay is not None:
                # What cannot finish in time is not sent.
                if exchange.deadline and now + delay >= exchange.deadline:
                    return None
                return delay
        return None

    def _again(self, exchange: Exchange, delay: float, now: float) -> None:
        if exchange.extras is not None and exchange.extras.story is not None:
            exchange.extras.story.append(endings.word(exchange))
        if exchange.endpoint is not None:
            exchange.tried = (*exchange.tried, exchange.endpoint)
        exchange.upstream = None
        self.leave(exchange)
        exchange.try_due = 0.0
        if delay <= 0.0:
            self.attempt(exchange, now)
            return

        route, attempts = exchange.route, exchange.attempts

        def attempt() -> None:
            # A fallback may have taken it elsewhere while it waited.
            waits = exchange.route is route and exchange.attempts == attempts
            if waits and exchange.endpoint is None and not exchange.concluded:
                self.attempt(exchange, self._clock())

        self._later(delay, attempt)

    # ---- the end

    def client_gone(self, exchange: Exchange, now: float) -> None:
        """Nobody waits for this any more: stop the attempt and free what it held."""
        if exchange.concluded:
            return
        exchange.flag("DC")
        self.abandon(exchange, Failure.CLIENT_GONE, now)
        if not exchange.answered:
            exchange.status = Failure.CLIENT_GONE.status
        self.conclude(exchange, now)

    def unreadable(self, exchange: Exchange, refusal: Refusal, now: float) -> None:
        """The rest of a request cannot be read: its attempt must not look complete."""
        if exchange.concluded:
            return
        self.abandon(exchange, Failure.CLIENT_GONE, now)
        if exchange.answered:
            exchange.refusal = refusal
            exchange.flag(refusal.reason)
            exchange.client.cut(exchange)
            self.conclude(exchange, now)
        else:
            self._refuse(exchange, refusal, now)

    def abandon(self, exchange: Exchange, failure: Failure, now: float) -> None:
        """Give up the running attempt, if there is one, and tell the policies."""
        running = exchange.upstream is not None or exchange.waiting
        if exchange.waiting:
            self.pool.forget(exchange)
        if exchange.upstream is not None:
            exchange.upstream.drop()
            exchange.upstream = None
        if running and not exchange.answered:
            exchange.failure = failure
            try:
                for settle in exchange.route.phases.settle:
                    settle(exchange, now)
            except Exception as error:
                self.tell_bug(error)

    def _despair(self, exchange: Exchange, refusal: Refusal, now: float) -> None:
        """The upstream failed for good: an answer from elsewhere, or a refusal."""
        help_ = endings.rescue(exchange, refusal, now) if exchange.route.phases.rescue else None
        if help_ is None:
            self._refuse(exchange, refusal, now)
            return
        exchange.flag(refusal.reason)
        self._accept(exchange, help_, now)

    def _accept(self, exchange: Exchange, found: Served | Route, now: float) -> None:
        if isinstance(found, Served):
            self._serve(exchange, found, now)
            return
        self.leave(exchange)
        endings.reroute(exchange, found)
        _forget_attempt(exchange)
        self._begin_call(exchange, now)
        self.deadlines.arm(exchange, now)
        self._admit(exchange, 0, now)

    def _refuse(self, exchange: Exchange, refusal: Refusal, now: float) -> None:
        try:
            endings.refuse(exchange, refusal, now)
        except Exception as error:
            self.bug(exchange, error, now)
            return
        self.conclude(exchange, now)

    def _serve(self, exchange: Exchange, served: Served, now: float) -> None:
        endings.serve(exchange, served, now)
        if served.refresh is not None:
            try:
                self.races.refresh(exchange, served.refresh, now)
            except Exception as error:
                self.tell_bug(error)  # the client has its answer
        self.conclude(exchange, now)

    def conclude(self, exchange: Exchange, now: float) -> None:
        """The end of every exchange: hand back what was reserved, count, log, next please."""
        if exchange.concluded:
            return
        exchange.concluded = True
        self._forget(exchange)
        if exchange.endpoint is not None:
            exchange.endpoint.load -= 1
        for release in exchange.deferred:
            try:
                release(now)
            except Exception as error:
                self.tell_bug(error)
        # They may lead back to the exchange, which would then wait for the collector: with
        # thousands in a queue that alone took a third of the time.
        exchange.deferred.clear()
        if exchange.extras is not None and exchange.extras.leader is not None:
            return  # an attempt beside another exchange, which is the one that counts
        series, row = exchange.route.series, exchange.route.row
        series.under_way[row] -= 1
        try:
            series.ended(row, exchange, now)
            self._record(exchange, now)
        except Exception as error:
            self.tell_bug(error)
        exchange.client.ended(exchange, now)

    def bug(self, exchange: Exchange, error: Exception, now: float) -> None:
        """Something of ours raised: tell it, and end this exchange by itself alone.

        Policies are not told of the attempt, as one of them may be what is broken: what they
        claimed expires, and what they reserved they get back.
        """
        self.tell_bug(error)
        if exchange.concluded:
            return
        self.races.gone(exchange)
        if exchange.waiting:
            self.pool.forget(exchange)
        if exchange.upstream is not None:
            exchange.upstream.drop()
            exchange.upstream = None
        exchange.failure = Failure.BUG
        exchange.answer_lines.clear()
        try:
            endings.break_off(exchange, now)
        except Exception as again:
            self.tell_bug(again)
            endings.reply_bare(exchange)
        self.conclude(exchange, now)

    def leave(self, exchange: Exchange) -> None:
        """The attempt at its endpoint is over."""
        endpoint = exchange.endpoint
        if endpoint is not None:
            endpoint.load -= 1
            exchange.endpoint = None

    # ---- time

    def _due(self, exchange: Exchange, now: float) -> None:
        try:
            if exchange.extras is not None and 0.0 < exchange.extras.hedge_due <= now:
                self.races.due(exchange, now)
            if exchange.deadline and now >= exchange.deadline:
                if (
                    exchange.answered
                    and exchange.upstream.is_stream()
                    and exchange.client.listens()
                ):
                    # Events come as long as they come: only silence ends them.
                    exchange.deadline = 0.0
                    self.deadlines.arm(exchange, now)
                    return
                self._out_of_time(exchange, endings.whose_time(exchange), now)
            elif exchange.try_due and now >= exchange.try_due:
                exchange.try_due = 0.0
                self.deadlines.arm(exchange, now)
                if exchange.upstream is not None or exchange.waiting:
                    self._give_up(exchange, Failure.TRY_TIMEOUT, now)
            elif exchange.progress != exchange.bytes_in + exchange.bytes_out:
                self.deadlines.arm(exchange, now)
            elif now < exchange.idle_due:
                idle = exchange.route.idle_timeout or FOREVER
                self.deadlines.look_at(exchange, min(exchange.idle_due, now + idle * GLANCE))
            else:
                stalled = not (exchange.complete or exchange.answered or exchange.client.is_held())
                self._out_of_time(
                    exchange, Failure.CLIENT_STALLED if stalled else Failure.IDLE, now
                )
        except Exception as error:
            self.bug(exchange, error, now)

    def _give_up(self, exchange: Exchange, failure: Failure, now: float) -> None:
        if exchange.waiting:
            self.pool.forget(exchange)
        if exchange.upstream is not None:
            exchange.upstream.drop()
        self.failed(exchange, failure, now)

    def _out_of_time(self, exchange: Exchange, failure: Failure, now: float) -> None:
        """Final: the whole call's time is never stretched by another attempt."""
        self.abandon(exchange, failure, now)
        if exchange.answered:
            exchange.flag(failure.reason)
            exchange.client.cut(exchange)
            self.conclude(exchange, now)
            return
        detail, rule = failure.detail, exchange.route.rule
        self._despair(exchange, Refusal(failure.status, failure.reason, detail, rule), now)


def _forget_attempt(exchange: Exchange) -> None:
    """Nothing of the attempt before this one may be taken for its own."""
    exchange.failure = None
    exchange.status = 0
    exchange.retry_after = -1.0
    exchange.sent_upstream = False
    exchange.added.clear()
