"""One route with its policies built, in the order of the registry.

Makes the Scope that a policy is built in and gathers what the policies do. Which requests
come to a route is the tables' business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from meshproxy.core.classify import Classifier
from meshproxy.core.ledger import Draft
from meshproxy.core.route import Allowed, Cluster, Endpoint, Part, Route, RouteRow
from meshproxy.core.verdict import Refusal
from meshproxy.policies.contract import Scope, Spec, gather
from meshproxy.policies.registry import REGISTRY
from meshproxy.settings.chains import Chain
from meshproxy.settings.common import Common
from meshproxy.settings.errors import Path
from meshproxy.settings.origins import origin, rule
from meshproxy.settings.schema import TOP_LEVEL, policy
from meshproxy.settings.validate import Settings, redact

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.settings.compile import Tools

UNMATCHED = "__unmatched__"
OF_ALL = frozenset({"tracing"})
"""Policies of every request, the refused ones too; asked before all others."""
OF_A_SERVICE = frozenset({"health_check", "load_balancer", "sticky", "circuit_breaker", "fallback"})
"""Policies that tell the endpoints of one service apart, or stand in for it."""
_OF_A_PLACE = {spec.key: spec for spec in REGISTRY if spec.key not in TOP_LEVEL}


class Way(Protocol):
    """Admits what may go on, and knows where to."""

    def admit(self, exchange: Exchange, now: float) -> Refusal | None: ...
    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None: ...


@runtime_checkable
class Passes(Protocol):
    """A policy that may pass a request on to another route."""

    @property
    def elsewhere(self) -> Route: ...


class Refuses(Protocol):
    """Made with the place in the file that decided."""

    def __init__(self, rule: str) -> None: ...
    def admit(self, exchange: Exchange, now: float) -> Refusal: ...


class Routes:
    """Makes routes."""

    __slots__ = ("_common", "_draft", "_hops", "_now", "_settings", "_tools", "services")

    def __init__(self, settings: Settings, draft: Draft, tools: Tools, now: float) -> None:
        self._common = Common()
        self._settings = settings
        self._draft = draft
        self._tools = tools
        self._now = now
        trust = settings.file.trust
        self._hops = trust.hops if trust.forwarded_from else 0
        self.services: dict[str, Route] = {}

    def policies(self, routes: Iterable[Route]) -> list[object]:
        """The policies of all these routes, and of those to which they may pass a request on."""
        built = [part.policy for route in routes for part in route.parts]
        others = {policy.elsewhere for policy in built if isinstance(policy, Passes)}
        return [*built, *(part.policy for route in others for part in route.parts)]

    def route(self, chain: Chain, cluster: Cluster, label: str) -> Route:
        """The route at the inner end of `chain`, leading to `cluster`."""
        classifier = self._common.classifier(chain.innermost.place.failures)
        row = self._row(chain.direction, label, cluster)
        walk = self._common.walk(self._all(REGISTRY, chain, cluster, label, classifier))
        ends = tuple(cluster.endpoints)
        return Route(
            name=label,
            direction=chain.direction,
            cluster=cluster,
            phases=walk.phases,
            pick=walk.pick or _nowhere,
            classifier=classifier,
            series=row.series,
            row=row.place,
            rule=self.rule(chain.innermost.path),
            about=self._about(chain),
            lone=ends[0] if len(ends) == 1 else None,
            parts=walk.parts,
            origin=_origin_in(self._settings, chain),
            **self._times(chain),
        )

    def forward(self, chain: Chain, cluster: Cluster, label: str, path: Path, way: Way) -> Route:
        """The route of hosts that a client chooses: `way` admits them and finds their endpoints.

        What tells the endpoints of one service apart, balancer and breaker, has no place here.
        """
        classifier = self._common.classifier(chain.innermost.place.failures)
        row = self._tools.series(chain.direction, label, cluster.name)
        first = [spec for spec in REGISTRY if spec.key in OF_ALL]
        then = [spec for spec in REGISTRY if spec.key not in OF_ALL | OF_A_SERVICE]
        parts = [
            *self._all(first, chain, cluster, label, classifier),
            Part(str(path[-1]), way, self.rule(path)),
            *self._all(then, chain, cluster, label, classifier),
        ]
        built = [part.policy for part in parts]
        return Route(
            name=label,
            direction=chain.direction,
            cluster=cluster,
            phases=gather(built),
            pick=way.pick,
            classifier=classifier,
            series=row.series,
            row=row.place,
            rule=self.rule(path),
            about=self._about(chain, OF_A_SERVICE),
            parts=tuple(parts),
            origin=_origin_in(self._settings, chain),
            **self._times(chain),
        )

    def refusing(self, direction: str, path: Path, label: str, policy: type[Refuses]) -> Route:
        """A route that is traced and counted, and always refused."""
        cluster = Cluster(label, (), self._tools.cluster_series(label))
        classifier = Classifier()
        row = self._tools.series(direction, label, label)
        chain = Chain(direction, ())
        first = [spec for spec in REGISTRY if spec.key in OF_ALL]
        parts = self._all(first, chain, cluster, label, classifier)
        parts.append(Part(str(path[-1]), policy(self.rule(path)), self.rule(path)))
        built = [part.policy for part in parts]
        return Route(
            name=label,
            direction=direction,
            cluster=None,
            phases=gather(built),
            pick=_nowhere,
            classifier=classifier,
            series=row.series,
            row=row.place,
            rule=self.rule(path),
            parts=tuple(parts),
            origin=_origin_in(self._settings, chain),
        )

    def _all(
        self,
        specs: Iterable[type[Spec]],
        chain: Chain,
        cluster: Cluster,
        label: str,
        classifier: Classifier,
    ) -> list[Part]:
        each = ((spec, self._build(spec, chain, cluster, label, classifier)) for spec in specs)
        return [Part(spec.key, made) for spec, made in each if made is not None]

    def _build(
        self, spec: type[Spec], chain: Chain, cluster: Cluster, label: str, classifier: Classifier
    ) -> object | None:
        said = self._said(spec, chain)
        if not said:
            return None
        values = [value for value, _, _ in said]
        places = tuple((owner, path) for _, owner, path in said)

        def make() -> object | None:
            scope = self._scope(chain, cluster, label, classifier)
            scopes = [scope(owner, path) for owner, path in places]
            if spec.adds_up:
                return spec.build_all(list(zip(values, scopes, strict=True)))
            built: object | None = values[0].build(scopes[0])
            return built

        if spec.of_route:
            return make()
        key = (spec, chain.direction, cluster, classifier, places)
        return self._common.policy(key, values, make)

    def _said(self, spec: type[Spec], chain: Chain) -> list[tuple[Any, str, Path]]:
        """What the file says of a policy of a route: each value, its owner and its place."""
        if spec.adds_up:
            return [
                (item, self._owner(step.owner, chain), path)
                for step, path, item in chain.items(spec)
            ]
        if spec.key in TOP_LEVEL:
            value = policy(self._settings.file, spec)
            return [] if value is None else [(value, spec.key, (spec.key,))]
        value = policy(chain.innermost.place, spec)
        if value is None:
            return []
        step, path = chain.speaker(spec.key, self._settings)
        return [(value, self._owner(step.owner, chain), path)]

    def _scope(
        self, chain: Chain, cluster: Cluster, label: str, classifier: Classifier
    ) -> Callable[[str, Path], Scope]:
        def beside(key: str) -> Any:
            return policy(chain.innermost.place, _OF_A_PLACE[key])

        def scope(owner: str, path: Path) -> Scope:
            return Scope(
                direction=chain.direction,
                route=label,
                owner=owner,
                rule=self.rule(path),
                cluster=cluster,
                classifier=classifier,
                now=self._now,
                random=self._tools.random,
                draft=self._draft,
                tell=self._tools.tell,
                hops=self._hops,
                beside=beside,
                route_of=self.services.__getitem__,
                sharing=self._tools.sharing,
            )

        return scope

    def _owner(self, owner: str, chain: Chain) -> str:
        """People see it: of routes whose match holds a secret, the index tells which is meant."""
        shown: str = redact(owner, self._settings.document.secrets)
        return owner if shown == owner else f"{shown}#{chain.innermost.path[-1]}"

    def _row(self, direction: str, label: str, cluster: Cluster) -> RouteRow:
        """Where its figures go; by version, too, where the endpoints differ in it."""
        row = self._tools.series(direction, label, cluster.name)
        if cluster.versions:
            return self._tools.versioned(row, cluster.name, cluster.versions)
        return row

    def rule(self, path: Path) -> str:
        return rule(self._settings, path)

    def _times(self, chain: Chain) -> dict[str, Any]:
        place = chain.innermost.place
        retry: Any = getattr(place, "retry", None)
        times = {
            "timeout": place.timeout,
            "per_try_timeout": getattr(retry, "per_try_timeout", None) or 0.0,
            "connect_timeout": place.connect_timeout,
            "idle_timeout": place.idle_timeout,
        }
        return {name: self._common.number(seconds) for name, seconds in times.items()}

    def _about(self, chain: Chain, without: Collection[str] = ()) -> dict[str, Any]:
        """What the admin port shows of a route: everything that is in force there."""
        shown = chain.innermost.place.model_dump(mode="json", exclude={"routes", *without})
        about: dict[str, Any] = redact(shown, self._settings.document.secrets)
        return about


def _origin_in(settings: Settings, chain: Chain) -> Callable[..., str]:
    """Where a key of a route comes from, found when somebody asks."""

    def where(*keys: str) -> str:
        return origin(settings, keys if keys[0] in TOP_LEVEL else (*chain.innermost.path, *keys))

    return where


def _nowhere(exchange: Exchange, allowed: Allowed, now: float) -> None:  # a Pick
    """The pick of a route that leads to no endpoint."""
