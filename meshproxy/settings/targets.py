"""What the file says of the endpoints of one service, as the data plane wants to know it.

Orders and compares; which endpoint is an old acquaintance is the ledger's to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from meshproxy.core.route import Endpoint
from meshproxy.settings.addresses import Address


class Target(NamedTuple):
    """One of them; its version is "" if the file says none."""

    address: Address
    weight: int = 1
    tier: int = 0
    version: str = ""


def tiers(made: Mapping[Endpoint, Target]) -> tuple[tuple[Endpoint, ...], ...]:
    """The endpoints by tier, first asked first; nothing where all are in one."""
    levels = sorted({target.tier for target in made.values()})
    if len(levels) < 2:
        return ()
    return tuple(
        tuple(end for end, target in made.items() if target.tier == level) for level in levels
    )


def versions(made: Mapping[Endpoint, Target]) -> Mapping[Endpoint, str]:
    """The version of each endpoint; nothing where all are of one."""
    found = {end: target.version for end, target in made.items()}
    return found if len(set(found.values())) > 1 else {}
