"""config/kubernetes renders, is valid to the letter, and is what it claims to be."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproxy.commands.arguments import parser
from meshproxy.commands.pods import ADMIN, INBOUND, METRICS, NAME, OUTBOUND, PRE_STOP, Sidecar
from meshproxy.commands.workloads import inject
from meshproxy.settings.validate import validate

from .tools import CONFIG, documents, run, tool

KUBERNETES = CONFIG / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
VERSIONS = ("1.29", "1.34", "1.37")
"""The first with native sidecars, and two later ones."""

BEFORE = ("1.26", "1.28")
"""Those that a classic sidecar is for."""

NODE_LOCAL_DNS = "169.254.20.10/32"
"""Where NodeLocal DNSCache listens unless it was told otherwise."""

INJECTED = sorted((CONFIG.parent / "tests/commands/inject").glob("*.out.yaml"))


@cache
def rendered(overlay: str) -> str:
    return run(tool("kubectl"), "kustomize", str(KUBERNETES / "overlays" / overlay))


def objects(overlay: str) -> dict[str, dict[str, Any]]:
    """What an overlay makes, by kind; it has one of each."""
    return {one["kind"]: one for one in documents(rendered(overlay))}


def pod(overlay: str) -> dict[str, Any]:
    spec: dict[str, Any] = objects(overlay)["Deployment"]["spec"]["template"]["spec"]
    return spec


def containers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from spec.get("initContainers") or ()
    yield from spec["containers"]


def sidecar(spec: dict[str, Any]) -> dict[str, Any]:
    (found,) = (one for one in containers(spec) if one["name"] == NAME)
    return found


def pre_stop(one: dict[str, Any]) -> list[str]:
    words: list[str] = one["lifecycle"]["preStop"]["exec"]["command"]
    return words


def hooks(spec: dict[str, Any]) -> list[list[str]]:
    return [pre_stop(one) for one in containers(spec) if "lifecycle" in one]


def complaints(text: str, version: str) -> list[str]:
    """What the schemas of a Kubernetes version do not know, or know otherwise."""
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is missing: pip install it"
    )
    wrong = []
    for document in documents(text):
        # A List is taken apart before the API server sees it.
        for single in document["items"] if document["kind"] == "List" else [document]:
            try:
                kubernetes.validate(single, version, strict=True)
            except kubernetes.ValidationError as error:
                wrong.append(f"{single['kind']}: {error.message}")
    return wrong


@pytest.mark.server("kubectl")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_renders_and_is_strictly_valid(overlay: str, version: str) -> None:
    assert complaints(rendered(overlay), version) == []


@pytest.mark.server("kubectl")
@pytest.mark.parametrize("version", BEFORE)
def test_the_classic_one_is_valid_where_it_is_needed(version: str) -> None:
    assert complaints(rendered("classic-sidecar"), version) == []
    injected = next(path for path in INJECTED if "classic" in path.name)
    assert complaints(injected.read_text(), version) == []


@pytest.mark.server("kubernetes-validate")
@pytest.mark.parametrize("path", INJECTED, ids=lambda path: path.stem)
def test_what_inject_prints_is_strictly_valid(path: Path) -> None:
    assert complaints(path.read_text(), "1.34") == []


@pytest.mark.server("kubernetes-validate")
def test_strictly_means_that_a_wrong_key_is_found() -> None:
    text = next(path for path in INJECTED if "deployment" in path.name).read_text()
    (wrong,) = complaints(text.replace("restartPolicy: Alw", "restartPolice: Alw"), "1.34")
    assert "restartPolice" in wrong


@pytest.mark.server("kubectl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_passes_the_restricted_standard(overlay: str) -> None:
    """Each rule of the pod security standard, and a read-only file system besides."""
    spec = pod(overlay)
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    allowed = {"configMap", "secret", "emptyDir", "projected", "downwardAPI", "csi"}
    for volume in spec["volumes"]:
        assert volume.keys() - {"name"} <= allowed, volume
    shared = spec.get("securityContext") or {}
    for one in containers(spec):
        own = one["securityContext"]
        merged = {**shared, **own}
        assert merged["runAsNonRoot"] is True
        assert merged["runAsUser"] > 0
        assert merged["seccompProfile"]["type"] in {"RuntimeDefault", "Localhost"}
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["readOnlyRootFilesystem"] is True
        assert not own.get("privileged")
        assert all("hostPort" not in port for port in one.get("ports") or ())


@pytest.mark.server("kubectl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_insists_on_that_standard(overlay: str) -> None:
    namespace = objects(overlay)["Namespace"]["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert objects(overlay)["Deployment"]["metadata"]["namespace"] == namespace["name"]


@pytest.mark.server("kubectl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_change_of_the_config_map_reaches_the_running_sidecar(overlay: str) -> None:
    name = objects(overlay)["ConfigMap"]["metadata"]["name"]
    assert not re.search(r"-[a-z0-9]{10}$", name), "a hash in the name rolls the pods out"
    (volume,) = (one for one in pod(overlay)["volumes"] if "configMap" in one)
    assert volume["configMap"]["name"] == name
    (mount,) = (
        one for one in sidecar(pod(overlay))["volumeMounts"] if one["name"] == volume["name"]
    )
    assert "subPath" not in mount, "a subPath never sees a change"
    assert f"{mount['mountPath']}/meshproxy.yaml" in sidecar(pod(overlay))["args"]
    assert "meshproxy.yaml" in objects(overlay)["ConfigMap"]["data"]


@pytest.mark.server("kubectl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_config_is_valid_where_it_will_be_read(overlay: str) -> None:
    environment = {one["name"]: one["value"] for one in sidecar(pod(overlay))["env"]}
    text = objects(overlay)["ConfigMap"]["data"]["meshproxy.yaml"]
    file = validate(text.encode(), "meshproxy.yaml", environment).file
    assert file.inbound is not None
    assert file.inbound.listen.port == INBOUND
    assert file.metrics.listen.port == METRICS
    assert file.admin.listen.host == "127.0.0.1"
    drain = file.shutdown.drain
    waits = max(int(words[-1]) for words in hooks(pod(overlay)) if words[-1].isdigit())
    assert pod(overlay)["terminationGracePeriodSeconds"] > drain + waits


def test_what_the_config_says_in_comments_is_valid_too(tmp_path: Path) -> None:
    secret = tmp_path / "internal-token"
    secret.write_text("s3cret")
    text = (KUBERNETES / "base/meshproxy.yaml").read_text()
    shown = re.sub(r"(?m)^  # (routes:|  )", r"  \1", text).replace(
        "/run/secrets/meshproxy/internal-token", str(secret)
    )
    settings = validate(
        shown.encode(), "meshproxy.yaml", {"SERVICE_NAME": "orders", "APP_PORT": "80"}
    )
    assert settings.file.inbound is not None
    assert len(settings.file.inbound.routes) == 1


@pytest.mark.server("kubectl")
@pytest.mark.parametrize(
    ("overlay", "native"), [("native-sidecar", True), ("classic-sidecar", False)]
)
def test_the_sidecar_is_the_one_that_inject_adds(overlay: str, native: bool) -> None:
    """Two ways to the same pod, which must not drift apart."""
    (deployment,) = documents((KUBERNETES / "base/deployment.yaml").read_text())
    image = sidecar(pod(overlay))["image"]
    asked = Sidecar(image, native=native, config_map="orders-mesh")
    done = inject([deployment], asked)
    assert done.wrong == []
    template = done.documents[0]["spec"]["template"]
    assert sidecar(template["spec"]) == sidecar(pod(overlay))
    # In the same order: kubectl logs and exec take the first container, which is the app.
    for key in ("initContainers", "containers"):
        there, here = template["spec"].get(key) or (), pod(overlay).get(key) or ()
        assert [one["name"] for one in there] == [one["name"] for one in here]
    assert template["spec"]["volumes"] == pod(overlay)["volumes"]
    told = objects(overlay)["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert template["metadata"]["annotations"] == told


@pytest.mark.server("kubectl")
def test_one_starts_before_the_app_and_the_other_outlives_its_last_calls() -> None:
    native, classic = pod("native-sidecar"), pod("classic-sidecar")
    assert native["initContainers"][0]["restartPolicy"] == "Always"
    assert "initContainers" not in classic
    told = [NAME, "drain", "--inbound", "-c", "/etc/meshproxy/meshproxy.yaml"]
    assert pre_stop(sidecar(native)) == told, "callers go elsewhere before the app ends"
    assert pre_stop(sidecar(classic)) == [*told, "--wait", str(PRE_STOP)]
    for words in (told, [*told, "--wait", str(PRE_STOP)]):
        options = parser().parse_args(words[1:])
        assert (options.command, options.inbound) == ("drain", True)
    for one in (native, classic):
        app = next(each for each in one["containers"] if each["name"] == "app")
        assert pre_stop(app) == ["sleep", str(PRE_STOP)], "callers still come meanwhile"


@pytest.mark.server("kubectl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_callers_reach_the_sidecar_and_nothing_else_of_the_pod(overlay: str) -> None:
    made = objects(overlay)
    (port,) = made["Service"]["spec"]["ports"]
    assert port["targetPort"] == INBOUND
    policy = made["NetworkPolicy"]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert opened == {INBOUND, METRICS}
    assert not opened & {ADMIN, OUTBOUND, 8080}
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        policy["podSelector"]["matchLabels"],
        made["Service"]["spec"]["selector"],
        made["Deployment"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()


@pytest.mark.server("kubectl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_the_config_calls_the_policy_lets_out(overlay: str) -> None:
    """Names, also from the node's own cache, and sidecars of the namespace that this one is in."""
    names, sidecars = objects(overlay)["NetworkPolicy"]["spec"]["egress"]
    assert {(one["protocol"], one["port"]) for one in names["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert [one["ipBlock"]["cidr"] for one in names["to"] if "ipBlock" in one] == [NODE_LOCAL_DNS]
    assert sidecars == {
        "to": [{"podSelector": {}}],
        "ports": [{"protocol": "TCP", "port": INBOUND}],
    }
    config = yaml.safe_load(objects(overlay)["ConfigMap"]["data"]["meshproxy.yaml"])
    namespace = objects(overlay)["Deployment"]["metadata"]["namespace"]
    for service in config["outbound"]["services"].values():
        for endpoint in service["endpoints"]:
            _, *domain = endpoint.rpartition(":")[0].split(".")
            assert domain[:1] in ([], [namespace]), endpoint


@pytest.mark.server("kubectl")
@pytest.mark.parametrize("overlay", ["native-sidecar", "classic-sidecar"])
def test_it_scales_by_the_app_and_never_loses_all_of_its_pods(overlay: str) -> None:
    made = objects(overlay)
    scaler = made["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == made["Deployment"]["metadata"]["name"]
    assert scaler["metrics"][0]["containerResource"]["container"] == "app"
    assert scaler["minReplicas"] >= 2
    budget = made["PodDisruptionBudget"]["spec"]
    assert budget["maxUnavailable"] < scaler["minReplicas"]
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()


@pytest.mark.server("kubectl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_one_of_them_says_how_many_pods_there_are(overlay: str) -> None:
    """A count in the Deployment would undo with each apply what the autoscaler has done."""
    made = objects(overlay)
    counted = made["Deployment"]["spec"].get("replicas")
    assert counted == (None if "HorizontalPodAutoscaler" in made else 1)


@pytest.fixture(params=["native-sidecar", "classic-sidecar"])
def secretive(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """What an overlay of somebody else makes, with either sidecar and secrets for it."""
    parts = ("base", f"components/{request.param}", "components/secrets")
    base, *components = (os.path.relpath(KUBERNETES / part, tmp_path) for part in parts)
    (tmp_path / "kustomization.yaml").write_text(
        json.dumps({"namespace": "shop", "resources": [base], "components": components})
    )
    text = run(tool("kubectl"), "kustomize", str(tmp_path))
    assert complaints(text, VERSIONS[0]) == []
    return {one["kind"]: one for one in documents(text)}


@pytest.mark.server("kubectl")
def test_secrets_are_files_that_the_sidecar_may_read_and_nobody_else(
    secretive: dict[str, dict[str, Any]],
) -> None:
    made = secretive
    spec = made["Deployment"]["spec"]["template"]["spec"]
    assert spec["containers"][0]["name"] == "app"
    (volume,) = (one for one in spec["volumes"] if "secret" in one)
    assert volume["secret"]["secretName"] == made["Secret"]["metadata"]["name"]
    assert volume["secret"]["defaultMode"] == 0o440
    assert spec["securityContext"]["fsGroup"] == sidecar(spec)["securityContext"]["runAsGroup"]
    having = [
        one["name"]
        for one in containers(spec)
        if any(mount["name"] == volume["name"] for mount in one.get("volumeMounts") or ())
    ]
    assert having == [NAME]
