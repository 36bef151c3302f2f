"""The command behind `run --`: what was typed, and the environment that it is started in.

Where the sidecar listens is known only when its file is; so the environment is made then.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from meshproxy.control.command import Command, environment_with
from meshproxy.settings.addresses import Address
from meshproxy.settings.schema import File

OURS = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""Variables meant for this process, and for no child of it."""


@dataclass(frozen=True, slots=True)
class Given:
    """`inject` for an environment that leads through the sidecar."""

    argv: Sequence[str]
    inject: bool
    added: frozenset[str] = frozenset()
    """Variables that this process set for itself."""

    def command(self, file: File) -> Command:
        """What is started once the sidecar of this file is ready."""
        kept = os.environ.keys() - self.added.union(OURS)
        environment = {key: os.environ[key] for key in kept}
        if self.inject and file.outbound is not None:
            services = {
                name: f"http://{name}" if service.listen is None else _url(service.listen)
                for name, service in file.outbound.services.items()
            }
            environment = environment_with(environment, _url(file.outbound.listen), services)
        return Command(self.argv, environment)


def _url(address: Address) -> str:
    if not address.is_wildcard():
        return f"http://{address}"
    return f"http://{Address('::1' if ':' in address.host else '127.0.0.1', address.port)}"
