"""How a sidecar ends: callers first, the app's own calls last, and never later than it may."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import upgrading
from .crews import workers_of
from .harness import (
    Client,
    Conversation,
    Origin,
    Sidecar,
    answering,
    closed_port,
    eventually,
    fetch,
    lasting,
    reply,
)
from .harness.client import request
from .harness.sidecar import environment, run

CONFIG = """
workers: {workers}
inbound: {{listen: <inbound>, app: <app>}}
outbound: {{listen: <outbound>, services: {{other: {{endpoints: [<other>]}}}}}}
shutdown: {{drain: {drain}}}
"""

BOTH = pytest.mark.parametrize("workers", [1, 2])


def config(workers: int = 1, drain: str = "4s") -> str:
    return CONFIG.format(workers=workers, drain=drain)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin.running(answering(reply(body=b"fine"))) as running:
        yield running


@BOTH
def test_readiness_ends_at_once_and_callers_are_welcome_for_a_moment(
    origin: Origin, workers: int
) -> None:
    given = {"app": origin.address, "other": origin.address}
    with Sidecar.running(config(workers), **given) as sidecar, Client(sidecar.inbound) as idle:
        assert idle.ask("GET", "/", {"Host": "x"}).get("connection") is None
        sidecar.signal(signal.SIGTERM)
        eventually(lambda: sidecar.probe("/readyz").status == 503, 0.7, "unready")
        assert sidecar.probe("/livez").status == 200
        answer = fetch(sidecar.inbound, "/")
        assert (answer.status, answer.get("connection")) == (200, "close")
        answer = idle.ask("GET", "/", {"Host": "x"})
        assert (answer.status, answer.get("connection")) == (200, "close")


@BOTH
def test_the_app_calls_out_until_it_is_gone(workers: int) -> None:
    with (
        Origin.running(answering(reply(body=b"other"))) as other,
        Origin.running(answering(reply(body=b"fine"))) as app,
        Sidecar.running(config(workers, "20s"), app=app.address, other=other.address) as sidecar,
        Client(sidecar.outbound) as kept,
        Client(sidecar.inbound) as idle,
    ):
        ask = ("GET", "http://other/", {"Host": "other"})
        assert kept.ask(*ask).status == 200
        sidecar.signal(signal.SIGTERM)
        # The window's end: idle callers are closed, the app's connections are not.
        assert idle.closed_by_peer()
        eventually(lambda: refuses(sidecar.inbound), 2.0, "refusal")
        answer = kept.ask(*ask)
        assert (answer.status, answer.get("connection")) == (200, None)
        app.stop()
        assert sidecar.process.wait(3.0) == 0


def refuses(address: tuple[str, int]) -> bool:
    try:
        with Client(address, 1.0):
            return False
    except ConnectionRefusedError:
        return True


@BOTH
def test_f19_bodies_under_way_arrive_whole(origin: Origin, workers: int) -> None:
    given = {"app": origin.address, "other": origin.address}
    with Sidecar.running(config(workers), **given) as sidecar:
        clients = [Client(sidecar.inbound) for _ in range(50)]
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 16384\r\n\r\n"
        for client in clients:
            client.send(head + b"a" * 8000)
        sidecar.signal(signal.SIGTERM)
        eventually(lambda: sidecar.probe("/readyz").status == 503, 0.9, "unready")
        for client in clients:
            client.send(b"b" * 8384)
        assert [client.response().status for client in clients] == [200] * 50
        for client in clients:
            client.close()
        sizes = [len(one.body) for one in origin.requests]
        origin.stop()
        assert sidecar.process.wait(5.0) == 0
    assert sizes == [16384] * 50


@BOTH
def test_f20_an_endless_answer_is_cut_at_the_end(workers: int) -> None:
    """As a WebSocket is: what does not end by itself ends with the time for it."""

    def endless(talk: Conversation) -> None:
        talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        talk.request()  # until it is closed

    with (
        Origin.running(endless) as app,
        Sidecar.running(config(workers, "2s"), app=app.address, other=app.address) as sidecar,
        Client(sidecar.inbound) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.reader.response_head().status == 200
        with lasting(2.0):
            sidecar.signal(signal.SIGTERM)
            assert sidecar.process.wait(5.0) == 0


@BOTH
def test_f20_a_websocket_may_talk_until_the_end(workers: int) -> None:
    """And an idle client is closed when its window ends, a quarter of the time."""
    with (
        Origin.running(either) as app,
        Sidecar.running(config(workers, "4s"), app=app.address, other=app.address) as sidecar,
        Client(sidecar.inbound) as idle,
        Client(sidecar.inbound) as socket,
    ):
        assert idle.ask("GET", "/").status == 200
        socket.send(upgrading.ask())
        assert socket.response().status == 101
        with lasting(4.0):
            sidecar.signal(signal.SIGTERM)
            with lasting(1.0):
                assert idle.closed_by_peer()
            socket.send(b"still there")
            assert upgrading.exactly(socket, 11) == b"still there"
            assert sidecar.process.wait(6.0) == 0
        assert socket.closed_by_peer()


def either(peer: Conversation) -> None:
    """A WebSocket that echoes, or an answer."""
    head = peer.head()
    while head is not None:
        if head.get("upgrade"):
            peer.send(upgrading.SWITCH)
            upgrading.echo(peer)
            return
        peer.send(reply())
        head = peer.head()


@BOTH
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_f21_a_second_signal_ends_at_once(
    origin: Origin, workers: int, second: signal.Signals
) -> None:
    with Sidecar.running(config(workers), app=origin.address, other=origin.address) as sidecar:
        sidecar.signal(signal.SIGTERM)
        eventually(lambda: '"draining"' in sidecar.logged(), 2.0, "draining")
        with lasting(0.0, 0.2):
            sidecar.signal(second)
            assert sidecar.process.wait(5.0) == 2


@BOTH
@pytest.mark.parametrize("signals", [1, 2])
def test_an_order_to_drain_is_no_first_signal(origin: Origin, workers: int, signals: int) -> None:
    finish = threading.Event()

    def late(peer: Conversation) -> None:
        if peer.head() is not None:
            finish.wait(20.0)
            peer.send(reply(body=b"late"))

    with (
        Origin.running(late) as app,
        Sidecar.running(config(workers, "60s"), app=app.address, other=origin.address) as sidecar,
        Client(sidecar.inbound) as client,
    ):
        client.send(request("GET", "/", {"Host": "x"}))
        eventually(lambda: app.requests, 5.0, "the request")
        assert fetch(sidecar.admin, "/drain", "POST", headers={"Host": "127.0.0.1"}).status == 202
        eventually(lambda: sidecar.probe("/readyz").status == 503, 2.0, "unready")
        sidecar.signal(signal.SIGTERM)
        if signals == 2:
            eventually(lambda: sidecar.logged().count('"told_to_end"') == 1, 2.0, "it is heard")
            sidecar.signal(signal.SIGTERM)
            assert sidecar.process.wait(5.0) == 2
            return
        finish.set()
        assert client.response().status == 200
        app.stop()
        assert sidecar.process.wait(20.0) == 0


@BOTH
def test_callers_are_sent_elsewhere_before_the_app_ends(origin: Origin, workers: int) -> None:
    with (
        Origin.running(answering(reply(body=b"other"))) as other,
        Sidecar.running(config(workers, "60s"), app=origin.address, other=other.address) as sidecar,
    ):
        admin = ":".join(map(str, sidecar.admin))
        done = run("drain", "--inbound", "--wait", "0.1", "--admin", admin)
        assert (done.returncode, done.stdout) == (0, "draining inbound\n")
        if workers == 2:
            kill_all(sidecar)
        for _ in range(6):
            assert sidecar.probe("/readyz").status == 503
            assert fetch(sidecar.inbound, "/").get("connection") == "close"
            calls = {"Host": "other", "Connection": "keep-alive"}
            assert fetch(sidecar.outbound, "/", headers=calls).get("connection") != "close"
        assert sidecar.process.poll() is None
        origin.stop()
        sidecar.signal(signal.SIGTERM)
        # Who was sent away need not be waited for: it would be 5 s.
        assert sidecar.process.wait(4.0) == 0


def kill_all(sidecar: Sidecar) -> None:
    """Each worker; returns when others serve, which hear of what was ordered before."""
    for pid in workers_of(sidecar.pid):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: sidecar.logged().count('"worker_ready"') == 4, 5.0, "two new workers")


@BOTH
def test_who_leaves_reloads_no_more(origin: Origin, workers: int) -> None:
    given = {"app": origin.address, "other": origin.address}
    with Sidecar.running(config(workers, "60s"), **given) as sidecar:
        sidecar.signal(signal.SIGTERM)
        eventually(lambda: sidecar.probe("/readyz").status == 503, 2.0, "unready")
        sidecar.write(config(workers, "60s").replace("<inbound>", "<moved>"))
        sidecar.signal(signal.SIGHUP)
        told = sidecar.reload()
        assert told.status == 422
        assert json.loads(told.body)["errors"] == ["not now: this process is draining"]
        eventually(lambda: sidecar.logged().count('"reload_put_off"') == 2, 2.0, "both are told")
        with pytest.raises(ConnectionRefusedError):
            Client(sidecar.where("moved")).close()
        assert '"config_reloaded"' not in sidecar.logged()
        for _ in range(2):
            sidecar.signal(signal.SIGTERM)
        sidecar.process.wait(5.0)


@BOTH
def test_where_no_callers_come_an_idle_one_leaves_at_once(origin: Origin, workers: int) -> None:
    lines = config(workers, "60s").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("inbound"))
    with Sidecar.running(text, other=origin.address) as sidecar:
        sidecar.signal(signal.SIGTERM)
        # With a side for callers it would be 5 s.
        assert sidecar.process.wait(4.0) == 0


def test_a_service_manager_may_tell_all_processes_at_once(origin: Origin) -> None:
    given = {"app": origin.address, "other": origin.address}
    with Sidecar.running(config(2), **given) as sidecar:
        workers = Path(f"/proc/{sidecar.pid}/task/{sidecar.pid}/children").read_text().split()
        for pid in (*map(int, workers), sidecar.pid):
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: sidecar.probe("/readyz").status == 503, 0.7, "unready")
        for _ in range(10):
            assert fetch(sidecar.inbound, "/").status == 200
        origin.stop()
        assert sidecar.process.wait(5.0) == 0
        assert sidecar.logged().count('"worker_started"') == 2


class Wrapped(Sidecar):
    """With a command behind it, which the test sets."""

    COMMAND: tuple[str, ...] = ()
    BUGS = ('"event":"bug"',)

    def words(self) -> list[str]:
        return [*super().words(), "--inject-env", "--", *self.COMMAND]


GUNICORN = """
import os, urllib.request
def out(what):
    return urllib.request.urlopen(os.environ["OTHER_URL"] + "/" + what, timeout=5).status
assert out("import") == 200
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
def on_exit(server):
    out("exit")
"""


@BOTH
def test_gunicorn_calls_out_at_import_and_at_its_end(tmp_path: Path, workers: int) -> None:
    (tmp_path / "served.py").write_text(GUNICORN)
    with Origin.running(answering(reply(body=b"other"))) as other:
        app = closed_port()

        class Gunicorn(Wrapped):
            COMMAND = (
                "env", f"PYTHONPATH={tmp_path}", sys.executable, "-m", "gunicorn",
                "-c", "python:served", "-b", app, "served:app",
            )  # fmt: skip

        with Gunicorn.running(config(workers, "8s"), app=app, other=other.address) as sidecar:
            eventually(lambda: answers(sidecar.inbound), 15.0, "the app")
            sidecar.signal(signal.SIGTERM)
            assert sidecar.process.wait(10.0) == 0, sidecar.logged()
        asked = [one.target for one in other.requests]
        assert b"/import" in str(asked).encode()
        assert b"/exit" in str(asked).encode()


def answers(address: tuple[str, int]) -> bool:
    return fetch(address, "/").status == 200


STREAMING = """
import http.server, os, signal, sys, threading, time, urllib.request
class Endless(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x")
            time.sleep(0.05)
def last(*_):
    urllib.request.urlopen(os.environ["OTHER_URL"] + "/last", timeout=5)
    os._exit(4)
signal.signal(signal.SIGTERM, last)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Endless).serve_forever()
"""


@BOTH
def test_an_app_is_told_to_end_though_a_caller_stays(tmp_path: Path, workers: int) -> None:
    (tmp_path / "streaming.py").write_text(STREAMING)
    with Origin.running(answering(reply(body=b"other"))) as other:
        app = closed_port()

        class Streaming(Wrapped):
            COMMAND = (sys.executable, str(tmp_path / "streaming.py"), app.rpartition(":")[2])

        with Streaming.running(config(workers, "4s"), app=app, other=other.address) as sidecar:
            client = eventually(lambda: listening(sidecar.inbound), 15.0, "the app")
            with client:
                sidecar.signal(signal.SIGTERM)
                assert sidecar.process.wait(10.0) == 4, sidecar.logged()
            assert "app_killed" not in sidecar.logged()
        assert b"/last" in str([one.target for one in other.requests]).encode()


def listening(address: tuple[str, int]) -> Client | None:
    """A client that has begun to hear an answer, once the app gives one."""
    client = Client(address)
    client.send(request("GET", "/", {"Host": "x"}))
    if client.reader.response_head().status == 200:
        return client
    client.close()
    return None


@BOTH
@pytest.mark.parametrize(
    ("command", "code"),
    [(("sh", "-c", "exit 7"), 7), (("/no/such",), 127), (("/etc/passwd",), 126)],
)
def test_a_jobs_code_is_the_sidecars(
    tmp_path: Path, workers: int, command: tuple[str, ...], code: int
) -> None:
    class Job(Wrapped):
        COMMAND = command

    given = {"app": closed_port(), "other": closed_port()}
    job = Job(config(workers), given, tmp_path)
    assert job.process.wait(15.0) == code, job.logged()


def test_the_app_inherits_what_the_sidecar_was_given_and_no_more(tmp_path: Path) -> None:
    class Environ(Wrapped):
        COMMAND = ("cp", "/proc/self/environ", str(tmp_path / "environ"))

    job = Environ(config(), {"app": closed_port(), "other": closed_port()}, tmp_path)
    assert job.process.wait(15.0) == 0, job.logged()
    pairs = (tmp_path / "environ").read_text().rstrip("\0").split("\0")
    told = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
    proxies = {"HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"}
    injected = {*proxies, "OTHER_URL", "MESHPROXY_OUTBOUND"}
    ours = environment()
    assert injected <= told.keys()
    assert {name: value for name, value in told.items() if name not in injected} == {
        name: value for name, value in ours.items() if name not in injected
    }


def test_what_the_sidecar_does_not_mean_is_passed_on(tmp_path: Path) -> None:
    script = "trap 'exit 9' USR1; echo set; while :; do sleep 0.02; done"

    class Trap(Wrapped):
        COMMAND = ("sh", "-c", script)

    trap = Trap(config(), {"app": closed_port(), "other": closed_port()}, tmp_path)
    eventually(lambda: "set\n" in trap.logged(), 15.0, "the trap")
    trap.signal(signal.SIGUSR1)
    assert trap.process.wait(5.0) == 9


@BOTH
@pytest.mark.parametrize("number", [signal.SIGTTIN, signal.SIGTTOU])
def test_what_scales_a_server_is_passed_on(
    tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    """And stops nobody: their default is that of a job that is in the background."""

    class Trap(Wrapped):
        COMMAND = (
            "sh", "-c", f"trap 'exit 9' {number.name[3:]}; echo set; while :; do sleep 0.02; done",
        )  # fmt: skip

    trap = Trap(config(workers), {"app": closed_port(), "other": closed_port()}, tmp_path)
    try:
        eventually(lambda: "set\n" in trap.logged(), 15.0, "the trap")
        trap.signal(number)
        assert trap.process.wait(5.0) == 9
    finally:
        if trap.process.poll() is None:
            os.kill(trap.events("app_started")[0]["pid"], signal.SIGKILL)
            trap.process.kill()


BACKGROUND = """
import os, pty, subprocess, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    settings = termios.tcgetattr(0)
    settings[3] |= termios.TOSTOP  # who writes from the background is stopped, too
    termios.tcsetattr(0, termios.TCSANOW, settings)
    sys.exit(subprocess.run(sys.argv[1:], process_group=0).returncode)
while True:
    try:
        os.write(1, os.read(terminal, 4096))
    except OSError:
        break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
"""A terminal, and a job in its background."""

READS_THE_TERMINAL = """
import os, signal, sys
heard = open(sys.argv[1], "w", buffering=1)
def refused(*_):
    raise InterruptedError
signal.signal(signal.SIGTTIN, refused)
try:
    os.read(0, 1)
except InterruptedError:
    signal.signal(signal.SIGTTIN, lambda *_: print("told", file=heard))
    print("terminal", file=heard)
while True:
    signal.pause()
"""


@BOTH
def test_what_a_terminal_says_to_its_background_is_not_passed_on(
    origin: Origin, workers: int, tmp_path: Path
) -> None:
    """All of the job have heard it, and the sidecar goes on to serve and to write its log."""
    heard = tmp_path / "heard"

    class Background(Wrapped):
        COMMAND = (sys.executable, "-c", READS_THE_TERMINAL, str(heard))

        def words(self) -> list[str]:
            return [sys.executable, "-c", BACKGROUND, *super().words()]

    given = {"app": origin.address, "other": origin.address}
    with Background.running(config(workers), **given) as sidecar:
        pid = sidecar.admin_json("/info")["pid"]
        eventually(lambda: heard.exists() and heard.read_text() == "terminal\n", 5.0, "the kernel")
        assert fetch(sidecar.inbound, "/").status == 200
        os.kill(pid, signal.SIGTTIN)
        eventually(lambda: "told" in heard.read_text(), 5.0, "the signal")
        os.kill(pid, signal.SIGTERM)
        assert sidecar.process.wait(10.0) == 128 + signal.SIGTERM
        assert '"app_ended"' in sidecar.logged()
    assert heard.read_text() == "terminal\ntold\n"


def test_a_command_that_does_not_stop_is_killed_in_the_end(tmp_path: Path) -> None:
    class Deaf(Wrapped):
        COMMAND = ("sh", "-c", "trap '' TERM; echo set; while :; do sleep 0.02; done")

    deaf = Deaf(config(drain="1s"), {"app": closed_port(), "other": closed_port()}, tmp_path)
    eventually(lambda: "set\n" in deaf.logged(), 15.0, "the trap")
    with lasting(1.0):
        deaf.signal(signal.SIGTERM)
        assert deaf.process.wait(5.0) == 137


@BOTH
def test_a_command_ends_with_a_sidecar_that_is_killed(tmp_path: Path, workers: int) -> None:
    """And may do so in its own way."""
    ended = tmp_path / "ended"

    class Cleaning(Wrapped):
        COMMAND = (
            "sh", "-c",
            f"trap 'echo in order > {ended}; exit' TERM; echo set; while :; do sleep 0.02; done",
        )  # fmt: skip

    given = {"app": closed_port(), "other": closed_port()}
    killed = Cleaning(config(workers, "1s"), given, tmp_path)
    eventually(lambda: "set\n" in killed.logged(), 15.0, "the trap")
    started = eventually(lambda: killed.events("app_started"), 5.0, "the sidecar's word of it")
    app = os.pidfd_open(started[0]["pid"])
    try:
        killed.process.kill()
        assert killed.process.wait(5.0) == -signal.SIGKILL
        assert select.select([app], [], [], 5.0)[0], "it lives on"
        assert ended.read_text() == "in order\n"
        eventually(lambda: refuses(killed.metrics), 10.0, "the end of its workers")
    finally:
        if not select.select([app], [], [], 0.0)[0]:
            signal.pidfd_send_signal(app, signal.SIGKILL)
        os.close(app)


@BOTH
def test_systemd_hears_of_it(origin: Origin, workers: int, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(str(tmp_path / "notify"))
        hears.settimeout(10.0)
        os.environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        os.environ["WATCHDOG_USEC"] = "400000"
        try:
            given = {"app": origin.address, "other": origin.address}
            with Sidecar.running(config(workers, "1s"), **given) as sidecar:
                heard = [hears.recv(1000).decode()]
                while "WATCHDOG" not in heard[-1]:
                    heard.append(hears.recv(1000).decode())
                sidecar.signal(signal.SIGHUP)
                while "RELOADING" not in heard[-1]:
                    heard.append(hears.recv(1000).decode())
                while "READY" not in heard[-1]:
                    heard.append(hears.recv(1000).decode())
                sidecar.signal(signal.SIGTERM)
                while "STOPPING" not in heard[-1]:
                    heard.append(hears.recv(1000).decode())
        finally:
            del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
    assert any(f"MAINPID={sidecar.pid}" in one for one in heard)
    assert any("MONOTONIC_USEC=" in one for one in heard)


@BOTH
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_descriptor_does_no_harm(
    origin: Origin, workers: int, closed: str
) -> None:
    class Closed(Sidecar):
        def words(self) -> list[str]:
            return ["sh", "-c", f'exec "$@" {closed}', "sh", *super().words()]

    given = {"app": origin.address, "other": origin.address}
    with Closed.running(config(workers, "1s"), **given) as sidecar:
        assert fetch(sidecar.inbound, "/").status == 200
        sidecar.signal(signal.SIGTERM)
        assert sidecar.process.wait(5.0) == 0, sidecar.logged()
        if "2>&-" not in closed:
            ends = [line["code"] for line in sidecar.events("worker_left")]
            assert ends == [0] * (workers if workers > 1 else 0)


UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.fixture
def namespace() -> None:
    """A PID namespace for a sidecar alone, if this machine lets us make one."""
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no PID namespace can be made here")


class First(Sidecar):
    """PID 1 of a namespace of its own; `process` is who made that."""

    FILE = ""

    def words(self) -> list[str]:
        words = super().words()
        return [*UNSHARE, *words[:-1], self.FILE or words[-1]]

    @property
    def first(self) -> Path:
        """PID 1 as it is seen from outside of the namespace."""
        children = f"/proc/{self.pid}/task/{self.pid}/children"
        return Path("/proc", Path(children).read_text().strip())

    def tell(self, number: signal.Signals) -> None:
        """A signal from outside of the namespace, which PID 1 must have a handler for as well."""
        os.kill(int(self.first.name), number)

    def sleeps_over(self, file: Path) -> bool:
        """Whether it has opened this file and waits."""
        opened = [one.readlink() for one in (self.first / "fd").iterdir()]
        state = (self.first / "stat").read_text().rpartition(") ")[2][0]
        return file in opened and state == "S"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_pid_1_it_may_be_told_to_end_while_it_starts(
    namespace: None, tmp_path: Path, number: signal.Signals
) -> None:
    """It waits for its config, so it has not come to listening for signals."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    class Waiting(First):
        FILE = str(fifo)

    waiting = Waiting(config(), {"app": closed_port(), "other": closed_port()}, tmp_path)
    try:
        writer = eventually(lambda: writer_of(fifo), 15.0, "who reads the config")
        # A signal between its last look for signals and the call that waits is not heard.
        eventually(lambda: waiting.sleeps_over(fifo), 15.0, "waiting for the config")
        waiting.tell(number)
        assert waiting.process.wait(5.0) == 128 + number, waiting.logged()
        os.close(writer)
    finally:
        waiting.process.kill()


def writer_of(fifo: Path) -> int | None:
    """The other end, once somebody reads."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


@BOTH
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_pid_1_it_drains_once_it_serves(
    namespace: None, origin: Origin, workers: int, number: signal.Signals
) -> None:
    given = {"app": origin.address, "other": origin.address}
    with First.running(config(workers, "1s"), **given) as sidecar:
        sidecar.tell(number)
        assert sidecar.process.wait(5.0) == 0, sidecar.logged()
        ends = [line["code"] for line in sidecar.events("worker_left")]
        assert ends == [0] * (workers if workers > 1 else 0)


def test_as_pid_1_its_command_can_be_ended(namespace: None, tmp_path: Path) -> None:
    """By signals that have their default meaning."""

    class Ended(Wrapped):
        COMMAND = ("sh", "-c", "kill -TERM $$; sleep 10")

        def words(self) -> list[str]:
            return [*UNSHARE, *super().words()]

    ended = Ended(config(), {"app": closed_port(), "other": closed_port()}, tmp_path)
    assert ended.process.wait(15.0) == 128 + signal.SIGTERM, ended.logged()


def test_as_pid_1_orphans_are_reaped(namespace: None, origin: Origin, tmp_path: Path) -> None:
    class Parent(Wrapped):
        COMMAND = (
            "sh", "-c",
            "(sh -c 'sleep 0.1 & exit 0'); sleep 0.8; ps -eo stat= | grep -c Z; exit 5",
        )  # fmt: skip

        def words(self) -> list[str]:
            return [*UNSHARE, *super().words()]

    first = Parent(config(), {"app": origin.address, "other": origin.address}, tmp_path)
    assert first.process.wait(20.0) == 5, first.logged()
    assert [line for line in first.logged().splitlines() if line.isdigit()] == ["0"]
