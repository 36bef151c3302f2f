"""What is secret is in no output: not in pages, metrics, answers, messages or the log.

Secrets come from a file and from a variable named as one, wherever a value can stand; and from
clients, in headers, queries and credentials. Each begins with CANARY, so a part shows too.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshproxy.settings.errors import ConfigError
from meshproxy.settings.load import read
from meshproxy.settings.validate import validate

from .harness import Client, Origin, Sidecar, eventually, fetch
from .harness.sidecar import command, environment

CANARY = "CANARY"
SECRETS = [
    f"{CANARY}-7f3a",
    f"{CANARY}-" + "x" * 300,
    f"{CANARY}\"\\'\n\u00e9\u2028{{}}<b>\x7f{CANARY}",
    f"{CANARY}.test:8080",
]
IN_FILE = f"{CANARY}-file-" + "y" * 100
IN_VARIABLE = f"{CANARY}-variable"
CONFIG = """
service: {name: "file:<secret>", version: "v1 ${CANARY_TOKEN}"}
inbound:
  listen: <inbound>
  app: http://<app>
  rate_limits: [{limit: 100000/s, per: ["header:x-api-key", ip]}]
  routes:
    - {match: {path: /filed, headers: {x-key: "file:<secret>"}}}
    - {match: {path: /varied, headers: {authorization: "Bearer ${CANARY_TOKEN}"}}}
    - match: {path: /limited, headers: {x-key: "file:<secret>"}}
      rate_limits: [{name: tight, limit: 1/m, burst: 1, per: "header:x-key"}]
      concurrency: {max: 5}
outbound:
  listen: <outbound>
  services:
    users: {endpoints: [<app>], circuit_breaker: {consecutive_failures: 2}}
    gone: {endpoints: [<gone>], retry: {attempts: 1}}
logs: {level: debug, format: json, access: {errors: true, sample: 100%}}
"""
ADMIN = (
    "/info",
    "/config",
    "/routes",
    "/clusters",
    "/breakers",
    "/rate-limits",
    "/stats",
    "/failures",
    "/explain",
    "/config/text",
    "/config/history",
    "/config/history?number=1",
    f"/explain?url=/filed?{CANARY}&header=X-Key:{IN_FILE}&header=Authorization:{IN_VARIABLE}",
    f"/explain?url=/limited&header=x-key:{IN_FILE}&client=10.0.0.1",
)
PROBES = ("/metrics", "/livez", "/readyz", "/startupz", "/health")
FULL = Path(__file__).parents[2] / "config" / "meshproxy.yaml"


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of the secret; the variable is in the environment while this lasts."""
    file = tmp_path_factory.mktemp("run") / "secret"
    file.write_text(IN_FILE + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY_TOKEN", IN_VARIABLE)
        yield file


@pytest.fixture(scope="module")
def config(secret: Path) -> str:
    return CONFIG.replace("<secret>", str(secret))


@pytest.fixture(scope="module")
def sidecar(config: str, app: Origin) -> Iterator[Sidecar]:
    with Sidecar.running(config, app=app.address) as running:
        yield running


def pages(sidecar: Sidecar) -> list[bytes]:
    """Everything that both control ports tell."""
    shown = [fetch(sidecar.admin, path, headers={"Host": "localhost"}) for path in ADMIN]
    shown += [sidecar.probe(path) for path in PROBES]
    shown.append(sidecar.probe("/metrics", {"Accept": "application/openmetrics-text"}))
    shown.append(fetch(sidecar.admin, f"/{CANARY}?{CANARY}", headers={"Host": "localhost"}))
    return [*(each.head + each.body for each in shown), first_event(sidecar)]


def first_event(sidecar: Sidecar) -> bytes:
    """What /live tells at once: among it all that failed of late."""
    told = b""
    with Client(sidecar.admin) as client:
        client.send(b"GET /live HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert client.reader.response_head().status == 200
        while not told.endswith(b"\n\n"):
            told += client.reader.take(65536)
    return told


def test_the_secrets_are_in_force(sidecar: Sidecar, origin: Origin) -> None:
    for path, name, value in (
        ("/filed", "X-Key", IN_FILE),
        ("/varied", "Authorization", f"Bearer {IN_VARIABLE}"),
    ):
        before = sidecar.total("meshproxy_requests_total", upstream="app")
        assert fetch(sidecar.inbound, path, headers={name: value}).status == 200
        assert fetch(sidecar.inbound, path, headers={name: "other"}).status == 200
        assert sidecar.total("meshproxy_requests_total", upstream="app") == before + 2
    taken = {sample for sample in sidecar.metrics_text().splitlines() if "***" in sample}
    assert any('route="/filed x-key=*** [0]"' in sample for sample in taken)
    assert any('route="/varied authorization=Bearer *** [1]"' in sample for sample in taken)


def test_no_page_shows_a_secret_of_the_config(sidecar: Sidecar, origin: Origin) -> None:
    fetch(sidecar.inbound, "/filed", headers={"X-Key": IN_FILE})
    shown = pages(sidecar)
    assert not [page for page in shown if CANARY.encode() in page]
    assert any(b"***" in page for page in shown)


CREDENTIALS = {
    "Authorization": f"Basic {CANARY}",
    "Proxy-Authorization": f"Basic {CANARY}",
    "Cookie": f"session={CANARY}",
    "X-Api-Key": CANARY,
    "X-Key": IN_FILE,
    "X-Meshproxy-Token": CANARY,
    "Referer": f"http://a.test/?token={CANARY}",
    "User-Agent": CANARY,
}
BAD = [
    f"GET http://user:{CANARY}@a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
    f"CONNECT user:{CANARY}@a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
    f"GET /a?{CANARY} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    f"GET /a#{CANARY} HTTP/1.1\r\nHost: a\r\n\r\n",
    f"GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: {CANARY}\x00\r\n\r\n",
    f"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: {CANARY}\r\n\r\n",
    f"GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {CANARY}\r\n\r\n",
    f"GET /%zz?{CANARY} HTTP/1.1\r\nHost: a\r\nCookie: {CANARY}\r\n\r\n",
    f"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n",
    f"GET /a HTTP/1.1\r\nHost: user:{CANARY}@a\r\n\r\n",
    f"GET /a HTTP/1.1\r\nHost: a\r\n{CANARY}\r\n\r\n",
]


def test_what_a_client_keeps_secret_is_in_no_answer_and_no_line(
    sidecar: Sidecar, origin: Origin
) -> None:
    answers = [
        fetch(sidecar.inbound, f"{path}?token={CANARY}", "GET", CREDENTIALS)
        for path in ("/filed", "/limited", "/limited", "/other")
    ]
    answers += [
        fetch(sidecar.outbound, f"/a?token={CANARY}", headers={**CREDENTIALS, "Host": host})
        for host in ("users", "gone", "nobody")
    ]
    for raw in BAD:
        with Client(sidecar.inbound) as client:
            client.send(raw.encode("latin-1"))
            answers.append(client.response())
    assert {429, 404, 503, 400} <= {answer.status for answer in answers}
    assert not [answer for answer in answers if CANARY.encode() in answer.head + answer.body]
    assert not [page for page in pages(sidecar) if CANARY.encode() in page]
    eventually(lambda: len(sidecar.log_lines()) > len(answers), what="the access log")
    assert CANARY not in sidecar.logged()


MISTAKES = [
    'limits: {headers: "file:<secret>"}',
    'limits: {headers: "${CANARY_TOKEN}"}',
    'metrics: {listen: "file:<secret>"}',
    'shutdown: {drain: "${CANARY_TOKEN}"}',
    'unknown: "file:<secret>"',
    'trust: {forwarded_from: ["${CANARY_TOKEN}"]}',
    'tracing: "file:<secret>"',
    'admin: {listen: {a: "file:<secret>"}}',
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_failed_reload_tells_no_secret(
    sidecar: Sidecar, origin: Origin, config: str, secret: Path, mistake: str
) -> None:
    wrong = mistake.replace("<secret>", str(secret))
    kept = [line for line in config.splitlines() if line[:6] != wrong[:6]]
    try:
        sidecar.write("\n".join([*kept, wrong]))
        refused = fetch(sidecar.admin, "/reload", "POST", headers={"Host": "localhost"})
        assert refused.status == 422
        shown = [refused.head + refused.body, *pages(sidecar)]
    finally:
        sidecar.write(config)
        fetch(sidecar.admin, "/reload", "POST", headers={"Host": "localhost"})
    assert not [page for page in shown if CANARY.encode() in page]
    assert CANARY not in sidecar.logged()


@pytest.mark.parametrize("words", [["check"], ["check", "--format", "json"], ["run"]])
def test_a_command_that_fails_tells_no_secret(
    secret: Path, tmp_path: Path, words: list[str]
) -> None:
    """All mistakes in one file, each under a key of its own."""
    file = tmp_path / "wrong.yaml"
    file.write_text("\n".join(MISTAKES).replace("<secret>", str(secret)).replace("limits", "l", 1))
    done = subprocess.run(
        command(words[0], "-c", str(file), *words[1:]),
        capture_output=True, env=environment(), timeout=20, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert (done.returncode, CANARY.encode() in said) == (1, False)
    assert b"***" in said


def test_what_a_reload_tells_of_a_changed_secret_is_not_the_secret(
    sidecar: Sidecar, origin: Origin, secret: Path
) -> None:
    try:
        secret.write_text(f"{CANARY}-changed")
        told = fetch(sidecar.admin, "/reload", "POST", headers={"Host": "localhost"})
        assert (told.status, CANARY.encode() in told.body) == (200, False)
        assert not [page for page in pages(sidecar) if CANARY.encode() in page]
    finally:
        secret.write_text(IN_FILE + "\n")
        fetch(sidecar.admin, "/reload", "POST", headers={"Host": "localhost"})
    assert CANARY not in sidecar.logged()


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all scalars."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in inside:
        if isinstance(value, dict | list) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


@pytest.mark.parametrize("how", ["file:{}", "x ${{CANARY_KEY}}"])
@pytest.mark.parametrize("text", SECRETS, ids=range(len(SECRETS)))
def test_a_secret_in_any_place_of_the_file_is_shown_nowhere(
    how: str, text: str, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    tree = read(FULL.read_bytes(), "f.yaml", {}).tree
    paths = list(leaves(tree))
    assert len(paths) > 60
    valid = 0
    for path in paths:
        around = tree
        for part in path[:-1]:
            around = around[part]
        kept, around[path[-1]] = around[path[-1]], how.format(file)
        data = json.dumps(tree).encode()
        around[path[-1]] = kept
        try:
            told = json.dumps(validate(data, "f.yaml", {"CANARY_KEY": text}).effective())
            valid += 1
        except ConfigError as error:
            told = str(error)
        assert CANARY not in told, path
    assert 0 < valid < len(paths)


def test_the_help_of_a_command_reads_no_config(secret: Path) -> None:
    for words in (["--help"], ["run", "--help"], ["check", "--help"]):
        done = subprocess.run(
            command(*words), capture_output=True, timeout=20, check=True,
            env={**environment(), "MESHPROXY_CONFIG": str(secret), "CANARY": CANARY},
        )  # fmt: skip
        assert CANARY.encode() not in done.stdout + done.stderr
