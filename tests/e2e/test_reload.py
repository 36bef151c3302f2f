"""A changed file takes effect within a second, a bad one never does, and nobody notices either.

However the file is changed: in place, by rename, by a ConfigMap's symlinks; or asked for by
signal, endpoint or command.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .callers import calling, deliveries, echo
from .harness import Client, Conversation, Origin, Sidecar, answering, eventually, fetch
from .harness.sidecar import run

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  routes:
    - {name: STAMP, match: GET /stamp}
    - {name: few, match: GET /few, rate_limits: [{name: few, limit: LIMIT/h, burst: 5, per: [ip]}]}
"""
INVALID = {
    "not YAML": "inbound: {listen: [",
    "an unknown key": CONFIG + "\ninbuond: {}\n",
    "a wrong type": "inbound: {listen: <inbound>, app: 7}",
    "a number without its unit": "inbound: {listen: <inbound>, app: http://<app>, timeout: 5}",
    "a key that comes twice": CONFIG + "\nversion: 1\n",
    "a variable that is not set": "inbound: {listen: <inbound>, app: http://${NO_SUCH_VARIABLE}}",
    "a bomb": "a: &a [1,1,1]\nb: &b [*a,*a,*a]\ninbound: {listen: <inbound>, app: *b}",
    "nothing at all": "",
}
RELOADS = int(os.environ.get("RELOADS", "200"))
"""RELOADS=1000 for the whole promise."""


def stamped(stamp: str, limit: int = 5) -> str:
    return CONFIG.replace("STAMP", stamp).replace("LIMIT", str(limit))


@pytest.fixture
def fresh(app: Origin) -> Iterator[Sidecar]:
    """A sidecar for one test, since each leaves it changed."""
    app.forget()
    with Sidecar.running(stamped("first"), app=app.address) as running:
        yield running
    app.forget()


def generation(sidecar: Sidecar) -> float:
    return sidecar.total("meshproxy_config_generation")


def applied(sidecar: Sidecar, stamp: str, within: float = 1.0) -> None:
    """The file with that stamp is in force within so many seconds."""

    def seen() -> bool:
        fetch(sidecar.inbound, "/stamp")
        return bool(sidecar.samples("meshproxy_requests_total", route=stamp))

    eventually(seen, within, f"the reload to {stamp}")


def test_an_edit_in_place_is_seen(fresh: Sidecar) -> None:
    for i in range(3):
        fresh.write(stamped(f"edit-{i}"))
        applied(fresh, f"edit-{i}")


def test_a_rename_is_seen(fresh: Sidecar) -> None:
    for i in range(3):
        rename(fresh, stamped(f"rename-{i}"))
        applied(fresh, f"rename-{i}")


def rename(sidecar: Sidecar, config: str) -> None:
    other = sidecar.file.with_suffix(".new")
    other.write_text(sidecar.render(config))
    other.rename(sidecar.file)


def test_a_symlink_swap_is_seen(fresh: Sidecar) -> None:
    mount = fresh.folder / "mount"
    mount.mkdir()
    swap(fresh, mount, "v0")
    (mount / "meshproxy.yaml").symlink_to("..data/meshproxy.yaml")
    fresh.file.unlink()
    fresh.file.symlink_to(mount / "meshproxy.yaml")
    applied(fresh, "v0")
    for i in range(1, 4):
        swap(fresh, mount, f"v{i}")
        applied(fresh, f"v{i}")


def swap(sidecar: Sidecar, mount: Path, version: str) -> None:
    """What the kubelet does: a new folder, a new link to it, renamed over ..data."""
    (mount / f"..{version}").mkdir()
    (mount / f"..{version}" / "meshproxy.yaml").write_text(sidecar.render(stamped(version)))
    (mount / "..data_tmp").symlink_to(f"..{version}")
    (mount / "..data_tmp").rename(mount / "..data")


def test_a_file_that_vanishes_changes_nothing(fresh: Sidecar) -> None:
    fresh.file.unlink()
    answer = fresh.reload()
    assert answer.status >= 400
    assert fetch(fresh.inbound, "/stamp").status == 200
    fresh.write(stamped("back"))
    applied(fresh, "back")


def test_a_signal_reloads(fresh: Sidecar) -> None:
    before = generation(fresh)
    fresh.write(stamped("signalled"))
    fresh.signal(signal.SIGHUP)
    eventually(lambda: generation(fresh) > before, 1.0)
    applied(fresh, "signalled")


def test_the_admin_port_reloads_and_answers(fresh: Sidecar) -> None:
    fresh.write(stamped("asked"))
    answer = fresh.reload()
    assert answer.status == 200
    assert json.loads(answer.body)
    fetch(fresh.inbound, "/stamp")
    assert fresh.samples("meshproxy_requests_total", route="asked") == [1.0]


def test_the_command_reloads(fresh: Sidecar) -> None:
    fresh.write(stamped("commanded"))
    done = run("reload", "-c", str(fresh.file))
    assert done.returncode == 0, done.stdout + done.stderr
    fetch(fresh.inbound, "/stamp")
    assert fresh.samples("meshproxy_requests_total", route="commanded") == [1.0]
    fresh.write(INVALID["a wrong type"])
    done = run("reload", "-c", str(fresh.file))
    assert done.returncode == 1
    assert "inbound.app" in done.stdout + done.stderr


@pytest.mark.parametrize("kind", INVALID)
def test_a_bad_file_leaves_the_old_one_in_force(fresh: Sidecar, kind: str) -> None:
    before = generation(fresh)
    spoil(fresh, INVALID[kind])
    answer = fresh.reload()
    assert 400 <= answer.status < 500
    assert "meshproxy.yaml" in answer.body.decode()
    assert fetch(fresh.inbound, "/stamp").status == 200
    assert fresh.total("meshproxy_config_last_reload_successful") == 0
    assert generation(fresh) == before
    ready = fresh.probe("/readyz")
    assert ready.status == 200, "a bad file must not take the pod out of service"
    assert "meshproxy.yaml" in ready.body.decode()
    assert any(line.get("level") in ("error", "warning") for line in fresh.log_lines())
    fresh.write(stamped("good-again"))
    applied(fresh, "good-again")
    assert fresh.total("meshproxy_config_last_reload_successful") == 1


def spoil(sidecar: Sidecar, config: str) -> None:
    """Write the bad config; where it says nothing, a file that says nothing."""
    sidecar.write(config) if config else sidecar.file.write_text("")


def test_a_reload_does_not_refill_the_tokens(fresh: Sidecar) -> None:
    def admitted(count: int) -> int:
        return sum(fetch(fresh.inbound, "/few").status == 200 for _ in range(count))

    assert admitted(3) == 3
    fresh.write(stamped("refill", limit=6))
    assert fresh.reload().status == 200
    assert admitted(5) == 2
    fresh.write(INVALID["a wrong type"])
    assert fresh.reload().status >= 400
    assert admitted(5) == 0


def test_connections_survive(fresh: Sidecar, app: Origin) -> None:
    with Client(fresh.inbound) as client:
        client.ask("GET", "/stamp")
        for i in range(5):
            fresh.write(stamped(f"kept-{i}"))
            assert fresh.reload().status == 200
            assert client.ask("GET", "/stamp").status == 200
            assert fresh.total("meshproxy_requests_total", route=f"kept-{i}") == 1
    assert len(app.conversations) == 1, "the pool did not survive"


def test_f14_requests_in_flight_end_on_the_old_file(fresh: Sidecar, app: Origin) -> None:
    release = threading.Event()

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"a" * 100_000)
            assert release.wait(20)
            peer.send(b"b" * 100_000)

    app.script = script
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(fresh.inbound)) for _ in range(100)]
        for client in clients:
            client.send(b"GET /stamp HTTP/1.1\r\nHost: a\r\n\r\n")
        app.saw(100)
        fresh.write("inbound: {listen: <inbound>, app: http://<elsewhere>}")
        assert fresh.reload().status == 200
        assert fetch(fresh.inbound, "/stamp").status == 503, "a new one, on the new file"
        release.set()
        whole = b"a" * 100_000 + b"b" * 100_000
        assert all(client.response().body == whole for client in clients)
        assert {client.ask("GET", "/stamp").status for client in clients} == {503}


def test_f13_a_file_that_is_half_written_is_never_in_force(fresh: Sidecar) -> None:
    """A half that would parse is told from a whole by its rest: see the tests of Watch."""
    for i in range(200):
        whole = fresh.render(stamped(f"write-{i}"))
        fresh.file.write_text(whole[: whole.index("{name: few") + 1 + i % 40])
        assert fetch(fresh.inbound, "/stamp").status == 200
        fresh.file.write_text(whole)
    applied(fresh, "write-199", within=5.0)
    assert fresh.samples("meshproxy_requests_total", direction="inbound", route="default") == []
    assert fresh.total("meshproxy_config_last_reload_successful") == 1


def test_a_changed_address_is_bound_anew(fresh: Sidecar) -> None:
    old = fresh.inbound
    fresh.write(stamped("moved").replace("<inbound>", "<moved>"))
    assert fresh.reload().status == 200
    assert fetch(fresh.where("moved"), "/stamp").status == 200
    with pytest.raises(ConnectionRefusedError):
        Client(old)


def test_an_address_that_is_taken_is_a_bad_file(fresh: Sidecar, app: Origin) -> None:
    fresh.write(stamped("taken").replace("<inbound>", "<app>"))
    assert fresh.reload().status >= 400
    assert fetch(fresh.inbound, "/stamp").status == 200


def test_a_wider_address_on_a_port_that_is_held_says_so(fresh: Sidecar) -> None:
    fresh.write(stamped("wide").replace("<inbound>", f"0.0.0.0:{fresh.inbound[1]}"))
    answer = fresh.reload()
    assert answer.status >= 400
    assert b"in use" in answer.body
    assert fetch(fresh.inbound, "/stamp").status == 200


def test_a_new_direction_starts_listening(fresh: Sidecar) -> None:
    more = "outbound: {listen: <outbound>, services: {me: {endpoints: [<app>]}}}"
    fresh.write(stamped("both") + more)
    assert fresh.reload().status == 200
    assert fetch(fresh.outbound, headers={"Host": "me"}).status == 200
    fresh.write(stamped("one"))
    assert fresh.reload().status == 200
    with pytest.raises(ConnectionRefusedError):
        Client(fresh.outbound)


@pytest.mark.slow
def test_f11_reloads_under_load_lose_nothing_and_close_nothing(fresh: Sidecar, app: Origin) -> None:
    app.forget(answering(echo))
    with calling(fresh, kept=4, anew=4) as callers:
        ledger = callers.ledger
        i = 0
        while i < RELOADS or len(ledger.sent) <= 500:  # however slow the callers are here
            bad = list(INVALID.values())[i // 2 % len(INVALID)]
            spoil(fresh, bad if i % 2 else stamped(f"load-{i}", limit=5 + i % 7))
            assert (fresh.reload().status == 200) is (i % 2 == 0)
            i += 1
        assert callers.closed == 0
    assert ledger.outcomes() == {"200": len(ledger.sent)}
    assert ledger.verdicts(deliveries(app)) == []
    assert len(ledger.sent) > 500


def test_a_bad_file_at_the_start_ends_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("version: 1\ninbound:\n  lsten: 127.0.0.1:1\n")
    done = run("run", "-c", str(file))
    assert done.returncode == 1
    assert "bad.yaml:3:" in done.stdout + done.stderr
    assert "listen" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
