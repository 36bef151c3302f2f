"""The image: how it is built, what it says about itself, and how it is tried."""

from __future__ import annotations

import json
import os
import re
import shutil
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


def builds(folder: Path, origin: str, urls: str = "") -> list[str]:
    """The words that a docker is called with, for a checkout with such an origin."""
    for name in (".ci/image", "meshproxy/__init__.py", "pyproject.toml"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    with (folder / "pyproject.toml").open("a") as project:
        project.write(urls)
    docker = folder / "docker"
    docker.write_text('#!/bin/sh\n[ "$1" = info ] || printf "%s\\n" "$@"\n')
    docker.chmod(0o755)
    run("git", "init", "--quiet", str(folder))
    if origin:
        run("git", "-C", str(folder), "remote", "add", "origin", origin)
    image = str(folder / ".ci/image")
    return run("sh", image, "NAME", PATH=f"{folder}:{os.environ['PATH']}").splitlines()


URLS = '\n[project.urls]\nSource = "https://code.example/from/project"\n'
ORIGINS = {
    "https://code.example/team/meshproxy.git": True,
    "http://code.example:8080/team/meshproxy": True,
    "https://somebody:s3cret@code.example/team/meshproxy.git": False,
    "https://t0ken@code.example/team/meshproxy.git": False,
    "https://code.example/team/meshproxy.git?private_token=s3cret": False,
    "git@code.example:team/meshproxy.git": False,
    "/somewhere/here": False,
    "": False,
}


@pytest.mark.parametrize("urls", ["", URLS], ids=["", "with project.urls"])
@pytest.mark.parametrize("origin", ORIGINS)
def test_its_source_is_where_everybody_finds_it(tmp_path: Path, origin: str, urls: str) -> None:
    words = builds(tmp_path, origin, urls)
    assert words[0] == "build"
    assert "REVISION=unknown-dirty" in words
    elsewhere = ["SOURCE=https://code.example/from/project"] if urls else []
    told = [word for word in words if word.startswith("SOURCE=")]
    assert told == ([f"SOURCE={origin}"] if ORIGINS[origin] else elsewhere)


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
    project = tmp_path / "pyproject.toml"
    edit, put = re.findall(r'sed -i "(s/.*/)" (\S+)', DOCKERFILE)[0]
    assert put == project.name
    project.write_text(run("sed", edit.replace("\\", "").replace("$version", "1.2.3"), put))
    words = ["environment", "--no-validate", "--pyproject", str(project), "--output-file"]
    run(tool("cyclonedx-py"), *words, str(sbom), sys.executable)
    told = json.loads(sbom.read_text())
    assert told["metadata"]["component"]["version"] == "1.2.3"
    # What depends on nothing and is depended on by nothing tells nobody why a package is there.
    (root,) = (one for one in told["dependencies"] if one["ref"] == "root-component")
    direct = {re.split("[=<>]", one)[0].lower() for one in root["dependsOn"]}
    needed = tomllib.loads(project.read_text())["project"]["dependencies"]
    assert {re.split("[=<>]", one)[0].lower() for one in needed} <= direct
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
