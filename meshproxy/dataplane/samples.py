"""What the data plane has to say on /metrics: connections on both sides, counted when asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from meshproxy.core.report import Sample
from meshproxy.core.route import Cluster

if TYPE_CHECKING:
    from meshproxy.dataplane.front import Front


def listener_samples(front: Front) -> Iterable[Sample]:
    """Connections of callers, counted when asked."""
    downstream: dict[str, int] = {}
    for listener in front.listeners:
        direction = listener.plan.direction
        downstream[direction] = downstream.get(direction, 0) + len(listener.clients)
    for direction, count in downstream.items():
        yield Sample("meshproxy_downstream_connections", (("direction", direction),), float(count))
    for direction, count in front.refused().items():
        labels = (("direction", direction),)
        yield Sample("meshproxy_downstream_connections_refused_total", labels, float(count))


def cluster_samples(cluster: Cluster) -> Iterable[Sample]:
    """Connections to one upstream."""
    idle = sum(endpoint.idling for endpoint in cluster.endpoints)
    open_ = sum(endpoint.connections for endpoint in cluster.endpoints)
    for state, count in (("idle", idle), ("active", open_ - idle)):
        labels = (("upstream", cluster.name), ("state", state))
        yield Sample("meshproxy_upstream_connections", labels, float(count))
