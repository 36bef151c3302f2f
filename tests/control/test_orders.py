"""What an operator orders is carried out, or refused in a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from meshproxy.control.orders import ORDERS, obey
from meshproxy.control.steer import WrongOrderError
from tests.control.ports import Stage


@dataclass
class Cache:
    """A piece of state that can be purged."""

    asked: list[tuple[str, str]] = field(default_factory=list)

    def purge(self, route: str, prefix: str, now: float) -> int:
        assert now == 50.0
        self.asked.append((route, prefix))
        return 3


def test_the_level_of_the_log() -> None:
    stage = Stage()
    assert obey(stage, "logging", {"level": "Debug"}) == {"level": "debug"}
    assert stage.level == "debug"
    with pytest.raises(WrongOrderError, match="one of debug, info"):
        obey(stage, "logging", {"level": "loud"})


def test_all_caches_are_purged_and_counted_together() -> None:
    caches: list[Any] = [Cache(), Cache()]
    stage = Stage(state=[*caches, object()])
    assert obey(stage, "cache/purge", {"prefix": "/a"}) == {"purged": 6}
    assert [one.asked for one in caches] == [[("", "/a")]] * 2
    with pytest.raises(WrongOrderError, match="prefix=/PATH"):
        obey(stage, "cache/purge", {"prefx": "/a"})
    assert len(caches[0].asked) == 1, "a word that is read wrongly purges nothing"


def test_callers_are_sent_elsewhere() -> None:
    stage = Stage()
    with pytest.raises(WrongOrderError, match="no words"):
        obey(stage, "drain/inbound", {"now": "1"})
    assert not stage.draining
    assert obey(stage, "drain/inbound", {}) == {"draining": "inbound"}
    assert stage.draining


ELSE = ("logging", "cache/purge", "drain/inbound")


@pytest.mark.parametrize("order", [one for one in ORDERS if one not in ELSE])
def test_what_is_not_there_cannot_be_held(order: str) -> None:
    with pytest.raises(WrongOrderError, match="is in force"):
        obey(Stage(), order, {})
