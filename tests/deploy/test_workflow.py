"""The workflow: valid, pinned, with no more rights than it needs, and calling what exists."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
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


DOCKER = """#!/bin/sh
echo "BASE=$BASE VERSION=$VERSION docker $*" >> "$CALLS"
case "$*" in
*--print*) echo '{"target": {"image": {"args": {"BASE": "python:3.13"}}}}' ;;
*--metadata-file*) echo '{"image": {"containerimage.digest": "sha256:index"}}' > built.json ;;
*inspect*python*) echo '{"digest": "sha256:base"}' ;;
*inspect*) cat << 'END'
{"digest": "sha256:DIGEST", "manifests": [
  {"digest": "sha256:one", "platform": {"architecture": "amd64"}},
  {"digest": "sha256:two", "platform": {"architecture": "arm64"}},
  {"digest": "sha256:told", "platform": {"architecture": "unknown"}}]}
END
esac
"""
"""Answers as a registry would, and writes down what it was asked."""


def released(folder: Path, step: dict[str, Any], digest: str = "index", **given: str) -> int:
    """The exit code of a step's script, run as the runner does, with another docker."""
    tool("jq")
    docker = folder / "docker"
    docker.write_text(DOCKER.replace("DIGEST", digest))
    docker.chmod(0o755)
    told = {"CALLS": str(folder / "calls"), "GITHUB_OUTPUT": str(folder / "output")}
    told |= {"PATH": f"{folder}:{os.environ['PATH']}", "BASE": "", **given}
    words = ["bash", "-e", "-c", step["run"]]
    return subprocess.run(words, cwd=folder, env=told, timeout=30, check=False).returncode


def test_a_release_pins_its_base_and_tags_the_very_image_that_was_tried_and_scanned(
    tmp_path: Path,
) -> None:
    steps = JOBS["publish"]["steps"]
    build = next(step for step in steps if step.get("id") == "build")
    given = {"REPOSITORY": "Owner", "GITHUB_REF_NAME": "v1.2.0"}
    assert released(tmp_path, build, **given) == 0
    (built,) = (line for line in (tmp_path / "calls").read_text().splitlines() if "--set" in line)
    assert built.startswith("BASE=python:3.13@sha256:base VERSION=1.2.0 docker buildx bake ")
    assert "push-by-digest=true" in built
    outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    name = "ghcr.io/owner/meshproxy"
    digests = {"index": "index", "amd64": "one", "arm64": "two"}
    assert outputs == {"tag": f"{name}:1.2.0"} | {
        key: f"{name}@sha256:{digest}" for key, digest in digests.items()
    }

    after = steps[steps.index(build) + 1 :]
    tried, *scans, tagged = after
    assert "trial.py --image" in tried["run"]
    said = [one["with"]["image"] for one in scans]
    assert said == [f"${{{{ steps.build.outputs.{key} }}}}" for key in ("amd64", "arm64")]
    alone = JOBS["image"]["steps"]
    (as_ever,) = (one["with"] for one in alone if "scan-action" in one.get("uses", ""))
    assert all({**one["with"], "image": as_ever["image"]} == as_ever for one in scans)
    for key in ("INDEX", "TAG"):
        assert tagged["env"][key] == f"${{{{ steps.build.outputs.{key.lower()} }}}}"
    given = {"INDEX": outputs["index"], "TAG": outputs["tag"]}
    assert released(tmp_path, tagged, **given) == 0
    assert f"create --tag {name}:1.2.0 {name}@sha256:index" in (tmp_path / "calls").read_text()
    assert released(tmp_path, tagged, "another", **given) != 0


def test_a_release_without_a_digest_of_its_base_is_none(tmp_path: Path) -> None:
    build = next(step for step in JOBS["publish"]["steps"] if step.get("id") == "build")
    given = {"REPOSITORY": "Owner", "GITHUB_REF_NAME": "v1.2.0"}
    broken = {**build, "run": build["run"].replace('inspect "$tag"', 'fails "$tag"')}
    assert broken != build
    assert released(tmp_path, broken, **given) != 0
    assert "--set" not in (tmp_path / "calls").read_text()
