"""Builds the image, runs it as hardened as it is meant to run, and tries it: python trial.py

    python config/container/trial.py                 with docker, else with buildah and podman
    python config/container/trial.py --image NAME    tries an image that exists already

The container has no root, no capability, a read-only file system, config/container/seccomp.json
as its list of system calls, and little memory. In it the sidecar serves, tunnels, reloads as a
ConfigMap does, is asked what it must not do, drains, and runs a command beside two workers. Every
line that is printed was seen; the first thing that is not as it should be ends the trial with
exit code 1.

Where the base image cannot be had (no registry), `stand-in` makes one from this machine's Debian
and CPython: enough to try the Dockerfile and the sidecar in it, and said so in the output.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BASE = "docker.io/library/python:3.13-slim-bookworm"
STAND_IN = "localhost/meshproxy-base:stand-in"
USER = 65532
REQUESTS, CLIENTS = 4000, 16

CONFIG = """\
version: 1
service: {{name: trial, version: "{version}"}}
inbound: {{listen: 127.0.0.1:{inbound}, app: http://127.0.0.1:{app}}}
outbound:
  listen: 127.0.0.1:{outbound}
  connect: {{allow: ["127.0.0.1:{app}"], networks: [127.0.0.0/8]}}
  services:
    echo: {{endpoints: ["localhost:{app}"], prefix: /echo, health_check: {{path: /, interval: 1s}}}}
metrics: {{listen: 127.0.0.1:{metrics}}}
admin: {{listen: 127.0.0.1:{admin}}}
logs: {{access: {{errors: true, sample: 1%}}}}
shutdown: {{drain: 5s}}
"""

DENIED = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *words):
    ctypes.set_errno(0)
    return getattr(libc, name)(*words) == -1 and ctypes.get_errno() == errno.EPERM
tried = {
    "mount": call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "unshare": call("unshare", 0x10000000),
    "ptrace": call("ptrace", 0, 0, 0, 0),
    "setuid": call("setuid", 0),
    "chroot": call("chroot", b"/"),
    "bpf": call("syscall", 321, 0, 0, 0) or os.uname().machine != "x86_64",
}
for family, kind in (("AF_PACKET", socket.SOCK_RAW), ("AF_VSOCK", socket.SOCK_STREAM)):
    try:
        socket.socket(getattr(socket, family), kind).close()
        tried[family] = False
    except PermissionError:
        tried[family] = True
try:
    open("/written", "w")
    tried["write"] = False
except OSError as error:
    tried["write"] = error.errno == errno.EROFS
print(" ".join(sorted(tried)))
sys.exit(" ".join(name for name, denied in tried.items() if not denied) or 0)
"""
"""What somebody who got in would try next; each must be refused with EPERM, or EROFS."""


class TrialError(Exception):
    """Something is not as it should be."""


def check(good: object, what: str) -> None:
    if not good:
        raise TrialError(what)
    print(f"ok: {what}", flush=True)


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise TrialError(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done


# ---- the engine and the image


def engine() -> list[str]:
    """The words that a container is run with here: docker if its daemon answers, else podman."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "info"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker"]
    for name in ("podman", "buildah"):
        if not shutil.which(name):
            raise TrialError(
                f"no docker daemon answers and {name} is missing: sudo apt-get install"
                " --no-install-recommends buildah podman runc catatonit mmdebstrap"
            )
    words = ["podman"]
    # Without systemd, cgroups are made by hand; and crun knows no mixture of their two versions.
    if not Path("/run/systemd/system").is_dir():
        words += ["--cgroup-manager", "cgroupfs"]
    if not Path("/sys/fs/cgroup/cgroup.controllers").is_file() and shutil.which("runc"):
        words += ["--runtime", "runc"]
    return words


def has(tool: list[str], image: str) -> bool:
    done = subprocess.run([tool[0], "image", "inspect", image], capture_output=True, check=False)
    return done.returncode == 0


def base(tool: list[str]) -> str:
    """The base image, pulled or stood in for."""
    if has(tool, BASE):
        return BASE
    pulled = subprocess.run([tool[0], "pull", "-q", BASE], capture_output=True, check=False)
    if pulled.returncode == 0:
        return BASE
    if tool[0] == "docker":
        raise TrialError(f"docker cannot pull {BASE}")
    if not has(tool, STAND_IN):
        subprocess.run(["sh", str(HERE / "stand-in"), STAND_IN], check=True)
    print(f"note: {BASE} cannot be had here; built on a stand-in", flush=True)
    return STAND_IN


def build(tool: list[str], image: str) -> None:
    began = time.monotonic()
    chosen = base(tool)
    words = f"--build-arg BASE={chosen}"
    if chosen == STAND_IN:
        words += " --pull-never --network host -v /etc/hosts:/etc/hosts:ro"
    subprocess.run(
        ["sh", str(ROOT / ".ci/image"), image],
        env={**os.environ, "BUILD_ARGS": words},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    check(has(tool, image), f"built {image} in {time.monotonic() - began:.0f} s")


def inspect(tool: list[str], image: str) -> None:
    """What the image says about itself."""
    (told,) = json.loads(run(*tool, "image", "inspect", image).stdout)
    config = told["Config"]
    check(config["User"] == f"{USER}:{USER}", f"runs as {config['User']}")
    check(config.get("StopSignal") == "SIGTERM", "is stopped by SIGTERM")
    health = config.get("Healthcheck") or told.get("Healthcheck") or {}
    check(health.get("Test") == ["CMD", "meshproxy", "healthcheck"], "has a HEALTHCHECK")
    labels = {
        key.rpartition(".")[2]: value
        for key, value in config["Labels"].items()
        if key.startswith("org.opencontainers.image.")
    }
    wanted = {"title", "description", "licenses", "version", "revision", "source"}
    check(
        wanted <= labels.keys() and all(labels[key] for key in wanted),
        f"is labelled: version {labels.get('version')}, revision {labels.get('revision')}",
    )


def contents(tool: list[str], image: str) -> None:
    """What is in the image: the SBOM names every package, and all bytecode is there."""
    sbom = ["cat", "/usr/share/doc/meshproxy/sbom.cdx.json"]
    told = json.loads(inside(tool, image, *sbom).stdout)
    listed = {_plain(one["name"]): one["version"] for one in told["components"]}
    locked = dict(
        re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    named = {_plain(name): version for name, version in locked.items()}
    # A lock for every platform may name packages that this one does not need.
    check(
        listed.items() <= named.items() and len(listed) > len(named) - 4,
        f"its SBOM lists {len(listed)} packages, with the versions that are locked",
    )
    script = (
        "import pathlib, sys; root = pathlib.Path(sys.prefix) / 'lib';"
        "print(sum(1 for p in root.rglob('*.py') if not list("
        "(p.parent / '__pycache__').glob(p.stem + '.*.pyc'))))"
    )
    bare = inside(tool, image, "/opt/meshproxy/bin/python", "-c", script).stdout.strip()
    check(bare == "0", "every module of it is compiled")


def inside(tool: list[str], image: str, *words: str) -> subprocess.CompletedProcess[str]:
    """One command in a container of its own."""
    limits = ["--no-healthcheck", "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
    name, *more = words
    return run(
        *tool, "run", "--rm", *limits, "--network", "host", "--entrypoint", name, image, *more
    )


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# ---- the container


def hardened(folder: Path, memory: str, seccomp: Path) -> list[str]:
    """How a sidecar should be run."""
    return [
        "--no-healthcheck",  # the trial asks itself; podman's timers need systemd
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--security-opt=seccomp={seccomp}",
        f"--memory={memory}",
        f"--memory-swap={memory}",
        "--cpus=0.5",
        "--pids-limit=64",
        "--ulimit=nofile=4096:4096",
        "--ulimit=nproc=4096:4096",
        "--network=host",
        f"--volume={folder}:/etc/meshproxy:ro",
    ]


class App(BaseHTTPRequestHandler):
    """The app behind the sidecar: says what it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))) or b"hello"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # what the server calls it

    def log_message(self, *words: object) -> None:
        """Say nothing."""


def free_ports(*names: str) -> dict[str, int]:
    """A port for each name; all are held until all are known, so that no two are the same."""
    held = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    ports = {name: sock.getsockname()[1] for name, sock in held.items()}
    for sock in held.values():
        sock.close()
    return ports


def swap(folder: Path, text: str) -> None:
    """Change the config as Kubernetes changes a ConfigMap: a new folder, one link renamed."""
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    fresh.chmod(0o755)
    (fresh / "meshproxy.yaml").write_text(text)
    link = folder / "..data_tmp"
    link.symlink_to(fresh.name)
    link.rename(folder / "..data")
    file = folder / "meshproxy.yaml"
    if not file.is_symlink():
        file.symlink_to("..data/meshproxy.yaml")


def fetch(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def eventually(told: Callable[[], bool], what: str, within: float = 30.0) -> None:
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if told():
                print(f"ok: {what}", flush=True)
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.05)
    raise TrialError(f"not within {within:g} s: {what}")


@contextmanager
def running(tool: list[str], image: str, options: list[str], *words: str) -> Iterator[str]:
    """The id of a container that is gone afterwards; its log is shown if the trial fails."""
    name = run(*tool, "run", "-d", *options, image, *words).stdout.strip()
    try:
        yield name
    except TrialError:
        log = subprocess.run([*tool, "logs", name], capture_output=True, text=True, check=False)
        print(f"{log.stdout}{log.stderr}"[-4000:], file=sys.stderr)
        raise
    finally:
        subprocess.run([*tool, "rm", "-f", name], capture_output=True, check=False)


def status(tool: list[str], name: str) -> dict[str, str]:
    """/proc/1/status, as the container sees it."""
    lines = run(*tool, "exec", name, "cat", "/proc/1/status").stdout.splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def confined(tool: list[str], name: str) -> None:
    told = status(tool, name)
    check(told["Uid"].split() == [str(USER)] * 4, f"its process has the uid {USER}")
    check(told["CapEff"].strip("0") == "" and told["CapPrm"].strip("0") == "", "no capability")
    check(told["NoNewPrivs"] == "1", "no new privileges")
    check(told["Seccomp"] == "2", "a seccomp filter")
    python = "/opt/meshproxy/bin/python"
    done = subprocess.run(
        [*tool, "exec", name, python, "-c", DENIED], capture_output=True, text=True, check=False
    )
    check(done.returncode == 0, f"refused: {done.stdout.strip()} {done.stderr.strip()}".strip())


def burst(port: int) -> int:
    """Requests on many connections at once; how many were answered with 200."""
    good = [0] * CLIENTS

    def client(index: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for turn in range(REQUESTS // CLIENTS):
            body = b"x" * 10_000 if turn % 4 == 0 else None
            connection.request("POST" if body else "GET", "/", body)
            answer = connection.getresponse()
            good[index] += answer.status == 200 and answer.read() == (body or b"hello")
        connection.close()

    threads = [threading.Thread(target=client, args=(index,)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(good)


def serves(tool: list[str], name: str, ports: dict[str, int]) -> None:
    check(fetch(ports["inbound"], "GET", "/") == (200, b"hello"), "it serves its app")
    check(fetch(ports["outbound"], "POST", "/echo", b"x" * 100_000)[0] == 200, "it calls others")
    tunnel = http.client.HTTPConnection("127.0.0.1", ports["outbound"], timeout=10)
    tunnel.set_tunnel("127.0.0.1", ports["app"])
    tunnel.request("GET", "/")
    check(tunnel.getresponse().read() == b"hello", "it tunnels")
    tunnel.close()
    began = time.monotonic()
    run(*tool, "exec", name, "meshproxy", "healthcheck")
    check(True, f"healthcheck says yes ({time.monotonic() - began:.2f} s, exec included)")
    check(burst(ports["inbound"]) == REQUESTS, f"{REQUESTS} requests on {CLIENTS} connections")


def reloads(folder: Path, ports: dict[str, int]) -> None:
    swap(folder, CONFIG.format(version="2", **ports))

    def seen() -> bool:
        return b'"version":"2"' in fetch(ports["metrics"], "GET", "/readyz")[1].replace(b" ", b"")

    eventually(seen, "a swapped ConfigMap is in force")
    swap(folder, "version: 1\ninbound: {ap: 1}\n")

    def told() -> bool:
        line = b"\nmeshproxy_config_last_reload_successful 0"
        return line in fetch(ports["metrics"], "GET", "/metrics")[1]

    eventually(told, "a broken one is refused, and told in /metrics")
    check(fetch(ports["inbound"], "GET", "/")[0] == 200, "the one before it stays in force")


def memory_of(tool: list[str], name: str, limit: str) -> None:
    peak = int(status(tool, name)["VmHWM"].split()[0]) // 1024
    bound = int(limit.rstrip("m"))
    check(peak < bound * 0.9, f"at most {peak} MiB resident, of {limit}")


def ends(tool: list[str], name: str, app: ThreadingHTTPServer) -> None:
    """Told together, as in a pod: the app leaves first, and the sidecar waits for no more."""
    began = time.monotonic()
    run(*tool, "kill", "--signal", "TERM", name)
    app.shutdown()
    app.server_close()
    code = run(*tool, "wait", name).stdout.strip()
    took = time.monotonic() - began
    check(code == "0" and took < 5.0, f"SIGTERM ends it with {code} in {took:.2f} s")
    (told,) = json.loads(run(*tool, "inspect", name).stdout)
    check(not told["State"]["OOMKilled"], "it was never out of memory")


def runs_a_command(
    tool: list[str], image: str, folder: Path, seccomp: Path, ports: dict[str, int]
) -> None:
    """Several workers, and a command that ends with a code of its own, as a Job's does."""
    swap(folder, "workers: 2\n" + CONFIG.format(version="3", **ports))
    command = ["/opt/meshproxy/bin/python", "-c", "import time; time.sleep(6); exit(7)"]
    options = hardened(folder, "192m", seccomp)
    with running(tool, image, options, "run", "--", *command) as container:
        what = "two workers, and a command beside them"

        def both() -> bool:
            return len(json.loads(fetch(ports["admin"], "GET", "/info")[1])["workers"]) == 2

        eventually(both, what)
        code = run(*tool, "wait", container).stdout.strip()
        check(code == "7", f"it ends as its command does, with {code}")


def try_it(tool: list[str], image: str, memory: str, seccomp: Path) -> None:
    app = ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    ports = free_ports("inbound", "outbound", "metrics", "admin")
    ports["app"] = app.server_address[1]
    with tempfile.TemporaryDirectory(prefix="trial-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        swap(folder, CONFIG.format(version="1", **ports))
        began = time.monotonic()
        with running(tool, image, hardened(folder, memory, seccomp)) as container:
            ready = "ready, on half a core"
            eventually(lambda: fetch(ports["metrics"], "GET", "/readyz")[0] == 200, ready)
            print(f"    {time.monotonic() - began:.2f} s after it was started", flush=True)
            confined(tool, container)
            serves(tool, container, ports)
            reloads(folder, ports)
            memory_of(tool, container, memory)
            ends(tool, container, app)
        runs_a_command(tool, image, folder, seccomp, ports)


def main() -> int:
    parser = argparse.ArgumentParser(description="build the image, run it hardened, and try it")
    parser.add_argument("--image", help="try this one instead of building one")
    parser.add_argument("--memory", default="96m", help="the container's limit (%(default)s)")
    parser.add_argument(
        "--seccomp",
        type=Path,
        default=HERE / "seccomp.json",
        help="another list of system calls, or 'unconfined'",
    )
    options = parser.parse_args()
    try:
        tool = engine()
        image = options.image or "localhost/meshproxy:trial"
        if options.image is None:
            build(tool, image)
        inspect(tool, image)
        contents(tool, image)
        try_it(tool, image, options.memory, options.seccomp)
    except (TrialError, subprocess.CalledProcessError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print("the image is as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
