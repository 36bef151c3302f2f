"""What is printed for what comes in: pairs of files, and the words for what cannot be."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest

from meshproxy import __version__
from meshproxy.__main__ import main
from meshproxy.commands.inject import MAX_BYTES

PAIRS = Path(__file__).parent / "inject"
INPUTS = sorted(path for path in PAIRS.glob("*.yaml") if not path.name.endswith(".out.yaml"))
IMAGE = ["--image", "registry.example/meshproxy:1"]
"""What every pair was printed with; the first line of an input has the rest."""

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: one
spec:
  containers:
  - name: app
    image: app:1
    ports:
    - containerPort: 8080
"""


def options(path: Path) -> list[str]:
    first = path.read_text().partition("\n")[0]
    return shlex.split(first.removeprefix("# options:")) if "# options:" in first else IMAGE


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_it_prints_what_stands_beside_the_input(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inject", "-f", str(path), *options(path)]) == 0
    assert capsys.readouterr().out == path.with_suffix(".out.yaml").read_text()


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_a_second_time_changes_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = path.with_suffix(".out.yaml")
    assert main(["inject", "-f", str(printed), *options(path)]) == 0
    shown = capsys.readouterr()
    assert shown.out == printed.read_text()
    assert "has this sidecar already" in shown.err


CHANGED = {
    "deployment": [],
    "jobs": [],
    "classic-list": [],
    "aliases": [],
    "config-map": ["annotations: {team: shop}", "terminationGracePeriodSeconds: 35"],
    "flow": [
        'answer: "y" # last',
        "{name: keys, secret: {secretName: keys, defaultMode: 0440}} # last",
    ],
    "pod-json": ['"metadata": {"name": "one"},'],
}
"""Which lines of the inputs get something: an annotation, a longer grace, a comma. In values.yaml
an alias stands in the way."""


@pytest.mark.parametrize("name", CHANGED)
def test_every_line_of_the_input_is_kept_where_nothing_stands_in_the_way(name: str) -> None:
    path = PAIRS / f"{name}.yaml"
    after = iter(path.with_suffix(".out.yaml").read_text().splitlines())
    lines = path.read_text().splitlines()
    assert {line.strip() for line in lines} >= {*CHANGED[name]}
    for line in lines:
        if line.strip() not in CHANGED[name]:
            assert line in after, f"lost, or out of order: {line}"


def test_what_makes_no_pods_is_printed_byte_for_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "# mine\r\nkind: ConfigMap\r\ndata: {on: 'yes'}\r\n---\r\n---\r\nkind:   Namespace"
    file = tmp_path / "other.yaml"
    file.write_bytes(text.encode())
    assert main(["inject", "-f", str(file)]) == 0
    shown = capsys.readouterr()
    assert shown.out == text
    assert "nothing here makes pods" in shown.err


def test_standard_input_and_several_files_become_one_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "service.yaml"
    file.write_text("kind: Service\nmetadata: {name: one}")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    assert main(["inject", "-f", str(file), "-f", "-"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        "kind: Service\nmetadata: {name: one}\n---\napiVersion: v1\nkind: Pod"
    )
    assert f"image: meshproxy:{__version__}" in printed


def test_everything_wrong_is_told_at_once_and_nothing_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(POD)
    bad.write_text(POD.replace("8080", "15020") + "  hostNetwork: true\n")
    assert main(["inject", "-f", str(bad), "-f", str(good)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    first, second = shown.err.splitlines()
    assert first.startswith(f"{bad}:10:7: spec.containers[0].ports[0]: Pod/one: port 15020 is the")
    assert second.startswith(f"{bad}:11:16: spec.hostNetwork: Pod/one: the sidecar's ports would")


def test_a_service_that_goes_past_the_sidecar_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "both.yaml"
    service = (
        "kind: Service\nmetadata: {name: one}\nspec: {selector: {a: b}, ports: [{port: 8080}]}\n"
    )
    file.write_text(f"{service}---\n{POD.replace('  name: one', '  labels: {a: b}')}")
    assert main(["inject", "-f", str(file)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(service)
    assert "targetPort 8080 goes past the sidecar of Pod; write targetPort: 15006" in shown.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-f", "/no/such/file.yaml"], "cannot read /no/such/file.yaml: No such file"),
        (["-f", "-", "--inject-env"], "name them with --to or --config-map"),
        (["-f", "-", "--config-map", "a", "--to", "b=c:1"], "either --config-map or --to"),
    ],
)
def test_words_that_do_not_go_together(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inject", *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-f", "x", "--native", "--classic"],
    ],
)
def test_words_that_mean_nothing_are_a_usage_error(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["inject", *words])
    assert ended.value.code == 2


def told(text: str | bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line about an input that gets nothing."""
    file = tmp_path / "f.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    assert main(["inject", "-f", str(file), "--config-map", "mesh"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line.removeprefix(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("  containers:", "  os: linux\n  containers:", "f.yaml:6:7: spec.os: "),
        ("  containers:", "  volumes: [{name: x, configMap: foo}]\n  containers:",
         "f.yaml:6:34: spec.volumes[0].configMap: "),
        ("  name: one", "  generateName: 5", "f.yaml:4:17: metadata.generateName: "),
        ("  name: one", "  labels: [a]", "f.yaml:4:11: metadata.labels: "),
        ("    - containerPort: 8080", "    - {containerPort: 8080, name: [h]}",
         "f.yaml:10:35: spec.containers[0].ports[0].name: "),
    ],
)  # fmt: skip
def test_a_plausible_mistake_is_one_line_with_its_place(
    old: str, new: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(POD.replace(old, new), tmp_path, capsys).startswith(f"{line}Pod")


@pytest.mark.parametrize(
    "spec",
    ["[..]", "{selector: ab}", "{selector: {a: b}, ports: [8080]}",
     "{selector: {a: b}, ports: [{port: 1, targetPort: [1]}]}"],
)  # fmt: skip
def test_a_malformed_service_beside_a_pod_stays_as_it_is(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        f"kind: Service\nspec: {spec}\n---\n{POD}".replace("name: one", "labels: {a: b}")
    )
    assert main(["inject", "-f", str(file)]) == 0
    assert capsys.readouterr().out.startswith(f"kind: Service\nspec: {spec}\n---\n")


@pytest.mark.parametrize(
    "template",
    ["kind: Deployment\nspec:\n  replicas: {{ .Values.replicas }}\n",
     "kind: Deployment\n{{- if .Values.on }}\nspec: {}\n{{- end }}\n"],
)  # fmt: skip
def test_a_template_has_to_be_rendered_first(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = told(template, tmp_path, capsys)
    assert line.startswith("f.yaml:")
    assert line.endswith("render it first: helm template ... | meshproxy inject -f -")


@pytest.mark.parametrize("name", ["-", "file"])
def test_what_is_too_long_is_refused_and_not_cut(
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = POD.encode() + b"#" * (MAX_BYTES - len(POD) + 1)
    file = tmp_path / "long.yaml"
    file.write_bytes(data)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["inject", "-f", str(file) if name == "file" else "-"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "more than 16 MiB: give it in several files" in shown.err


@pytest.mark.parametrize("name", ["y", "1e3", "0o17", "1:30"])
def test_a_name_that_looks_like_something_else_stays_a_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(POD.replace("name: one", f'name: "{name}"'))
    assert main(["inject", "-f", str(file)]) == 0
    assert f"    - --name\n    - '{name}'\n" in capsys.readouterr().out


def test_where_comments_are_lost_it_is_said_with_the_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(f"a: 1\n---\n{POD.replace('spec:', 'spec: &x')}x: *x # lost\n")
    assert main(["inject", "-f", str(file)]) == 0
    shown = capsys.readouterr()
    assert "lost" not in shown.out
    assert f"{file}:3:1: written anew, without its comments: " in shown.err
