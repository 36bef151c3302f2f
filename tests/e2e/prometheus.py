"""A real Prometheus that scrapes a sidecar each second, and answers questions."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from .harness import eventually, free_port

EVERY = "1s"


def program() -> str:
    """Where it is; a test without it is skipped."""
    found = shutil.which("prometheus")
    if found is None:
        pytest.skip("prometheus is missing: apt-get install prometheus")
    return found


class Prometheus:
    """One running server, its data in `folder`."""

    def __init__(self, folder: Path, targets: dict[str, str], rules: Sequence[Path]) -> None:
        self.port = free_port()
        config = {
            "global": {"scrape_interval": EVERY, "evaluation_interval": EVERY},
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [address]}]}
                for job, address in targets.items()
            ],
        }
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.log = folder / "prometheus.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    program(),
                    f"--config.file={file}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--enable-feature=exemplar-storage",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )

    @classmethod
    @contextmanager
    def running(
        cls, folder: Path, targets: dict[str, str], rules: Sequence[Path] = ()
    ) -> Iterator[Prometheus]:
        """Start one, wait until it has scraped every target, and stop it at the end."""
        server = cls(folder, targets, rules)
        try:
            eventually(lambda: server.is_up(len(targets)), within=30.0, what="a first scrape")
            yield server
        finally:
            server.process.terminate()
            server.process.wait(20)

    def is_up(self, targets: int) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        try:
            return len(self.ask("up == 1")) == targets
        except (urllib.error.URLError, ConnectionError):
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; an error of it fails the test."""
        where = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(where, timeout=20) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                raise ConnectionError("not ready yet") from error
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """What an expression comes to now: labels and value of each series, numbers alone."""
        found = self.get("query", query=query)["result"]
        values = [(each["metric"], float(each["value"][1])) for each in found]
        return [(labels, value) for labels, value in values if value == value]
