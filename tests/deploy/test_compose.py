"""The compose demo: valid, as hardened as it says, and its apps do what it says of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproxy.settings.validate import validate
from tests.e2e.harness import Sidecar, eventually, fetch, free_port

from .tools import CONFIG, ROOT, run, tool

COMPOSE = CONFIG / "compose"
FILE = COMPOSE / "docker-compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
SIDECARS = {name: one for name, one in SERVICES.items() if name.endswith("-sidecar")}


@pytest.mark.server("check-jsonschema")
def test_it_is_a_valid_compose_file() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(FILE))


@pytest.mark.server("podman-compose")
def test_podman_reads_it_too() -> None:
    tool("podman")  # which it asks for its version
    told = run(tool("podman-compose"), "-f", str(FILE), "config")
    assert yaml.safe_load(told)["services"].keys() == SERVICES.keys()


@pytest.mark.server("promtool")
def test_prometheus_takes_its_config_and_the_rules(tmp_path: Path) -> None:
    for volume in SERVICES["prometheus"]["volumes"]:
        source, target, *_ = volume.split(":")
        if target.endswith(".yml"):
            file = tmp_path / target.removeprefix("/etc/prometheus/")
            file.parent.mkdir(exist_ok=True)
            file.write_text((COMPOSE / source).read_text())
    told = run(tool("promtool"), "check", "config", str(tmp_path / "prometheus.yml"))
    assert told.count("rules found") == 2


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_in_it_has_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+m", service["mem_limit"])
    # What is published is published to this machine alone.
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SIDECARS)
def test_a_sidecar_shares_the_network_of_its_app_and_reads_a_folder(name: str) -> None:
    sidecar = SIDECARS[name]
    app = name.removesuffix("-sidecar")
    assert sidecar["network_mode"] == f"service:{app}"
    (volume,) = sidecar["volumes"]
    source, target, mode = volume.split(":")
    # A file that is bound by itself stays the old one when an editor renames a new one over it.
    assert (target, mode) == ("/etc/meshproxy", "ro")
    text = (COMPOSE / source / "meshproxy.yaml").read_bytes()
    file = validate(text, "meshproxy.yaml", {}).file
    assert file.service.name == app
    assert float(sidecar["stop_grace_period"].removesuffix("s")) > file.shutdown.drain


def test_prometheus_scrapes_every_sidecar() -> None:
    told = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    targets = {
        target
        for job in told["scrape_configs"]
        for one in job["static_configs"]
        for target in one["targets"]
    }
    assert targets == {f"{name.removesuffix('-sidecar')}:15020" for name in SIDECARS}


def test_every_file_that_it_mounts_is_there() -> None:
    sources = [
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert len(sources) >= 5
    assert [one for one in sources if not (COMPOSE / one).exists()] == []


def test_what_its_comments_call_a_config_is_there() -> None:
    named = set(re.findall(r"[\w./-]+\.yaml", "".join(re.findall(r"(?m)^#.*", FILE.read_text()))))
    assert "orders/meshproxy.yaml" in named
    assert [one for one in named if not {*COMPOSE.glob(one), *ROOT.glob(one)}] == []


@contextmanager
def app(name: str, **environment: str) -> Iterator[None]:
    """One of the demo's apps."""
    words = [sys.executable, str(COMPOSE / "shop.py"), name]
    process = subprocess.Popen(words, env={**os.environ, **environment})
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(10) == 0, "it ends on SIGTERM"


def config(name: str) -> str:
    """The file of one sidecar, with other ports in the places of its own."""
    text = (COMPOSE / name / "meshproxy.yaml").read_text()
    text = re.sub(r"(?m)^inbound:$", "inbound:\n  listen: <inbound>", text)
    text = re.sub(r"(?m)^outbound:$", "outbound:\n  listen: <outbound>", text)
    return text.replace("127.0.0.1:8080", "<app>").replace("payments:15006", "<payments>")


def test_no_order_fails_although_every_third_payment_does() -> None:
    shop, till, out = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(app("payments", APP_PORT=str(till)))
        stack.enter_context(app("orders", APP_PORT=str(shop), OUTBOUND_PORT=str(out)))
        payments = stack.enter_context(Sidecar.running(config("payments"), app=f"127.0.0.1:{till}"))
        host, port = payments.inbound
        orders = stack.enter_context(
            Sidecar.running(
                config("orders"),
                app=f"127.0.0.1:{shop}",
                outbound=f"127.0.0.1:{out}",
                payments=f"{host}:{port}",
            )
        )
        eventually(lambda: fetch(orders.inbound, "/").status == 200, what="both apps")
        charges = [json.loads(fetch(orders.inbound, "/").body)["charge"] for _ in range(9)]
        assert not [charge for charge in charges if charge % 3 == 0]
        assert orders.total("meshproxy_retries_total", outcome="success") >= 4
