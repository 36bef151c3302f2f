"""The workflow: valid, pinned, with no more rights than it needs, and calling what exists."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from .tools import ROOT, run, tool

WORKFLOW = ROOT / ".github/workflows/ci.yaml"
TEXT = WORKFLOW.read_text()
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]


@pytest.mark.server("zizmor")
def test_zizmor_finds_nothing() -> None:
    run(tool("zizmor"), "--offline", "--pedantic", "--quiet", str(WORKFLOW))


@pytest.mark.server("check-jsonschema")
def test_it_is_a_valid_workflow() -> None:
    schema = "vendor.github-workflows"
    run(tool("check-jsonschema"), "--builtin-schema", schema, str(WORKFLOW))


def test_every_action_is_pinned_by_commit_and_says_which_version_that_is() -> None:
    used = re.findall(r"uses: (.*)", TEXT)
    assert len(used) > 10
    assert [one for one in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v[0-9.]+", one)] == []
    versions: dict[str, set[str]] = {}
    for action, commit in re.findall(r"uses: (\S+)@(\S+ # \S+)", TEXT):
        versions.setdefault(action, set()).add(commit)
    assert all(len(one) == 1 for one in versions.values()), versions


def test_it_does_what_is_asked_of_it() -> None:
    assert {"lint", "types", "test", "build", "image", "scan", "publish"} == JOBS.keys()
    assert JOBS["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_and_may_only_what_it_says(name: str) -> None:
    job = JOBS[name]
    assert job["timeout-minutes"] <= 45
    rights = dict(job["permissions"])
    if name == "publish":
        assert rights.pop("packages") == "write"
    assert rights == {"contents": "read"}
    for step in job["steps"]:
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_what_it_runs_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    script = "\n".join(step["run"] for _, step in STEPS if "run" in step)
    for target in re.findall(r"\bmake ([a-z-]+)", script):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    paths = re.findall(r"(?:config|\.ci)/[\w./-]+", script)
    assert len(paths) > 3
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_only_a_tag_publishes_and_only_after_everything_else() -> None:
    publish = JOBS["publish"]
    assert publish["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert set(publish["needs"]) == JOBS.keys() - {"publish", "lint"}
    assert "lint" in JOBS["build"]["needs"]
