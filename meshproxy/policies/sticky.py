"""Sticky sessions: a client comes back to the endpoint that answered it first.

A cookie names the endpoint by a print of its address, the same in every sidecar and after
every start. It is honoured as long as the endpoint may be tried; otherwise the balancer picks
another and the cookie is set anew. Who has the cookie chooses its endpoint, and that is all.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from meshproxy.core.explanation import Choice
from meshproxy.core.fields import Timeout
from meshproxy.logic.cookies import cookie
from meshproxy.policies.contract import Scope, Spec

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Allowed, Classifier, Endpoint, Pick


PATH_PATTERN = r"^/[!-:<-~]*$"
"""RFC 6265 section 4.1.1: anything printable but a semicolon."""


class StickySpec(Spec):
    """Bring a client back to the endpoint that it was sent to before, by a cookie."""

    key: ClassVar[str] = "sticky"

    cookie: str = Field(
        default="meshproxy_upstream",
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        max_length=64,
        description="The cookie's name.",
    )
    ttl: Timeout = Field(
        default=3600.0,
        description="How long a client keeps it; off: until the browser is closed.",
    )
    path: str = Field(
        default="/",
        pattern=PATH_PATTERN,
        max_length=256,
        description="Requests below this path bring it back.",
    )

    def build(self, scope: Scope) -> Sticky | None:
        if len(scope.cluster.endpoints) < 2:
            return None
        return Sticky(self, scope)


def mark(cluster: str, endpoint: str) -> bytes:
    """What a cookie calls an endpoint. It tells no address to whom did not know it before."""
    return blake2b(f"{cluster} {endpoint}".encode(), digest_size=8).hexdigest().encode()


class Sticky:
    """The marks of one cluster's endpoints, in both directions."""

    __slots__ = ("_endpoints", "_failed", "_lines", "_name")

    reads = (b"cookie",)

    def __init__(self, spec: StickySpec, scope: Scope) -> None:
        marks = {mark(scope.cluster.name, end.name): end for end in scope.cluster.endpoints}
        classifier: Classifier = scope.classifier
        self._failed = classifier.failed
        self._name = spec.cookie.encode()
        self._endpoints = marks
        self._lines = {endpoint: _line(spec, name) for name, endpoint in marks.items()}

    def around(self, pick: Pick) -> Pick:
        """The endpoint that the cookie names, or else the one that `pick` finds."""

        def pick_again(exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
            endpoint = self._named(exchange)
            if endpoint is not None and endpoint not in exchange.tried and allowed(endpoint, now):
                return endpoint
            return pick(exchange, allowed, now)

        return pick_again

    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None:
        endpoint = self._named(exchange)
        if endpoint is None or not allowed(endpoint, now):
            return None
        return Choice(((endpoint, 1.0),), f"the cookie {self._name.decode()} names it: sticky")

    def respond(self, exchange: Exchange, now: float) -> None:  # noqa: ARG002  # a phase
        """Set the cookie where another endpoint answered; never to one that has just failed."""
        endpoint = exchange.endpoint
        if endpoint is None or endpoint is self._named(exchange) or self._failed(exchange):
            return
        exchange.answer_lines.append(self._lines[endpoint])

    def _named(self, exchange: Exchange) -> Endpoint | None:
        return self._endpoints.get(cookie(exchange.header(b"cookie"), self._name))


def _line(spec: StickySpec, mark: bytes) -> bytes:
    # RFC 6265 section 4.1.1. Max-Age is whole seconds, and 0 would delete the cookie.
    age = f"; Max-Age={max(1, round(spec.ttl))}" if spec.ttl else ""
    attributes = f"; Path={spec.path}{age}; HttpOnly; SameSite=Lax\r\n"
    return b"set-cookie: " + spec.cookie.encode() + b"=" + mark + attributes.encode()
