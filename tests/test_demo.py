"""`make demo` shows what it says, refuses a taken port, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests import tools
from tests.e2e.harness import ports

DEMO = Path(__file__).resolve().parents[1] / "config" / "demo"
sys.path.insert(0, str(DEMO))

import showcase  # noqa: E402
import topology  # noqa: E402


def free_base() -> int:
    """The first of fifty ports that can be listened on.

    Drawn below the ephemeral range, so that no outgoing connection sits on one, and above those
    of the end-to-end tests, which may run at the same time.
    """
    for _ in range(50):
        base = random.randrange(ports.LAST, 32700, 50)
        if all(map(ports.is_free, topology.all_ports(topology.mesh(base)))):
            return base
    raise RuntimeError("no fifty free ports in a row")


def answers(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def demo(*argv: str) -> list[str]:
    return [sys.executable, str(DEMO / "demo.py"), *argv]


def receives() -> bool:
    """Whether rotel can start here; without it, the demo shows one thing less and says so."""
    try:
        return bool(tools.receiver())
    except tools.MissingError:
        return False


def processes_with(folder: str) -> list[str]:
    """Command lines of the processes that have something of this folder in theirs."""
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = cmdline.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if folder in words:
            found.append(words)
    return found


def introduced(process: subprocess.Popen[str]) -> str:
    """What a demo prints until it only places orders, or ends."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("Ctrl-C"):
            break
    return printed


@pytest.fixture
def running() -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A demo that has printed its lines, the folder of its files, the first of its ports."""
    base = free_base()
    process = subprocess.Popen(
        demo("--port-base", str(base)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    printed = introduced(process)
    match = re.search(r"this run: (\S+)", printed)
    try:
        assert match, printed
        yield process, match[1], base
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.slow
def test_the_lines_answer_what_they_promise() -> None:
    done = subprocess.run(
        demo("--check", "--port-base", str(free_base())),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": ok") == (10 if receives() else 9)


@pytest.fixture
def no_library(tmp_path: Path) -> dict[str, str]:
    """An environment whose rotel wants a Python library that no machine has."""
    found = importlib.util.find_spec("rotel")
    assert found is not None
    assert found.origin is not None
    program = Path(found.origin).with_name("rotel-agent").read_bytes()
    wanted = f"libpython3.{sys.version_info.minor}.so.1.0".encode()
    assert wanted in program
    package = tmp_path / "rotel"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "rotel-agent").write_bytes(program.replace(wanted, wanted.replace(b"1.0", b"9.9")))
    (package / "rotel-agent").chmod(0o755)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_a_receiver_that_cannot_start_says_what_to_install(no_library: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO / "receiver.py"), "--version"],
        capture_output=True, text=True, env=no_library, timeout=60, check=False,
    )  # fmt: skip
    minor = sys.version_info.minor
    assert done.returncode == 127
    assert done.stderr == (
        f"rotel does not start: libpython3.{minor}.so.9.9: cannot open shared object file: "
        f"No such file or directory; try: sudo apt-get install libpython3.{minor}\n"
    )


@pytest.mark.slow
def test_the_demo_goes_on_without_a_receiver(no_library: dict[str, str]) -> None:
    process = subprocess.Popen(
        demo("--port-base", str(free_base())), stdout=subprocess.PIPE, text=True, env=no_library
    )
    printed = introduced(process)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert "spans are not shown: rotel does not start: libpython3." in printed
    assert "\n9. " in printed
    assert "\n10. " not in printed


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_cleanly(
    running: tuple[subprocess.Popen[str], str, int], number: signal.Signals
) -> None:
    process, folder, base = running
    assert processes_with(folder)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert processes_with(folder) == []
    assert not Path(folder).exists()
    assert not any(map(answers, topology.all_ports(topology.mesh(base))))


def test_a_taken_port_is_named_before_anything_starts() -> None:
    base = free_base()
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", base + 12))
        holder.listen()
        done = subprocess.run(
            demo("--port-base", str(base)), capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert f"port {base + 12} cannot be used" in done.stderr
    assert "PORT_BASE=" in done.stderr


def test_every_variable_of_the_files_is_given_by_the_demo() -> None:
    nodes = topology.mesh()
    for node in nodes.values():
        text = (DEMO / f"{node.service}.yaml").read_text()
        used = set(re.findall(r"\$\{(\w+)", text))
        assert used
        assert used <= set(topology.environment(node, nodes))


def test_no_two_sidecars_share_a_port() -> None:
    ports = topology.all_ports(topology.mesh())
    assert len(set(ports)) == len(ports) == 26


@pytest.mark.parametrize(
    ("index", "output"),
    [
        (0, "200 200 200 200 200 200 200 HTTP/1.1 200 OK\r\n\r\n"),
        (0, "200 429 HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n\r\n"),
        (1, "200 " * 12 + '\nmeshproxy_retries_total{upstream="x",outcome="granted"} 1\n'),
        (1, "200 " * 11 + '\nmeshproxy_retries_total{upstream="x",outcome="success"} 1\n'),
        (2, "200 " * 19 + "503 " + '{"endpoint": "127.0.0.1:18040", "state": "open"}'),
        (2, "200 " * 20 + '{"endpoint": "127.0.0.1:18040", "state": "closed", "opened": 1}'),
        (3, '{"hops": [{"traceparent": null}]}'),
        (4, "200 200 200 200 200 429 429 429 "),
    ],
)
def test_a_line_that_did_not_show_it_is_told(index: int, output: str) -> None:
    lines = showcase.lines(topology.mesh(), Path())
    assert lines[index].judge(output)
