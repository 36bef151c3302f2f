"""The rules and the dashboard that ship: well-formed, of metrics that exist, and with tests.

That their queries find data is for tests/e2e/test_boards.py, where there is some.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproxy.telemetry.families import FAMILIES, PROCESS

CONFIG = Path(__file__).resolve().parents[1] / "config"
RULES = [CONFIG / "prometheus" / name for name in ("recording.yml", "alerts.yml")]
UNIT_TESTS = sorted((CONFIG / "prometheus" / "tests").glob("*.yml"))
BOARD = json.loads((CONFIG / "grafana" / "meshproxy.json").read_text())
LABELS = {family.name: set(family.labels.split(",")) - {""} for family in (*FAMILIES, *PROCESS)}
LABELS["python_gc_collections_total"] = {"generation"}
OF_A_TARGET = {"job", "instance"}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(file.read_text()) for file in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def queries() -> Iterator[str]:
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield from (each["expr"] for each in BOARD["annotations"]["list"])
    yield from (rule["expr"] for rule in rules())


def metrics(query: str) -> set[str]:
    return set(re.findall(r"\b(?:meshproxy|process|python)_\w+", re.sub(r"\w+:[\w:]+", "", query)))


def family(metric: str) -> str:
    """A histogram's series have suffixes."""
    return metric if metric in LABELS else re.sub("_(bucket|sum|count)$", "", metric)


ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDED = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


@pytest.mark.parametrize("query", [*queries()])
def test_a_query_asks_for_metrics_that_there_are(query: str) -> None:
    found = metrics(query)
    assert {family(metric) for metric in found} <= set(LABELS)
    recorded = set(re.findall(r"\b\w+:\w+:\w+\b", query))
    assert recorded <= set(RECORDED)
    assert found or recorded


@pytest.mark.parametrize("query", [*queries()])
def test_a_query_uses_labels_that_its_metrics_have(query: str) -> None:
    known = set().union(*(LABELS[family(metric)] for metric in metrics(query))) | OF_A_TARGET
    if "_bucket" in query:
        known |= {"le"}
    for name in re.findall(r"\b\w+:\w+:\w+\b", query):
        level = name.partition(":")[0]
        known |= {label for labels in LABELS.values() for label in labels if label in level}
    used = re.findall(r'(\w+) ?(?:=~|!=|!~|=)(?= ?")', query)
    used += [
        label
        for some in re.findall(r"\b(?:by|on) \(([^)]*)\)", query)
        for label in some.split(", ")
    ]
    assert set(used) <= known


def test_every_metric_is_on_the_board() -> None:
    shown = {family(metric) for query in queries() for metric in metrics(query)}
    missing = {one.name for one in FAMILIES} - shown
    assert missing == set()


def test_the_board_has_a_row_for_each_part_and_nothing_lies_on_anything_else() -> None:
    rows = [panel["title"].lower() for panel in BOARD["panels"] if panel["type"] == "row"]
    for part in ("traffic", "errors", "latency", "upstreams", "retries", "limits", "breakers",
                 "config", "process"):  # fmt: skip
        assert any(part in row for row in rows), part
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_file_is_what_the_panels_make_and_is_held_to_them() -> None:
    script = CONFIG / "grafana" / "board.py"
    spec = importlib.util.spec_from_file_location("board", script)
    assert spec is not None
    assert spec.loader is not None
    board = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(board)
    assert board.FILE.read_text() == board.text(), f"make it anew: python {script}"


def test_the_board_can_be_imported_into_any_grafana() -> None:
    assert BOARD["schemaVersion"] >= 39
    assert "id" not in BOARD  # the number of another Grafana's database
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    names = [variable["name"] for variable in BOARD["templating"]["list"]]
    assert names == ["datasource", "job", "instance"]
    for panel in panels():
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0


def test_every_query_of_the_board_holds_to_the_chosen_service_and_instance() -> None:
    for panel in panels():
        for target in panel["targets"]:
            picked = target["expr"].count('{job=~"$job", instance=~"$instance"')
            assert picked == len(
                re.findall(r"\b(?:meshproxy|process|python)_\w+\{", target["expr"])
            )
            assert picked > 0
            windows = set(re.findall(r"\[([^\]]+)\]", target["expr"]))
            assert windows <= {"$__rate_interval"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_happens_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    notes = alert["annotations"]
    assert notes["summary"].startswith("{{ $labels.job }}: ")
    assert len(notes["description"]) > 100
    # Whoever is woken must not read a gap: the labels it names are those it has.
    named = set(re.findall(r"\$labels\.(\w+)", notes["summary"] + notes["description"]))
    assert named <= labels_of(alert["expr"])


def labels_of(query: str) -> set[str]:
    """The labels of what a query comes to: those it sums by, else those of what it asks for."""
    by = re.findall(r"\bby \(([^)]*)\)", query)
    if by:
        return set(by[0].split(", "))
    recorded = re.search(r"\b\w+:\w+:\w+\b", query)
    if recorded is None:
        return OF_A_TARGET.union(*(LABELS[one] for one in metrics(query)))
    summed = re.findall(r"\bby \(([^)]*)\)", RECORDED[recorded[0]])
    return set(recorded[0].partition(":")[0].split("_")) | (set() if summed else OF_A_TARGET)


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    tests = yaml.safe_load((CONFIG / "prometheus" / "tests" / "alerts.yml").read_text())["tests"]
    fires: set[str] = set()
    for test in tests:
        for one in test["promql_expr_test"]:
            [name] = re.findall('alertname="(\\w+)"', one["expr"])
            if one["exp_samples"]:
                fires.add(name)
    assert fires == {alert["alert"] for alert in ALERTS}


def test_every_recording_rule_has_a_test_or_a_rule_that_stands_on_it() -> None:
    told = (CONFIG / "prometheus" / "tests" / "recording.yml").read_text()
    stood_on = "".join(expr for expr in RECORDED.values())
    assert {name for name in RECORDED if name not in told and name not in stood_on} == set()


def test_a_recorded_name_says_what_it_is_summed_by() -> None:
    for name, expr in RECORDED.items():
        level, metric, _ = name.split(":")
        assert metric.startswith("meshproxy_")
        for by in re.findall(r"\bby \(([^)]*)\)", expr):
            assert by.replace(", ", "_") == level


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.server("promtool")
def test_promtool_reads_the_rules_and_the_example() -> None:
    checked = promtool("check", "rules", *map(str, RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    checked = promtool("check", "config", str(CONFIG / "prometheus" / "prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.server("promtool")
@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.stem)
def test_the_unit_tests_of_the_rules_pass(file: Path) -> None:
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
