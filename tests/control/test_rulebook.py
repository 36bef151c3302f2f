"""The config of several workers, in the hands of who looks after them: real files and sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshproxy.control.rulebook import MOST_ORDERS, PURGE, Rulebook, counted, processors
from meshproxy.control.watch import Watch
from meshproxy.dataplane.listener import bind
from meshproxy.settings.errors import ConfigError
from tests.e2e.harness.ports import free_port, is_free

CONFIG = """
version: 1
workers: 2
metrics: {{listen: 127.0.0.1:{metrics}}}
admin: {{listen: 127.0.0.1:{admin}}}
inbound: {{listen: 127.0.0.1:{inbound}, app: http://127.0.0.1:1}}
"""


class Desk:
    """A rulebook over a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "meshproxy.yaml"
        self.ports = {name: free_port() for name in ("metrics", "admin", "inbound")}
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.bugs: list[Exception] = []
        self.write()
        self.book = Rulebook(Watch(self.file), bind, self.tell, lambda: 1000.0, self.bugs.append)

    def tell(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))

    def write(self, **ports: int) -> None:
        self.ports |= ports
        self.file.write_text(CONFIG.format(**self.ports))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.book.close()


def test_it_begins_by_binding_all_that_the_file_names(desk: Desk) -> None:
    desk.book.begin()
    handed = desk.book.hand_over()
    assert {port for _, port in handed.sockets} == set(desk.ports.values())
    assert (handed.generation, handed.outcome, desk.book.workers) == (1, {}, 2)
    assert not is_free(desk.ports["inbound"])


def test_what_it_cannot_begin_with_is_raised(desk: Desk) -> None:
    desk.file.write_text("version: 2")
    with pytest.raises(ConfigError):
        desk.book.begin()


def test_a_moved_address_is_bound_and_the_old_one_held_until_all_have_let_go(desk: Desk) -> None:
    desk.book.begin()
    old, new = desk.ports["inbound"], free_port()
    desk.write(inbound=new)
    fresh, outcome = desk.book.renew("admin")
    assert fresh is not None
    assert [port for _, port in fresh] == [new]
    assert (outcome.ok, outcome.generation, len(outcome.changes)) == (True, 2, 1)
    message, files = desk.book.handed()
    assert len(message["places"]) == len(files) == 4
    assert message["outcome"]["at"] == 1000.0
    assert not is_free(old)
    desk.book.let_go()
    assert is_free(old)


def test_f12_a_port_that_is_taken_changes_nothing(desk: Desk) -> None:
    desk.book.begin()
    other = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        desk.write(admin=other, inbound=taken.getsockname()[1])
        fresh, outcome = desk.book.renew("file")
    assert (fresh, outcome.ok, outcome.generation) == (None, False, 1)
    assert "inbound.listen: cannot listen on" in outcome.errors[0]
    assert is_free(other), "what was bound on the way is closed again"
    assert len(desk.book.hand_over().sockets) == 3


def test_f12_a_bad_file_changes_nothing_and_a_new_worker_knows_of_it(desk: Desk) -> None:
    desk.book.begin()
    before = desk.book.hand_over().data
    desk.file.write_text("inbound: {listen: [")
    fresh, outcome = desk.book.renew("signal")
    handed = desk.book.hand_over()
    assert (fresh, outcome.ok, handed.data, handed.generation) == (None, False, before, 1)
    assert handed.outcome["errors"] == outcome.errors
    assert [event for event, _ in desk.told] == ["config_rejected"]


def test_a_bug_in_loading_changes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.book.begin()
    monkeypatch.setattr("meshproxy.control.rulebook.validate", lambda *_: {}["oops"])
    fresh, outcome = desk.book.renew("file")
    assert (fresh, outcome.ok, len(desk.bugs)) == (None, False, 1)
    assert desk.book.hand_over().generation == 1


def test_the_same_content_is_no_new_generation(desk: Desk) -> None:
    desk.book.begin()
    fresh, outcome = desk.book.renew("admin")
    assert (fresh, outcome.ok, outcome.generation, outcome.changes) == (None, True, 1, ())


def test_an_edit_is_seen_when_it_has_come_to_rest(desk: Desk) -> None:
    desk.book.begin()
    desk.write(inbound=free_port())
    looks = [desk.book.changed(number / 2) for number in range(1, 5)]
    assert looks.count(True) == 1


def test_a_file_that_vanished_is_told_of_once(desk: Desk) -> None:
    desk.book.begin()
    desk.file.unlink()
    assert not any(desk.book.changed(number / 2) for number in range(1, 9))
    assert [event for event, _ in desk.told] == ["config_rejected"]


def test_orders_are_kept_for_who_starts_later_until_the_file_has_the_word_again(
    desk: Desk,
) -> None:
    desk.book.begin()
    for force in ("open", "auto", "open"):
        desk.book.ordered("breakers", {"upstream": "a", "force": force})
    desk.book.ordered(PURGE, {})
    said = [one["words"]["force"] for one in desk.book.hand_over().orders]
    assert said == ["auto", "open"], "the latest word comes last"
    for number in range(2 * MOST_ORDERS):
        desk.book.ordered("logging", {"level": str(number)})
    assert len(desk.book.hand_over().orders) == MOST_ORDERS
    desk.file.write_text("bad")
    desk.book.renew("file")
    assert desk.book.hand_over().orders
    desk.write(inbound=free_port())
    desk.book.renew("file")
    assert not desk.book.hand_over().orders


def test_auto_is_what_the_machine_gives(tmp_path: Path) -> None:
    cpus = len(os.sched_getaffinity(0))
    quota = tmp_path / "cpu.max"
    assert processors(quota) == cpus
    for said, count in (("max 100000", cpus), ("50000 100000", 1), ("150000 100000", min(2, cpus))):
        quota.write_text(said)
        assert processors(quota) == count
    assert counted(5) == 5
    assert 1 <= counted("auto") <= 32
