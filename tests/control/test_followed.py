"""A worker's config: what it is handed it adopts, whoever asks it to reload is sent on."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from meshproxy.control.followed import Followed
from meshproxy.control.reload import Outcome, Reason
from meshproxy.core.route import Snapshot
from meshproxy.settings.errors import ConfigError, Problem


@dataclass
class Built:
    snapshot: Snapshot


@dataclass
class Worker:
    adopted: list[int] = field(default_factory=list)
    asked: list[Reason] = field(default_factory=list)

    def followed(self, first: bytes = b"one") -> Followed[Built]:
        return Followed("a.yaml", (first, 3), self.load, self.adopt, self.ask, lambda: 1000.0)

    def load(self, data: bytes, generation: int) -> Built:
        if data == b"bad":
            raise ConfigError("a.yaml", [Problem(1, 1, ("inbound",), "no such thing")])
        return Built(Snapshot(generation, data.decode(), {}, (), {}))

    async def adopt(self, built: Built) -> None:
        self.adopted.append(built.snapshot.generation)

    async def ask(self, reason: Reason) -> Outcome:
        self.asked.append(reason)
        return Outcome(True, reason, 9, "nine")


def told(ok: bool, *errors: str) -> dict[str, Any]:
    return {**asdict(Outcome(ok, "file", 4, "four", errors)), "at": 2000.0}


def test_it_begins_with_what_it_was_handed() -> None:
    worker = Worker()
    followed = worker.followed()
    asyncio.run(followed.begin())
    assert (worker.adopted, followed.standing.generation, followed.standing.digest) == (
        [3], 3, "one",
    )  # fmt: skip
    assert (followed.standing.ok, followed.standing.succeeded_at) == (True, 1000.0)


def test_what_cannot_be_begun_with_is_raised() -> None:
    with pytest.raises(ConfigError):
        asyncio.run(Worker().followed(b"bad").begin())


def test_it_follows_and_says_what_went_wrong() -> None:
    worker = Worker()
    followed = worker.followed()

    async def steps() -> list[str]:
        await followed.begin()
        return [await followed.follow(b"two", 4), await followed.follow(b"bad", 5)]

    well, badly = asyncio.run(steps())
    assert well == ""
    assert "no such thing" in badly
    assert (worker.adopted, followed.standing.generation) == ([3, 4], 4)


def test_how_the_latest_reload_went_is_dated_as_the_supervisor_dates_it() -> None:
    followed = Worker().followed()
    asyncio.run(followed.begin())
    followed.heard(told(False, "line 3"))
    standing = followed.standing
    assert (standing.ok, standing.errors, standing.at) == (False, ("line 3",), 2000.0)
    assert standing.succeeded_at == 1000.0
    followed.heard(told(True))
    assert (standing.ok, standing.errors, standing.succeeded_at) == (True, (), 2000.0)


def test_a_reload_is_the_supervisor_s_to_make() -> None:
    worker = Worker()
    outcome = asyncio.run(worker.followed().reload("admin"))
    assert (worker.asked, outcome.generation) == (["admin"], 9)
