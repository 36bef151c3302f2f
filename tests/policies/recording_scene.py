"""A stage whose requests are recorded, and what was noted of them."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Cluster, Route
from meshproxy.core.spans import Record, Spans
from meshproxy.policies.contract import gather
from meshproxy.policies.recording import CELL, Recording
from meshproxy.policies.tracing import TracingSpec
from tests.fakes import FakeTransport, Stage

GET = b"GET /a?token=secret HTTP/1.1\r\nHost: shop\r\nUser-Agent: me/1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"


class Recorded:
    """One listener whose tracing records; `others` are policies beside it."""

    def __init__(
        self,
        *others: object,
        sample: str = "100%",
        formats: tuple[str, ...] = ("tracecontext", "b3", "jaeger"),
        hops: int = 0,
        endpoints: int = 1,
        **route: Any,
    ) -> None:
        draft = Ledger().open()
        self.spans = cast(Spans, draft.state(CELL, Spans))
        spec = TracingSpec.model_validate(
            {"sample": sample, "propagate": formats, "export": "http://127.0.0.1:4318"}
        )
        self.scope = cast(Any, SimpleNamespace(random=random.Random(1), draft=draft, hops=hops))
        policy = spec.build(self.scope)
        assert isinstance(policy, Recording)
        self.policy = policy
        self.stage = Stage([self.policy, *others], endpoints=endpoints, **route)
        self.client = self.stage.client()

    def asks(self, data: bytes = GET) -> FakeTransport:
        """The client's request; the upstream's side of its first attempt."""
        self.client.says(data)
        return self.stage.connect()

    def asks_again(self, data: bytes) -> FakeTransport:
        """Another request, on the connections that are there."""
        self.client.says(data)
        return self.stage.connections[-1]

    def other_route(self) -> Route:
        """A second service, behind the last endpoint."""
        stage = self.stage
        cluster = Cluster("spare", (stage.endpoints[-1],), stage.counts)
        return replace(stage.route, name="spare", cluster=cluster, lone=stage.endpoints[-1])

    def use_for_unmatched(self) -> None:
        """Record those that reach no route, as every file has it."""
        stage = self.stage
        unmatched = replace(stage.plan.unmatched, phases=gather([self.policy]))
        stage.listener.plan = replace(stage.plan, unmatched=unmatched)

    def records(self) -> list[Record]:
        self.spans.batch = self.spans.bound
        return list(self.spans.first())

    def record(self) -> Record:
        (record,) = self.records()
        return record


def sent(transport: FakeTransport) -> dict[str, str]:
    """The fields of the head that an upstream was given."""
    lines = transport.take().decode().partition("\r\n\r\n")[0].split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)
