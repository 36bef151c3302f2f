"""Who takes part in the demo and where everybody listens.

Each service instance owns a block of ten ports: the four of its sidecar and the
one of the application behind it. Nothing here starts, calls or knows a process;
the YAML files beside this one read these numbers as variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

PORT_BASE = 18000
BLOCK = 10
COLLECTOR = 9
"""Of the first block, the port at which a receiver takes the spans of all sidecars."""
INSTANCES = ("front", "orders", "users", "payments-1", "payments-2")


@dataclass(frozen=True, slots=True)
class Node:
    """One instance of a service together with its sidecar; `base` is the first of its ports."""

    name: str
    base: int

    @property
    def service(self) -> str:
        """The service this is an instance of: payments for payments-2."""
        return self.name.split("-")[0]

    @property
    def inbound(self) -> int:
        """Where callers reach the service, through its sidecar."""
        return self.base

    @property
    def outbound(self) -> int:
        """Where the application reaches other services, through its sidecar."""
        return self.base + 1

    @property
    def metrics(self) -> int:
        """The sidecar's /metrics and probes."""
        return self.base + 2

    @property
    def admin(self) -> int:
        """The sidecar's /info, /config, /breakers and the rest."""
        return self.base + 3

    @property
    def app(self) -> int:
        """The application itself, behind its sidecar."""
        return self.base + 4

    def ports(self) -> tuple[int, ...]:
        """Every port that must be free before this node starts."""
        return (self.inbound, self.outbound, self.metrics, self.admin, self.app)


def mesh(port_base: int = PORT_BASE) -> dict[str, Node]:
    """All instances by name, in the order in which a request meets them."""
    return {name: Node(name, port_base + BLOCK * index) for index, name in enumerate(INSTANCES)}


def collector(nodes: dict[str, Node]) -> int:
    """The port of the receiver of spans."""
    return next(iter(nodes.values())).base + COLLECTOR


def all_ports(nodes: dict[str, Node]) -> list[int]:
    """Every port of the demo."""
    return [*chain.from_iterable(node.ports() for node in nodes.values()), collector(nodes)]


def environment(node: Node, nodes: dict[str, Node]) -> dict[str, str]:
    """The variables which the node's YAML file and its application read."""
    peers = {f"{_variable(peer.name)}_PORT": peer.inbound for peer in nodes.values()}
    own = {
        "INBOUND_PORT": node.inbound,
        "OUTBOUND_PORT": node.outbound,
        "METRICS_PORT": node.metrics,
        "ADMIN_PORT": node.admin,
        "APP_PORT": node.app,
        "COLLECTOR_PORT": collector(nodes),
    }
    numbers = {name: str(port) for name, port in {**peers, **own}.items()}
    return {"INSTANCE": node.name, **numbers}


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
