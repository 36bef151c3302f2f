"""Configs, requests and traffic by chance, and one sidecar that is asked before it acts.

Everything between the bytes is real; only transports, time and upstreams are models.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from meshproxy.core.checkup import Checked, Heard
from meshproxy.core.exchange import Exchange
from meshproxy.core.foretold import Explanation, Question
from meshproxy.dataplane.foresight import foresee, head_of
from meshproxy.policies.overload import Gauge
from meshproxy.policies.sticky import mark
from meshproxy.settings.errors import ConfigError
from tests.chaos.virtual import Caller, Site, Wire

BODY = b"\r\n\r\n"
"""Of each request that has one: a wire of the site takes a request to end so."""

HOSTS = (
    "users", "users", "users", "pay", "pay", "Users:80", "spare.", "nobody.test",
    "api.example.com", "127.0.0.1:9",
)  # fmt: skip
TARGETS = (
    "/", "/", "/v1/x", "/v1/x", "/v1/x?token=1", "/orders", "/orders", "/orders;a=1",
    "/a/../orders", "/%6frders", "//x", "/u/v1/x", "/u", "/u/", "/v1/%2e%2e/../..",
    "/users/7/orders", "/reports/x/y", "*",
)  # fmt: skip
METHODS = (*["GET"] * 8, "POST", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "TRACE", "BREW")
GOOD = (
    ("x-client-id", "one"), ("x-client-id", "two"), ("X-Tier", "gold"), ("Cookie", "a=b; c=d"),
    ("cache-control", "no-cache"), ("Cache-Control", "only-if-cached"), ("if-none-match", '"v1"'),
    ("x-request-deadline", "300"), ("x-request-deadline", "-5"), ("x-request-deadline", "soon"),
    ("x-forwarded-for", "10.1.2.3"), ("Connection", "x-gone, close"), ("x-gone", "1"),
    ("te", "trailers"), ("x-meshproxy-attempt", "9"), ("expect", "100-continue"),
    ("range", "bytes=0-1"), ("x-fault-abort", "418"), ("x-fault-delay", "50ms"),
    ("x-priority", "low"), ("via", "1.1 a"), ("x-priority", "high"), ("x-request-id", "abc"),
    ("idempotency-key", "k"), ("max-forwards", "3"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"), ("content-length", "4"),
    *[("cookie", "to=" + mark("users", "10.0.1.1:80").decode())] * 3,
    ("authorization", "Bearer secret"), ("proxy-authorization", "Basic x"), ("upgrade", "h2c"),
)  # fmt: skip

BAD = (
    ("connection", "x-client-id"), ("expect", "more"), ("max-forwards", "0"),
    ("x_forwarded_for", "1"), ("bad name", "1"), ("transfer-encoding", "gzip"), ("host", "twice"),
)  # fmt: skip

_DRAWN = {
    "<trace-id>": "[0-9a-f]{32}", "<span-id>": "[0-9a-f]{16}", "<request-id>": "[0-9a-f-]{36}",
}  # fmt: skip


class Maker:
    """Draws a whole file, and questions that suit it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = 0

    def new_name(self) -> str:
        self.names += 1
        return f"limit-{self.names}"

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    def one(self, *of: Any) -> Any:
        return self.random.choice(of)

    # ---- the file

    def file(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        if self.maybe(0.5):
            tree["tracing"] = {
                "propagate": self.one(["tracecontext"], ["b3"], ["jaeger", "b3multi"], "off"),
                "heed_callers": self.maybe(0.7),
                "export": self.one("off", "otlp+http://127.0.0.1:4318"),
                "sample": self.one("0%", "100%"),
            }
        if self.maybe(0.5):
            tree["trust"] = {"forwarded_from": ["127.0.0.0/8"], "hops": self.one(1, 2)}
        if self.maybe(0.3):
            tree["overload"] = {"mode": self.one("enforce", "enforce", "shadow")}
        tree["inbound"] = {
            "app": "http://10.0.0.1:80",
            **self.policies("inbound", []),
            **self.routes(),
        }
        names = ["users", "pay", "spare"][: self.one(1, 2, 3)]
        tree["outbound"] = {
            "unknown_hosts": self.one("reject", "reject", "pass", {"allow": ["*.example.com"]}),
            "connect": self.one("off", {"allow": ["api.example.com"]}),
            "defaults": self.policies("outbound", []),
            "services": {
                name: self.service(index, [each for each in names if each != name])
                for index, name in enumerate(names)
            },
        }
        return tree

    def service(self, index: int, others: list[str]) -> dict[str, Any]:
        count = self.one(1, 2, 3)
        endpoints: list[Any] = [
            {
                "address": f"10.0.{index + 1}.{at}:80",
                "weight": self.one(1, 1, 3),
                "tier": self.one(0, 0, 0, 1),
            }
            for at in range(1, count + 1)
        ]
        made = {"endpoints": endpoints, **self.policies("outbound", others), **self.routes()}
        if index == 0 and self.maybe(0.6):
            made["prefix"] = "/u"
        return made

    def routes(self) -> dict[str, Any]:
        matches = [
            "GET /v1/*", "/orders", "POST /orders", "/users/*/orders",
            {"path": "/reports/*", "headers": {"x-tier": "gold"}}, {"methods": ["GET", "PUT"]},
        ]  # fmt: skip
        chosen = self.random.sample(matches, self.one(0, 0, 1, 2))
        order = sorted(chosen, key=lambda match: match == {"methods": ["GET", "PUT"]})
        if not order:
            return {}
        return {
            "routes": [
                {"match": match, **self.few_policies()}
                for match in order
                if not (match == "POST /orders" and "/orders" in order)
            ]
        }

    def few_policies(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if self.maybe(0.4):
            made["rate_limits"] = [self.limit(self.new_name())]
        if self.maybe(0.3):
            made["timeout"] = self.one("1s", "50ms", "off")
        if self.maybe(0.2):
            made["concurrency"] = {"max": 1, "queue": self.one(0, 1)}
        if self.maybe(0.1):
            made["priority"] = self.one("high", "low")
        return made

    def limit(self, name: str) -> dict[str, Any]:
        made: dict[str, Any] = {"name": name, "limit": self.one("1/s", "9/s", "600/m", "9/10s")}
        made["per"] = self.one([], ["header:x-client-id"], ["ip"], ["method", "route"])
        if made["per"]:
            made["keys"] = self.one(1, 2, 100)
        if self.maybe(0.3):
            made["algorithm"] = "sliding_window"
        elif self.maybe(0.5):
            made["burst"] = self.one(1, 2, 5)
        if self.maybe(0.3):
            made["tiers"] = {"header": "x-tier", "gold": {"limit": self.one("1/s", "9/s")}}
        if self.maybe(0.2):
            made["mode"] = self.one("shadow", "off")
        return made

    def policies(self, direction: str, others: list[str]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        drawn = {
            "rate_limits": (
                0.4,
                lambda: [self.limit(self.new_name()), self.limit(self.new_name())],
            ),
            "timeout": (0.3, lambda: self.one("1s", "100ms", "off")),
            "idle_timeout": (0.2, lambda: self.one("2s", "30s")),
            "concurrency": (0.3, self.concurrency),
            "deadlines": (0.3, dict),
            "priority": (0.3, lambda: {"header": "x-priority"}),
            "faults": (0.2, self.faults),
            "cache": (0.4, self.cache),
            "retry": (0.4, self.retry),
            "fallback": (0.3, lambda: self.fallback(others)),
            "circuit_breaker": (0.6, self.breaker),
        }
        if direction == "outbound":
            drawn |= {
                "hedge": (0.2, lambda: {"after": "20ms"}),
                "load_balancer": (0.6, self.balancer),
                "sticky": (0.2, lambda: {"cookie": "to"}),
                "health_check": (0.3, lambda: {"unhealthy": 1, "healthy": 1}),
            }
        for key, (chance, make) in drawn.items():
            if self.maybe(chance):
                made[key] = make()
        return made

    def cache(self) -> dict[str, Any]:
        return self.one(
            {"ttl": "2s"}, {"per": "header:x-client-id"}, {"stale_while_revalidate": "1ms"},
            {"stale_while_revalidate": "1ms", "stale_if_error": "1ms"},
        )  # fmt: skip

    def concurrency(self) -> dict[str, Any]:
        return {
            "max": self.one(1, 2, 3, "adaptive"), "queue": self.one(0, 1, 2), "min": 1,
            "mode": self.one("enforce", "enforce", "shadow", "off"),
        }  # fmt: skip

    def faults(self) -> dict[str, Any]:
        inject = [
            {"abort": 503, "percent": self.one("0%", "100%")},
            {"delay": self.one("10ms", "200ms"), "percent": "100%"},
            {"reset": True, "percent": self.one("0%", "100%")},
            {"bandwidth": "1KiB/s", "percent": "100%"},
        ]
        return {
            "inject": self.random.sample(inject, self.one(0, 1, 2)),
            "headers": self.maybe(0.7),
            "max_active": self.one(1, 2, 100),
        }

    def retry(self) -> Any:
        return self.one("off", {"attempts": self.one(0, 1, 3)}, {"per_try_timeout": "40ms"})

    def fallback(self, others: list[str]) -> dict[str, Any]:
        if self.maybe(0.2):
            return {"stale": "5s", "on": ["503", "no-endpoint", "breaker-open"]}
        if others and self.maybe(0.6):
            return {"service": self.one(*others)}
        return {"static": {"status": self.one(200, 503), "body": "instead"}}

    def breaker(self) -> dict[str, Any]:
        return {
            "consecutive_failures": self.one(1, 2),
            "open_for": self.one("200ms", "5s"),
            "max_ejected": self.one("50%", "100%"),
            "half_open_requests": self.one(1, 2),
            "panic": self.one("off", "off", "60%"),
            "mode": self.one("enforce", "enforce", "enforce", "shadow"),
        }

    def balancer(self) -> Any:
        word = self.one("peak_ewma", "least_request", "round_robin", "random", "ring", "slow")
        if word == "ring":
            return {
                "strategy": "ring_hash",
                "hash": self.one("header:x-client-id", "ip", "cookie:a"),
                "bound": self.one("100%", "125%", "off"),
            }
        if word == "slow":
            return {"strategy": self.one("peak_ewma", "round_robin"), "slow_start": "2s"}
        return word

    # ---- a request

    def question(self, plan: str) -> Question:
        if self.maybe(0.3):
            return Question("GET", self.one("/", "/v1/x"), (("Host", "users"),))
        host = self.one(*HOSTS)
        method, target = self.one(*METHODS), self.one(*TARGETS)
        if self.maybe(0.05):
            method, target = "CONNECT", self.one("api.example.com:443", "users:80", "api")
            host = target
        elif plan == "outbound" and self.maybe(0.2):
            target = f"http://{self.one(*HOSTS)}{target}"
        fields = self.random.sample(GOOD, self.one(0, 0, 1, 2, 3))
        if self.maybe(0.05):
            fields.append(self.one(*BAD))
        return Question(method, target, (("Host", host), *fields))


@dataclass
class Seen:
    """What became of a request."""

    exchange: Exchange
    ended: bool
    held: bool
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    """The route at the time, the endpoint, and the bytes of each attempt."""


def sites(plan: str, count: int) -> Iterator[tuple[int, Asked]]:
    """So many sidecars with the seeds of their files; a file that is refused is drawn anew."""
    seed = 0
    while count:
        maker = Maker(seed)
        try:
            yield seed, Asked(maker.file(), maker, plan)
            count -= 1
        except ConfigError:
            pass
        seed += 1


class Asked(Site):
    """A site that remembers the attempts, and whose upstream does as it likes."""

    def __init__(self, tree: dict[str, Any], maker: Maker, plan: str) -> None:
        self.maker = maker
        self.plan = plan
        self.sent: list[tuple[Exchange, str, str, bytes]] = []
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in tree.items())
        super().__init__(text, self.does, plan)

    def does(self, wire: Wire) -> None:
        exchange = wire.protocol._exchange
        self.sent.append((exchange, exchange.route.name, wire.protocol.endpoint.name, wire.request))
        draw = self.maker.random.random()
        if draw < 0.15:
            return  # it never answers
        status, more = 200, b""
        if draw < 0.4:
            status = self.maker.one(500, 503, 429, 404)
        elif draw < 0.7:
            more = b'Cache-Control: max-age=1\r\nETag: "v1"\r\n'
        body = b"" if exchange.method == b"HEAD" else b"fine"
        data = b"HTTP/1.1 %d Fine\r\n%bContent-Length: 4\r\n\r\n%b" % (status, more, body)
        self.time.later(self.maker.one(0.0, 0.0, 0.0, 0.03), wire.says, data)

    def explain(self, question: Question) -> Explanation:
        return foresee(self.snapshot.plans[self.plan], question, self.time.now)

    def tell(self, question: Question) -> Seen:
        """Send it, and see what comes at once."""
        client = self.client()
        before, done = len(self.sent), len(self.ended)
        names = {name.lower() for name, _ in question.fields}
        began = _watched(client)
        client.says(head_of(question) + (BODY if "content-length" in names else b""))
        self._connect_now()
        exchange = began()
        sent = [
            (route, end, data) for each, route, end, data in self.sent[before:] if each is exchange
        ]
        ended = any(each is exchange for each, _ in self.ended[done:])
        held = not ended and exchange.wake is not None
        return Seen(exchange, ended, held, sent)

    def _connect_now(self) -> None:
        """Dials end at once, whatever else is due now comes later."""
        due = [entry for entry in self.time._due if entry[0] <= self.time.now]
        for entry in due:
            if entry[3] == self._connect and not entry[2].cancelled:
                entry[2].cancelled = True
                entry[3](*entry[4])

    def live(self) -> None:
        """Something happens meanwhile: time, checks, pressure, and requests of many."""
        draw = self.maker.random.random()
        if draw < 0.5:
            self.time.pass_by(self.maker.one(0.0, 0.001, 0.05, 0.3, 1.0, 6.0))
        for cell in self.cells():
            if isinstance(cell, Gauge):
                cell.pressure.level = self.maker.one(0.0, 0.0, 0.0, 0.7, 1.4, 2.6)
                cell.pressure.why = "memory"
        if draw < 0.15:
            for cell in self.cells():
                if isinstance(cell, Checked):
                    passed = self.maker.maybe(0.5)
                    cell.heard(Heard(200 if passed else 500), self.time.now - 0.01, self.time.now)
        self.refusing = self.maker.maybe(0.2)
        host = self.maker.one("users", "users", "pay")
        for _ in range(self.maker.one(0, 1, 3)):
            self.tell(Question("GET", self.maker.one("/", "/v1/x"), (("Host", host),)))
        self.refusing = False


def _watched(client: Caller) -> Any:
    """The exchange that the client's next bytes begin, even if it ends at once."""
    listener = client.protocol._listener
    conductor = listener.conductor
    begun: list[Exchange] = []

    class Ear:
        def __getattr__(self, name: str) -> Any:
            return getattr(conductor, name)

        def begin(self, exchange: Exchange, now: float) -> None:
            begun.append(exchange)
            conductor.begin(exchange, now)

    listener.conductor = Ear()

    def exchange() -> Exchange:
        listener.conductor = conductor
        return begun[0]

    return exchange


def matches(told: bytes, sent: bytes) -> bool:
    """Whether these bytes are those that were told of, but for what is drawn."""
    pattern = re.escape(told.decode("latin-1"))
    for word, drawn in _DRAWN.items():
        pattern = pattern.replace(re.escape(word), drawn)
    # Whether a new trace is sampled hangs on its id, where the file has no word of tracing.
    if "<trace-id>" in told.decode("latin-1"):
        pattern = re.sub(r"(\[0-9a-f\]\{16\})\\-0[23]", r"\1\\-0[23]", pattern)
    return re.fullmatch(f"{pattern}(\r\n\r\n)?", sent.decode("latin-1")) is not None
