"""The command behind `run --` and its environment."""

from __future__ import annotations

import pytest

from meshproxy.control.given import Given
from meshproxy.settings.validate import validate

FILE = b"""
version: 1
outbound:
  listen: "[::]:15001"
  services:
    pay-ments: {endpoints: ["10.0.0.1:80"], listen: "0.0.0.0:7001"}
    users: {endpoints: ["10.0.0.2:80"]}
"""


def environment(monkeypatch: pytest.MonkeyPatch, *, inject: bool) -> dict[str, str]:
    for key in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("ADDED", "1")
    given = Given(["true"], inject, frozenset({"ADDED"}))
    return given.command(validate(FILE, "f", {}).file)._environment


def test_the_way_through_the_sidecar(monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment(monkeypatch, inject=True)
    assert found["HTTP_PROXY"] == found["http_proxy"] == "http://[::1]:15001"
    assert found["PAY_MENTS_URL"] == "http://127.0.0.1:7001"
    assert found["USERS_URL"] == "http://users"
    assert found["KEPT"] == "1"


def test_nothing_is_injected_unasked_and_what_is_ours_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = environment(monkeypatch, inject=False)
    assert "HTTP_PROXY" not in found
    assert "NOTIFY_SOCKET" not in found
    assert "ADDED" not in found
