"""What the tests of limits stand on: a scope over a real ledger, and exchanges without a socket."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

from meshproxy.core.classify import Classifier
from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Cluster
from meshproxy.policies.contract import Scope, Spec
from meshproxy.policies.limits import RateLimits
from meshproxy.policies.rate_limit import RateLimitSpec

Entry = tuple[Spec, Scope]


class Scene:
    """Generations of a file over one ledger: each `load` is a reload."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.draft = self.ledger.open()

    def scope(self, owner: str = "inbound", cluster: str = "app", hops: int = 0) -> Scope:
        return Scope(
            direction="inbound",
            route="default",
            owner=owner,
            rule=f"{owner} (mesh.yaml:7)",
            cluster=Cluster(cluster, (), None),  # type: ignore[arg-type]  # no series are needed
            classifier=Classifier(),
            now=1000.0,
            random=random.Random(1),
            draft=self.draft,
            tell=lambda event, **fields: None,
            hops=hops,
        )

    def limits(self, *raw: dict[str, Any], **where: Any) -> RateLimits:
        """The policy that these entries of `rate_limits` make at one place."""
        scope = self.scope(**where)
        return self.built([(RateLimitSpec.model_validate(entry), scope) for entry in raw])

    def built(self, entries: list[tuple[RateLimitSpec, Scope]]) -> RateLimits:
        policy = RateLimitSpec.build_all(entries)
        assert policy is not None
        return policy

    def reload(self) -> None:
        """Adopt what was built, and open the next generation."""
        self.ledger.keep(self.draft)
        self.draft = self.ledger.open()

    def samples(self) -> dict[tuple[str, ...], float]:
        """Family and label values of every sample of what was built."""
        self.ledger.keep(self.draft)
        found: dict[tuple[str, ...], float] = {}
        for _, cell in self.ledger.cells():
            for sample in cell.samples() if hasattr(cell, "samples") else ():
                name = (sample.family, *(value for _, value in sample.labels))
                assert name not in found, f"{name} twice"
                found[name] = sample.value
        return found

    def reports(self, section: str, now: float = 1000.0) -> list[dict[str, Any]]:
        self.ledger.keep(self.draft)
        cells = [cell for _, cell in self.ledger.cells()]
        return [dict(cell.report(now)) for cell in cells if getattr(cell, "section", "") == section]


def exchange(
    route: str = "default",
    address: str = "192.0.2.1",
    trusted: bool = True,
    method: bytes = b"GET",
    **headers: str,
) -> Exchange:
    made = Exchange(
        None,
        Peer(address, trusted, b""),
        SimpleNamespace(unmatched=SimpleNamespace(name=route)),  # type: ignore[arg-type]
        1000.0,
    )
    made.method = method
    made.taken = {n.replace("_", "-").encode(): v.encode() for n, v in headers.items()}
    return made
