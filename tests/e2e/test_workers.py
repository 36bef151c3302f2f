"""Several workers behind one address: seen as one sidecar, whatever becomes of one of them.

The numbers in the names are those of the fault catalog. Every request of the fault tests carries
an id and is accounted for (tests/chaos/checker.py). The long versions, with fifty and a hundred
repetitions, are `make fire`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from .callers import calling, deliveries, echo
from .crews import Crew, slow, state_of
from .harness import Client, Message, Origin, answering, eventually, fetch, reply
from .harness.ports import is_free
from .harness.sidecar import run

CONFIG = """
workers: 2
inbound:
  listen: <inbound>
  app: http://<app>
  concurrency: off
  routes:
    - {name: few, match: GET /few, rate_limits: [{name: few, limit: 2/h, burst: 2}]}
    - {name: many, match: GET /many, rate_limits: [{name: many, limit: 200/h, burst: 200}]}
    - {name: kept, match: GET /kept, cache: {ttl: 1h}}
outbound:
  listen: <outbound>
  services:
    users: {endpoints: [<app>], retry: off, circuit_breaker: {consecutive_failures: 5}}
    gone: {endpoints: [<gone>], retry: off, circuit_breaker: {consecutive_failures: 5}}
shutdown: {drain: 2s}
"""
NOTICED, REPLACED, BACK = 1.0, 5.0, 1.0
"""Seconds that are promised."""


@pytest.fixture(scope="module")
def sidecar(app: Origin) -> Iterator[Crew]:
    with Crew.running(CONFIG, app=app.address) as running:
        running.wait_workers(2)
        yield running


@pytest.fixture
def fresh(app: Origin) -> Iterator[Crew]:
    """One for a test that changes it."""
    app.forget(answering(echo))
    with Crew.running(CONFIG, app=app.address) as running:
        running.wait_workers(2)
        yield running
    app.forget()


@contextmanager
def crowd(sidecar: Crew, count: int = 60) -> Iterator[list[Client]]:
    """So many connections that each have had an answer: enough that each worker has some."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(sidecar.inbound)) for _ in range(count)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for client in clients:
            assert client.response().status == 200
        yield clients


@contextmanager
def on_both(sidecar: Crew, count: int = 60) -> Iterator[list[Client]]:
    """The same, once both workers hold some of them."""
    for _ in range(20):
        with crowd(sidecar, count) as clients:
            if all(sidecar.served_by().values()):
                yield clients
                return
    raise AssertionError("one worker took all connections, twenty times in a row")


def ask(sidecar: Crew, path: str, method: str = "GET") -> Message:
    return fetch(sidecar.admin, path, method, {"Host": "localhost"})


def each(look: Callable[[], Any], times: int = 12) -> list[Any]:
    """The same question often enough that every worker answers it."""
    return [look() for _ in range(times)]


# One sidecar, whoever answers


def test_both_workers_serve_and_the_counts_are_one(sidecar: Crew, origin: Origin) -> None:
    before = sidecar.total("meshproxy_requests_total", direction="inbound")
    with on_both(sidecar) as clients:
        shown = each(lambda: sidecar.total("meshproxy_downstream_connections", direction="inbound"))
        assert set(shown) == {float(len(clients))}
    seen = len(origin.requests)
    counts = each(lambda: sidecar.total("meshproxy_requests_total", direction="inbound") - before)
    assert set(counts) == {float(seen)}


def test_the_admin_pages_are_the_same_whoever_answers(sidecar: Crew) -> None:
    with on_both(sidecar):
        stats: list[Any] = each(lambda: sidecar.admin_json("/stats"))
        assert len({one["connections"]["inbound"] for one in stats}) == 1, stats
        for path in ("/info", "/clusters", "/rate-limits", "/breakers"):
            # Idle connections to the app end of themselves, so not at the first look perhaps.
            eventually(lambda path=path: _agree(sidecar, path), what=path)  # type: ignore[misc]


def _agree(sidecar: Crew, path: str) -> bool:
    found = each(lambda: ask(sidecar, path).body)
    return len(set(map(_without_ages, found))) == 1


def _without_ages(body: bytes) -> str:
    """What of a page does not move by itself."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items() if not _moves(key)}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return json.dumps(plain(json.loads(body)))


def _moves(key: str) -> bool:
    return any(word in key for word in ("seconds", "_at", "ewma", "latency", "last_10s", "since"))


def test_f45_a_limit_is_one_limit(fresh: Crew) -> None:
    def many() -> int:
        return sum(fetch(fresh.inbound, "/many").status == 200 for _ in range(40))

    admitted: list[int] = []
    threads = [threading.Thread(target=lambda: admitted.append(many())) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 200 <= sum(admitted) <= 210, "5 % more at most"
    shown = each(lambda: ask(fresh, "/rate-limits").body)
    assert len(set(map(_without_ages, shown))) == 1


def test_a_breaker_that_opens_in_one_is_open_in_all(fresh: Crew) -> None:
    def refused() -> bool:
        answer = fetch(fresh.outbound, headers={"Host": "gone"})
        return answer.get("x-meshproxy-reason") == "UO"

    eventually(refused, what="the breaker of one of them")
    time.sleep(0.1)  # what is promised; that it takes less is measured by loadtests.fire
    answers = each(lambda: fetch(fresh.outbound, headers={"Host": "gone"}), 30)
    assert {one.get("x-meshproxy-reason") for one in answers} == {"UO"}
    assert set(each(lambda: fresh.total("meshproxy_breaker_state", upstream="gone"))) == {1.0}


def test_orders_hold_in_all_workers_and_in_those_that_start_later(fresh: Crew, app: Origin) -> None:
    path = f"/breakers?upstream=users&endpoint={app.address}&force="
    assert ask(fresh, f"{path}open", "POST").status == 200
    assert ask(fresh, "/rate-limits?name=few&mode=off", "POST").status in (200, 422)
    statuses = each(lambda: fetch(fresh.outbound, headers={"Host": "users"}).status, 20)
    assert set(statuses) == {503}
    for pid in fresh.pids():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(fresh.events("worker_ready")) == 4, what="two new workers")
    statuses = each(lambda: fetch(fresh.outbound, headers={"Host": "users"}).status, 20)
    assert set(statuses) == {503}
    assert ask(fresh, f"{path}auto", "POST").status == 200
    # One of them probes first.
    eventually(
        lambda: set(each(lambda: fetch(fresh.outbound, headers={"Host": "users"}).status)) == {200}
    )


def test_a_purge_is_for_all(fresh: Crew, app: Origin) -> None:
    def asked() -> int:
        each(lambda: fetch(fresh.inbound, "/kept"), 20)
        return sum(message.target == "/kept" for message in app.requests)

    first = asked()
    assert 1 <= first <= 2
    assert asked() == first
    assert ask(fresh, "/cache/purge", "POST").status == 200
    assert asked() == 2 * first


def test_the_tap_hears_all_workers(sidecar: Crew, origin: Origin) -> None:
    with socket.create_connection(sidecar.admin) as listener:
        listener.sendall(b"GET /tap HTTP/1.1\r\nHost: localhost\r\n\r\n")
        listener.settimeout(10.0)
        heard = b""
        while b"\r\n\r\n" not in heard:
            heard += listener.recv(65536)
        with on_both(sidecar) as clients:
            for number, client in enumerate(clients):
                assert client.ask("GET", f"/tapped-{number}").status == 200
            wanted = {b'/tapped-%d"' % number for number in range(len(clients))}
            while not all(one in heard for one in wanted):
                heard += listener.recv(65536)
    assert all(heard.count(one) == 1 for one in wanted)


def test_the_live_stream_tells_of_all_workers(sidecar: Crew, origin: Origin) -> None:
    with on_both(sidecar) as clients, socket.create_connection(sidecar.admin) as listener:
        listener.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        listener.settimeout(10.0)
        heard = b""
        wanted = b'"connections":{"inbound":%d,' % len(clients)
        while wanted not in heard and heard.count(b"\nid:") + heard.count(b"data:") < 20:
            heard += listener.recv(65536)
        assert wanted in heard


# The config


def test_reloads_reach_all_workers_and_bad_ones_none(fresh: Crew) -> None:
    renamed = CONFIG.replace("name: kept, match: GET /kept", "name: NEW, match: GET /kept")

    def generations() -> set[str]:
        answers: list[Any] = each(lambda: json.loads(fresh.probe("/readyz").body))
        return {one["checks"]["config"]["detail"].partition(",")[0] for one in answers}

    fresh.write(renamed.replace("NEW", "by-file"))
    eventually(lambda: generations() == {"generation 2"}, what="the file")
    fresh.write(renamed.replace("NEW", "by-signal"))
    fresh.signal(signal.SIGHUP)
    eventually(lambda: generations() == {"generation 3"}, what="the signal")
    fresh.write(renamed.replace("NEW", "by-order"))
    answer: Any = json.loads(fresh.reload().body)
    assert (answer["ok"], answer["generation"]) == (True, 4)
    assert generations() == {"generation 4"}
    with on_both(fresh) as clients:
        for client in clients:
            client.ask("GET", "/kept")
    assert fresh.total("meshproxy_requests_total", route="by-order") == len(clients)


@pytest.mark.parametrize(
    "bad", ["inbound: {listen: [", CONFIG + "\ninbuond: {}\n", CONFIG.replace("200/h", "200"), ""]
)
def test_f12_a_bad_file_leaves_all_workers_as_they_were(sidecar: Crew, bad: str) -> None:
    generation = sidecar.total("meshproxy_config_generation")
    sidecar.write(bad)
    refusal: Any = json.loads(sidecar.reload().body)
    assert not refusal["ok"]
    assert refusal["errors"]
    details: list[Any] = each(lambda: json.loads(sidecar.probe("/readyz").body))
    assert {one["status"] for one in details} == {"ok"}
    assert all("the last reload failed" in one["checks"]["config"]["detail"] for one in details)
    assert set(each(lambda: sidecar.total("meshproxy_config_last_reload_successful"))) == {0.0}
    assert set(each(lambda: sidecar.total("meshproxy_config_generation"))) == {generation}
    assert {one.status for one in each(lambda: fetch(sidecar.inbound))} == {200}
    sidecar.write(CONFIG)
    assert json.loads(sidecar.reload().body)["ok"]
    assert set(each(lambda: sidecar.total("meshproxy_config_last_reload_successful"))) == {1.0}


def test_f12_a_file_that_is_gone_is_told_by_all_workers(fresh: Crew) -> None:
    def told() -> set[str]:
        return set(
            each(lambda: json.loads(fresh.probe("/readyz").body)["checks"]["config"]["detail"])
        )

    text, (before,) = fresh.file.read_text(), told()
    fresh.file.unlink()
    (after,) = eventually(lambda: len(told()) == 1 and told() - {before}, 5.0, "a word of it")
    assert after.startswith(before)
    assert "the last reload failed" in after
    assert "No such file" in after
    assert {one.status for one in each(lambda: fetch(fresh.inbound))} == {200}
    fresh.file.write_text(text)
    eventually(lambda: told() == {before}, 5.0, "the file is back")


def test_f12_a_port_that_is_taken_leaves_all_workers_as_they_were(fresh: Crew) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fresh.write(CONFIG.replace("listen: <inbound>", f"listen: 127.0.0.1:{port}"))
        refusal: Any = json.loads(fresh.reload().body)
    assert not refusal["ok"]
    assert "inbound.listen" in refusal["errors"][0]
    assert {one.status for one in each(lambda: fetch(fresh.inbound))} == {200}


def test_a_reload_reaches_a_worker_that_is_just_being_replaced(fresh: Crew) -> None:
    for number in range(3):
        os.kill(fresh.pids()[number % 2], signal.SIGKILL)
        fresh.write(CONFIG.replace("name: kept", f"name: kept-{number}"))
        answer: Any = json.loads(fresh.reload().body)
        assert (answer["ok"], answer["generation"]) == (True, 2 + number)
        fresh.wait_workers(2)
        details: list[Any] = each(lambda: json.loads(fresh.probe("/readyz").body))
        told = {one["checks"]["config"]["detail"].partition(",")[0] for one in details}
        assert told == {f"generation {2 + number}"}


def test_a_reload_is_not_held_up_for_ever_by_a_stopped_worker(fresh: Crew) -> None:
    victim, _ = fresh.pids()
    os.kill(victim, signal.SIGSTOP)
    fresh.write(CONFIG.replace("listen: <inbound>", "listen: <moved>"))
    # Asked of the file, as the question itself could be one that the stopped one has accepted.
    eventually(lambda: fresh.events("config_reloaded"), what="the reload")
    eventually(lambda: len(fresh.events("worker_ready")) == 3, REPLACED, "the replacement")
    assert {one.status for one in each(lambda: fetch(fresh.where("moved")))} == {200}
    with pytest.raises(ConnectionRefusedError):
        Client(fresh.inbound).close()


def test_a_new_worker_knows_how_the_latest_reload_went(fresh: Crew) -> None:
    fresh.write("inbound: {listen: [")
    eventually(lambda: fresh.events("config_rejected"), what="the refusal")
    for pid in fresh.pids():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(fresh.events("worker_ready")) == 4, what="two new workers")
    assert set(each(lambda: fresh.total("meshproxy_config_last_reload_successful"))) == {0.0}
    assert {one.status for one in each(lambda: fetch(fresh.inbound))} == {200}


def test_an_address_moves_and_comes_back(fresh: Crew) -> None:
    old = fresh.inbound
    for place in ("<moved>", "<inbound>", "<moved>"):
        fresh.write(CONFIG.replace("listen: <inbound>", f"listen: {place}"))
        assert json.loads(fresh.reload().body)["ok"]
        here, gone = fresh.where("moved"), old
        if place == "<inbound>":
            here, gone = gone, here
        assert {one.status for one in each(lambda here=here: fetch(here))} == {200}  # type: ignore[misc]
        with pytest.raises(ConnectionRefusedError):
            Client(gone).close()
    for pid in fresh.pids():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(fresh.events("worker_ready")) == 4, what="two new workers")
    assert {one.status for one in each(lambda: fetch(fresh.where("moved")))} == {200}
    with pytest.raises(ConnectionRefusedError):
        Client(old).close()


def test_the_number_of_workers_changes_while_they_serve(fresh: Crew) -> None:
    with calling(fresh) as callers:
        for count in (3, 1, 2):
            fresh.write(CONFIG.replace("workers: 2", f"workers: {count}"))
            assert json.loads(fresh.reload().body)["ok"]
            fresh.wait_workers(count)
    assert callers.ledger.outcomes() == {"200": len(callers.ledger.sent)}
    assert all(line["code"] == 0 for line in fresh.events("worker_left"))


def test_one_process_says_that_several_need_a_restart(app: Origin) -> None:
    one = CONFIG.replace("workers: 2", "workers: 1")
    with Crew.running(one, app=app.address) as alone:
        assert alone.pids() == []
        alone.write(CONFIG.replace("name: few", "name: fewer"))
        assert json.loads(alone.reload().body)["ok"], "all else is in force"
        (told,) = alone.events("restart_needed")
        assert (told["setting"], told["wanted"], told["running"]) == ("workers", 2, 1)
        detail: str = json.loads(alone.probe("/readyz").body)["checks"]["config"]["detail"]
        assert "workers: 2 needs a restart" in detail
        alone.write(one)
        assert json.loads(alone.reload().body)["ok"]
        assert "restart" not in alone.probe("/readyz").body.decode()
        assert alone.pids() == []


def test_check_knows_workers(tmp_path: Path) -> None:
    file = tmp_path / "meshproxy.yaml"
    for said, code in (("auto", 0), ("4", 0), ("0", 1), ("33", 1), ("many", 1)):
        file.write_text(
            f"version: 1\nworkers: {said}\ninbound: {{listen: 127.0.0.1:1, app: http://a:1}}\n"
        )
        assert run("check", "-c", str(file)).returncode == code, said


# Its end


def test_it_ends_in_good_order(app: Origin) -> None:
    with Crew.running(CONFIG, app=app.address) as one:
        pids = one.wait_workers(2)
        one.signal(signal.SIGTERM)
        assert one.process.wait(5.0) == 0
        assert {state_of(pid) for pid in pids} == {"Z"}
        assert is_free(one.inbound[1])


def test_a_second_signal_ends_at_once(app: Origin) -> None:
    hold = threading.Event()
    app.forget(answering(lambda message: (hold.wait(10.0), reply())[1]))
    with Crew.running(CONFIG.replace("drain: 2s", "drain: 30s"), app=app.address) as one:
        one.wait_workers(2)
        with Client(one.inbound) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: app.requests, what="the request")
            one.signal(signal.SIGTERM)
            eventually(lambda: one.events("draining"), what="the drain")
            assert one.process.poll() is None
            one.signal(signal.SIGTERM)
            assert one.process.wait(3.0) == 2
            hold.set()
    app.forget()


def test_a_drain_by_order_lets_requests_end(app: Origin) -> None:
    app.forget(slow(0.3))
    with Crew.running(CONFIG, app=app.address) as one:
        one.wait_workers(2)
        with Client(one.inbound) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: app.requests, what="the request")
            assert ask(one, "/drain", "POST").status in (200, 202)
            assert client.response().status == 200
        assert one.process.wait(5.0) == 0
    app.forget()


def test_it_ends_while_a_worker_crashes_again_and_again(app: Origin) -> None:
    with Crew.running(CONFIG, app=app.address) as one:
        one.wait_workers(2)
        for number in range(3):
            os.kill(max(one.pids()), signal.SIGKILL)
            eventually(lambda number=number: len(one.events("worker_ended")) > number)  # type: ignore[misc]
            if number < 2:
                eventually(lambda: len(one.pids()) == 2)
        assert one.events("worker_ended")[-1]["again_in_seconds"] > 0
        one.signal(signal.SIGTERM)
        assert one.process.wait(5.0) == 0
        assert is_free(one.inbound[1])


# Faults


def test_f16_a_killed_worker_costs_only_what_it_was_doing(fresh: Crew, app: Origin) -> None:
    rounds, count = 4, 6
    with calling(fresh, count) as callers:
        for number in range(rounds):
            time.sleep(0.3)
            began = time.monotonic()
            os.kill(fresh.pids()[number % 2], signal.SIGKILL)
            eventually(
                lambda number=number: len(fresh.events("worker_ready")) == 3 + number,  # type: ignore[misc]
                BACK, "another worker",
            )  # fmt: skip
            assert time.monotonic() - began < BACK
            time.sleep(2.0 if number % 2 else 0.0)
    ledger = callers.ledger
    failed = [one for one in ledger.sent if not one.ok]
    assert len(failed) <= rounds * count, ledger.outcomes()
    assert {one.error for one in failed} <= {
        "ConnectionResetError", "TruncatedError", "BrokenPipeError",
    }, ledger.outcomes()  # fmt: skip
    assert ledger.verdicts(deliveries(app)) == []
    assert max(one.took for one in ledger.sent) < 2.0
    ended = fresh.events("worker_ended")
    assert [line["signal"] for line in ended] == ["SIGKILL"] * rounds


def test_f16_the_counts_of_a_killed_worker_stay_and_never_go_back(fresh: Crew) -> None:
    with crowd(fresh):
        pass
    total = fresh.total("meshproxy_requests_total", direction="inbound")
    seen: list[float] = []
    for pid in fresh.pids():
        time.sleep(1.1)  # a page is published each second
        os.kill(pid, signal.SIGKILL)
        seen += each(lambda: fresh.total("meshproxy_requests_total", direction="inbound"), 10)
    assert set(seen) == {total}


def test_a_sidecar_is_as_old_as_its_supervisor(fresh: Crew) -> None:
    def age(path: str) -> float:
        return float(fresh.admin_json(path)["uptime_seconds"])

    for pid in fresh.pids():
        before = age("/info")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: pid not in fresh.pids(), what="its end")  # type: ignore[misc]
        now = fresh.wait_workers(2)
        told = each(lambda: fresh.admin_json("/info"), 10)
        assert {one["pid"] for one in told} == {fresh.pid}
        assert {tuple(sorted(one["workers"])) for one in told} == {tuple(sorted(now))}
        assert min(one["uptime_seconds"] for one in told) > before
        assert min(each(lambda: age("/stats"), 10)) > before


def test_f16_one_that_crashes_at_its_start_comes_back_ever_more_slowly(fresh: Crew) -> None:
    def kill_the_new() -> None:
        count = len(fresh.events("worker_ended"))
        os.kill(max(fresh.pids()), signal.SIGKILL)
        eventually(lambda: len(fresh.events("worker_ended")) > count, what="its end")
        eventually(lambda: len(fresh.pids()) == 2, 5.0, "the next")

    for _ in range(4):
        kill_the_new()
    pauses = [line["again_in_seconds"] for line in fresh.events("worker_ended")]
    assert pauses[-1] > pauses[0]
    assert {one.status for one in each(lambda: fetch(fresh.inbound))} == {200}


def test_f16_replacements_leave_nothing_behind_in_the_supervisor(fresh: Crew) -> None:
    files = fresh.open_files()
    for number in range(6):
        os.kill(fresh.pids()[number % 2], signal.SIGTERM)
        eventually(
            lambda number=number: len(fresh.events("worker_ready")) == 3 + number,  # type: ignore[misc]
            5.0, "another worker",
        )  # fmt: skip
    assert fresh.open_files() == files
    children = Path(f"/proc/{fresh.pid}/task/{fresh.pid}/children").read_text().split()
    assert len(children) == 2, "no zombies"


def test_f15_workers_are_replaced_one_by_one_and_nobody_notices(fresh: Crew, app: Origin) -> None:
    with calling(fresh, kept=4, anew=2) as callers:
        for number in range(6):
            time.sleep(0.1)
            os.kill(fresh.pids()[0], signal.SIGTERM)
            eventually(
                lambda number=number: len(fresh.events("worker_ready")) == 3 + number,  # type: ignore[misc]
                5.0, "another worker",
            )  # fmt: skip
    assert callers.ledger.outcomes() == {"200": len(callers.ledger.sent)}
    assert callers.ledger.verdicts(deliveries(app)) == []


def test_f17_a_stopped_worker_is_noticed_and_replaced_and_no_new_client_hangs(
    fresh: Crew,
) -> None:
    victim = fresh.pids()[0]
    began = time.monotonic()
    os.kill(victim, signal.SIGSTOP)
    longest = 0.0
    noticed = 0.0
    while victim in fresh.pids() or len(fresh.pids()) < 2:
        asked = time.monotonic()
        assert fetch(fresh.inbound, timeout=2.0).status == 200
        assert fresh.probe("/readyz").status == 200
        longest = max(longest, time.monotonic() - asked)
        if not noticed and fresh.events("worker_stuck"):
            noticed = time.monotonic() - began
        assert time.monotonic() - began < REPLACED
        time.sleep(0.02)
    fresh.wait_workers(2)
    assert time.monotonic() - began < REPLACED
    assert 0.0 < noticed < NOTICED + 0.1
    assert longest < 1.0
    (told,) = fresh.events("worker_stuck")
    assert told["state"] == "T"
    (told,) = fresh.events("worker_killed")
    assert "in _become\n" in told["stack"]


def test_a_supervisor_that_was_stopped_kills_nobody(fresh: Crew) -> None:
    pids = fresh.pids()
    for pid in (fresh.pid, *pids):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4.5)
    for pid in (fresh.pid, *pids):
        os.kill(pid, signal.SIGCONT)
    assert {one.status for one in each(lambda: fetch(fresh.inbound))} == {200}
    time.sleep(0.5)
    assert fresh.pids() == pids
    assert not fresh.events("worker_killed")


def test_f22_workers_end_in_good_order_when_the_supervisor_is_gone(app: Origin) -> None:
    app.forget(slow(0.5))
    with Crew.running(CONFIG, app=app.address) as one:
        pids = one.wait_workers(2)
        with Client(one.inbound) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: app.requests, what="the request")
            one.process.kill()
            one.process.wait()
            eventually(lambda: len(one.events("draining")) == 2, NOTICED, "the workers' notice")
            assert len(one.events("supervisor_gone")) == 2
            assert client.response().status == 200
        eventually(lambda: {state_of(pid) for pid in pids} == {"Z"}, 5.0, "their end")
        assert is_free(one.inbound[1])
    app.forget()


def test_who_looks_after_idle_workers_takes_no_processor(fresh: Crew) -> None:
    time.sleep(0.5)
    before, began = fresh.cpu_seconds(), time.monotonic()
    time.sleep(3.0)
    share = (fresh.cpu_seconds() - before) / (time.monotonic() - began)
    assert share < 0.01
