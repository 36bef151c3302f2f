"""A real web server behind the sidecar: files, ranges, conditions, its own keep-alive end."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from .harness import Sidecar, eventually, fetch, free_port

CONFIG = """
inbound: {listen: <inbound>, app: http://<nginx>, circuit_breaker: off}
"""
NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 50;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/files;
    location /gzip {{
      alias {folder}/files;
      gzip on;
      gzip_proxied any;
      gzip_types *;
    }}
    location /gone {{ return 410 "gone"; }}
    location /hangs-up {{ return 444; }}
  }}
}}
"""
pytestmark = pytest.mark.server("nginx")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if nginx is None:
        pytest.skip("nginx is missing: apt-get install nginx")
    (folder / "files").mkdir()
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    process = subprocess.Popen([nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "errors"])
    try:
        eventually(lambda: answers(port), 10, "nginx up")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    try:
        return fetch(("127.0.0.1", port), "/gone").status == 410
    except OSError:
        return False


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def base(files: Path) -> Iterator[str]:
    """The address of the sidecar in front of nginx, as a URL."""
    with serving(files) as nginx, Sidecar.running(CONFIG, nginx=nginx) as sidecar:
        content = bytes(i * i % 251 for i in range(3_000_000))
        (files / "files" / "large").write_bytes(content)
        (files / "files" / "small.txt").write_text("small " * 100)
        yield f"http://127.0.0.1:{sidecar.inbound[1]}"


def test_a_file_arrives_whole(base: str, files: Path) -> None:
    wanted = hashlib.sha256((files / "files" / "large").read_bytes()).hexdigest()
    with requests.Session() as session:
        for _ in range(10):
            body = session.get(f"{base}/large", timeout=10).content
            assert hashlib.sha256(body).hexdigest() == wanted


def test_parts_and_conditions_pass(base: str) -> None:
    with requests.Session() as session:
        whole = session.get(f"{base}/small.txt", timeout=5)
        part = session.get(f"{base}/small.txt", headers={"Range": "bytes=6-10"}, timeout=5)
        assert (part.status_code, part.text) == (206, "small")
        assert part.headers["Content-Range"] == "bytes 6-10/600"
        same = {"If-None-Match": whole.headers["ETag"]}
        assert session.get(f"{base}/small.txt", headers=same, timeout=5).status_code == 304
        head = session.head(f"{base}/small.txt", timeout=5)
        assert (head.headers["Content-Length"], head.content) == ("600", b"")
        assert session.get(f"{base}/gone", timeout=5).status_code == 410
        assert session.get(f"{base}/small.txt", timeout=5).text == whole.text


def test_a_compressed_answer_is_left_alone(base: str) -> None:
    answer = requests.get(f"{base}/gzip/small.txt", timeout=5)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.text == "small " * 100


def test_its_limit_of_requests_per_connection_is_not_felt(base: str) -> None:
    with requests.Session() as session:
        for method in ("GET", "HEAD") * 100:
            assert session.request(method, f"{base}/small.txt", timeout=5).status_code == 200


def test_a_hang_up_is_told(base: str) -> None:
    answer = requests.get(f"{base}/hangs-up", timeout=5)
    assert (answer.status_code, answer.headers["x-meshproxy-reason"]) == (503, "UC")
