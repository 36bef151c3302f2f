"""A file is explained as by a sidecar that has just started, with nothing opened."""

from __future__ import annotations

import socket

import pytest

from meshproxy.control.explain import BadQuestionError
from meshproxy.control.offline import explained
from meshproxy.dataplane.foresight import foresee
from meshproxy.dataplane.kinds import Kinds
from meshproxy.settings.validate import validate

FILE = b"""
version: 1
inbound:
  app: http://127.0.0.1:8080
  rate_limits: [{limit: 7/s, burst: 4}]
outbound:
  services:
    users: {endpoints: [10.0.0.1:80, {address: 10.0.0.2:80, weight: 3, tier: 1}]}
"""
SETTINGS = validate(FILE, "f.yaml", {})


def test_buckets_are_full_and_circuits_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    for _ in range(9):  # each is another sidecar
        found = explained(SETTINGS, [("url", "/x")], Kinds, foresee)
    assert found["limits"][0]["left"] == 4
    found = explained(SETTINGS, [("url", "http://users/")], Kinds, foresee)
    assert [each["circuit"] for each in found["endpoints"]] == ["closed", "closed"]
    assert found["endpoints"][1]["weight"] == 3
    assert found["pick"]["candidates"] == [{"address": "10.0.0.1:80", "chance": 1.0}]


def test_a_bad_question_is_told() -> None:
    with pytest.raises(BadQuestionError):
        explained(SETTINGS, [("url", "nowhere")], Kinds, foresee)
