"""What forbids an upgrade in place; the rest is tests/e2e/test_upgrade.py's."""

from __future__ import annotations

import os

import pytest

from meshproxy.control.successor import why_not


def test_what_forbids_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not("f.yaml", has_command=False) == ""
    assert "child" in why_not("f.yaml", has_command=True)
    assert "standard input" in why_not("<stdin>", has_command=False)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert "PID 1" in why_not("f.yaml", has_command=False)
