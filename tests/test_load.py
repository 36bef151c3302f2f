"""Load fails when the sidecar is broken: each scenario once, in the way it is there to notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loadtests import load, sidecar

SOUND = {
    "requests": 1000,
    "failures": 0,
    "rate": 100.0,
    "p50": 2.0,
    "p95": 9.0,
    "seen": {},
    "errors": [],
    "problems": [],
}
STRICT = load.Scenario("steady", ("SteadyMix",), 0.0)
LENIENT = load.Scenario("failing", ("FailingUpstream",), 0.01)


def wrong(scenario: load.Scenario, **figures: Any) -> list[str]:
    return load.judge(scenario, 250.0, {**SOUND, **figures}).problems


def test_a_sound_run_has_no_problem() -> None:
    assert wrong(STRICT) == []
    assert wrong(LENIENT, failures=10) == []


@pytest.mark.parametrize(
    ("scenario", "figures", "complaint"),
    [
        (STRICT, {"failures": 1, "errors": ["1 x GET: status 503"]}, "1 of 1000 failed"),
        (LENIENT, {"failures": 11}, "at most 1.0% may"),
        (STRICT, {"requests": 0}, "no request was made"),
        (STRICT, {"p95": 251.0}, "p95 is 251 ms"),
        (STRICT, {"problems": ["the burst should see both 200 and 429"]}, "both 200 and 429"),
    ],
)
def test_each_threshold_is_one(
    scenario: load.Scenario, figures: dict[str, Any], complaint: str
) -> None:
    assert complaint in " ".join(wrong(scenario, **figures))


FREE = "limit: 1000000/s, burst: 1000000"
BROKEN: dict[str, Callable[[str, sidecar.Ports], str]] = {
    "steady": lambda text, ports: text.replace(
        f"app: http://127.0.0.1:{ports.app}", f"app: http://127.0.0.1:{ports.dead}"
    ),
    "burst": lambda text, _: text.replace(
        f"{sidecar.LIMIT}/s, burst: {sidecar.LIMIT}", "1000000/s"
    ),
    # Of two endpoints the sound one would get nearly all, with retries or without.
    "failing": lambda text, ports: text.replace(f'"127.0.0.1:{ports.sound}", ', "").replace(
        "attempts: 2", "attempts: 0"
    ),
    "proxied": lambda text, _: text.replace("    users: {", "    others: {"),
    "helped": lambda text, _: text.replace("cache: {}", "cache: off"),
    # The edits then change nothing, as if nobody had looked at the file.
    "reload": lambda text, _: text.replace("timeout: 10s", "timeout: 10000ms"),
}


def test_every_scenario_is_broken_once() -> None:
    assert list(BROKEN) == [scenario.name for scenario in load.SCENARIOS]


@pytest.mark.parametrize("scenario", BROKEN)
def test_a_broken_sidecar_fails(
    scenario: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sound = sidecar.config

    def broken(ports: sidecar.Ports) -> str:
        text = sound(ports)
        assert BROKEN[scenario](text, ports) != text
        return BROKEN[scenario](text, ports)

    monkeypatch.setattr(sidecar, "config", broken)
    # Nobody judges how fast it is: what is broken is what is noticed.
    argv = ["--only", scenario, "--seconds", "3", "--users", "4", "--p95", "60000"]
    assert load.main(argv) == 1
    assert f"{scenario}: " in capfd.readouterr().out
