"""One worker of several: the app of a single process, with ties to the others.

Inherits everything from the supervisor that forked it: bound sockets, the config's bytes, the
board, and one end of a line. What the app asks of the world (bind an address, reload, share a
limit, sum up what all have counted) is answered by these here.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from typing import Any

from meshproxy.app import App
from meshproxy.control.followed import Followed
from meshproxy.control.reload import Outcome, Reason
from meshproxy.control.rulebook import Handed
from meshproxy.fleet.board import Board
from meshproxy.fleet.channel import Channel, ClosedError
from meshproxy.fleet.member import Member
from meshproxy.fleet.tie import Tie

Place = tuple[str, int]


class Ties:
    """What ties an app to the other workers of its sidecar."""

    def __init__(
        self, handed: Handed, board: Board, seat: int, channel: Channel,
        loop: asyncio.AbstractEventLoop,
    ) -> None:  # fmt: skip
        self._handed = handed
        self._sockets = dict(handed.sockets)
        self._loop = loop
        self.tie = Tie(channel, loop)
        self.member = Member(board, seat, self._dump)
        self._app: App | None = None
        self._followed: Followed[Any] | None = None

    # What the app asks

    def bind(self, host: str, port: int) -> socket.socket:
        """The socket of an address, which the supervisor has bound already."""
        return self._sockets.pop((host, port))

    def follow(self, app: App, load: Any, adopt: Any) -> Followed[Any]:
        """What stands in for the app's own reloader."""
        self._app = app
        first = (self._handed.data, self._handed.generation)
        self._followed = Followed(self._handed.source, first, load, adopt, self._reload, time.time)
        return self._followed

    def open(self) -> None:
        """The app serves: tell it, and listen to the supervisor from now on."""
        handlers = {"adopt": self._adopt, "outcome": self._outcome, "do": self._do}
        self.tie.open(handlers, self._lost)
        self.tie.tell("ready")

    async def everyone(self, **say: Any) -> Mapping[str, Any]:
        """Have all other workers do something; their answers by seat."""
        try:
            return dict((await self.tie.ask("everyone", say={"do": "do", **say}))["answers"])
        except ClosedError:
            return {}

    # What the supervisor says

    async def _reload(self, reason: Reason) -> Outcome:
        said = (await self.tie.ask("reload", reason=reason))["outcome"]
        return Outcome(
            **{**said, "errors": tuple(said["errors"]), "changes": tuple(said["changes"])}
        )
