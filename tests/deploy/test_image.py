"""The image: how it is built, what it says about itself, and how it is tried."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from .tools import CONFIG, ROOT, run, tool

DOCKERFILE = (ROOT / "Dockerfile").read_text()
CONTAINER = CONFIG / "container"
STAGES = re.split(r"(?m)^FROM ", DOCKERFILE)[1:]


@pytest.mark.server("hadolint")
def test_hadolint_finds_nothing() -> None:
    run(tool("hadolint"), "Dockerfile")


def test_it_runs_as_a_numbered_user_and_is_stopped_by_term() -> None:
    last = STAGES[-1]
    assert re.search(r"^USER 65532:65532$", last, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", last, re.MULTILINE)
    assert 'CMD ["meshproxy", "healthcheck"]' in last
    assert "RUN" not in last, "what ships is copied, never made in place"


def test_it_is_labelled_by_whoever_builds_it() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', STAGES[-1]))
    assert {"title", "description", "licenses", "version", "revision", "source"} <= labels.keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels["description"] == project["description"]
    assert labels["licenses"] == project["license"]
    script = (ROOT / ".ci/image").read_text()
    for name in ("VERSION", "REVISION"):
        assert labels[name.lower()] == f"${{{name}}}"
        assert f"ARG {name}=" in STAGES[-1]
        assert f"--build-arg {name}=" in script


def test_everything_that_is_installed_comes_by_hash() -> None:
    installs = re.findall(r"pip .*?install.*?(?=\n[A-Z#]|\n\n)", DOCKERFILE, re.DOTALL)
    assert len(installs) == 2
    for install in installs:
        assert "--require-hashes" in install
        assert "--only-binary :all:" in install
    lock = (CONTAINER / "sbom.lock").read_text()
    wanted = (CONTAINER / "sbom.in").read_text().strip()
    assert f"\n{wanted} " in f"\n{lock}"
    assert lock.count("==") == len(re.findall(r"== ?[\w.]+(?: ;[^\\]*)? \\\n +--hash", lock)) + (
        lock.count(" == '")
    )


def test_the_builder_is_sent_no_more_than_it_copies() -> None:
    sent = re.findall(r"(?m)^!(\S+)", (ROOT / ".dockerignore").read_text())
    copied = re.findall(r"(?m)^COPY (?!--from)(\S+)", DOCKERFILE)
    assert sorted(sent) == sorted(copied)


def test_both_platforms_are_built_with_provenance_and_sbom() -> None:
    bake = (CONTAINER / "docker-bake.hcl").read_text()
    assert 'platforms = ["linux/amd64", "linux/arm64"]' in bake
    assert 'attest    = ["type=provenance,mode=max", "type=sbom"]' in bake
    arguments = set(re.findall(r"(?m)^ARG (\w+)", DOCKERFILE))
    assert set(re.findall(r"(?m)^    (\w+) += \1$", bake)) == arguments
    hcl2 = pytest.importorskip("hcl2", reason="python-hcl2 is missing: pip install python-hcl2")
    told = json.dumps(hcl2.loads(bake))
    assert "linux/arm64" in told


@pytest.mark.server("cyclonedx-py")
def test_the_sbom_lists_every_package_that_is_installed(tmp_path: Path) -> None:
    """The tool of the image's own stage, here on the environment that the tests run in."""
    sbom = tmp_path / "sbom.json"
    words = ["environment", "--no-validate", "--output-file", str(sbom), sys.executable]
    run(tool("cyclonedx-py"), *words)
    told = json.loads(sbom.read_text())
    assert told["bomFormat"] == "CycloneDX"
    listed = {re.sub(r"[-_.]+", "-", one["name"]).lower() for one in told["components"]}
    locked = re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements.lock").read_text())
    assert {name.lower() for name in locked} <= listed


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.server("podman")
def test_the_image_runs_hardened() -> None:
    """`make image-test`: built from this checkout, then run."""
    tool("podman")
    tool("buildah")
    if not Path("/sys/fs/cgroup").is_dir() or not list(Path("/sys/fs/cgroup").iterdir()):
        pytest.skip("no control groups are mounted here, and limits are what is tried")
    told = run("make", "--silent", "image-test")
    assert told.endswith("the image is as it should be\n")
