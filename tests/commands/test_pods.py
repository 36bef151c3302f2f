"""What a pod gets with its sidecar, and which pods get none."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from meshproxy.commands.pods import (
    FOLDER,
    GRACE,
    MARGIN,
    NAME,
    PRE_STOP,
    VOLUME,
    Sidecar,
    add,
    app_port,
    bypassed,
    config_map,
    container,
    present,
    scraped,
    wrong,
)

NATIVE = Sidecar("mesh:1")
CLASSIC = Sidecar("mesh:1", native=False)
MAPPED = Sidecar("mesh:1", config_map="mesh")
APP = {"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 8080}]}
SPEC: dict[str, Any] = {"containers": [APP]}


def test_a_native_sidecar_comes_before_the_pods_own_init_containers() -> None:
    given = add({**SPEC, "initContainers": [{"name": "migrate"}]}, NATIVE, "orders")
    assert [one["name"] for one in given["initContainers"]] == [NAME, "migrate"]
    assert given["initContainers"][0]["restartPolicy"] == "Always"
    assert given["containers"] == [APP]


def test_a_classic_one_comes_last_and_hears_the_end_later() -> None:
    given = add(SPEC, CLASSIC, "orders")
    assert [one["name"] for one in given["containers"]] == ["app", NAME]
    words = given["containers"][1]["lifecycle"]["preStop"]["exec"]["command"]
    assert words[:3] == [NAME, "drain", "--inbound"]
    assert words[-2:] == ["--wait", str(PRE_STOP)]
    assert "restartPolicy" not in given["containers"][1]
    assert "initContainers" not in given


def test_what_comes_in_is_never_changed() -> None:
    spec = deepcopy({**SPEC, "volumes": [], "initContainers": []})
    add(spec, Sidecar("mesh:1", config_map="mesh", proxy_env=True, drain=90), "orders")
    assert spec == {**SPEC, "volumes": [], "initContainers": []}


@pytest.mark.parametrize("sidecar", [NATIVE, CLASSIC, MAPPED])
def test_the_restricted_pod_security_standard_admits_it(sidecar: Sidecar) -> None:
    context = container(sidecar, "orders", 8080)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_each_probe_asks_its_own_question() -> None:
    made = container(NATIVE, "orders", 8080)
    asked = {
        key: made[key]["httpGet"]["path"]
        for key in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert asked == {
        "startupProbe": "/startupz",
        "readinessProbe": "/readyz",
        "livenessProbe": "/livez",
    }


def test_without_a_config_it_stands_before_the_apps_first_port() -> None:
    assert container(NATIVE, "orders", 8080)["args"] == [
        "run",
        "--app",
        ":8080",
        "--name",
        "orders",
    ]
    assert app_port(SPEC, NATIVE) == 8080
    assert app_port(SPEC, Sidecar("mesh:1", app_port=9000)) == 9000
    assert app_port({"containers": [{"name": "app"}]}, NATIVE) is None


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_the_apps_port_is_one_of_tcp(protocol: str) -> None:
    other = {"containerPort": 53, "protocol": protocol}
    tcp = {"containerPort": 8080, "protocol": "TCP"}
    assert app_port({"containers": [{"name": "app", "ports": [other, tcp]}]}, NATIVE) == 8080
    assert app_port({"containers": [{"name": "app", "ports": [other]}]}, NATIVE) is None


def test_a_config_map_is_mounted_whole_so_that_its_changes_are_seen() -> None:
    given = add({**SPEC, "volumes": [{"name": "data"}]}, MAPPED, "orders")
    assert given["volumes"] == [{"name": "data"}, {"name": VOLUME, "configMap": {"name": "mesh"}}]
    made = given["initContainers"][0]
    assert made["volumeMounts"] == [{"name": VOLUME, "mountPath": FOLDER, "readOnly": True}]
    assert made["args"] == ["run", "-c", f"{FOLDER}/meshproxy.yaml"]
    assert made["env"] == [
        {"name": "SERVICE_NAME", "value": "orders"},
        {"name": "APP_PORT", "value": "8080"},
    ]


@pytest.mark.parametrize(
    ("own", "drain", "becomes"),
    [
        (None, 20, None),  # Kubernetes' own 30 s are enough
        (None, 21, 21 + MARGIN),
        (5, 20, 20 + MARGIN),
        (GRACE, 20, GRACE),
        (120, 20, 120),
    ],
)
def test_the_pod_lives_longer_than_the_drain(
    own: int | None, drain: int, becomes: int | None
) -> None:
    spec = SPEC if own is None else {**SPEC, "terminationGracePeriodSeconds": own}
    given = add(spec, Sidecar("mesh:1", drain=drain), "orders")
    assert given.get("terminationGracePeriodSeconds") == becomes


def test_no_grace_period_is_the_default_one() -> None:
    spec = {**SPEC, "terminationGracePeriodSeconds": None}
    assert wrong(spec, NATIVE) == []
    assert add(spec, NATIVE, "orders")["terminationGracePeriodSeconds"] is None
    longer = add(spec, Sidecar("mesh:1", drain=40), "orders")
    assert longer["terminationGracePeriodSeconds"] == 40 + MARGIN


def test_the_apps_calls_are_sent_to_it_only_when_asked_and_never_against_the_apps_word() -> None:
    spec = {
        "containers": [
            {"name": "app", "env": [{"name": "http_proxy", "value": "http://else:1"}]},
            {"name": "other"},
        ]
    }
    asked = Sidecar("mesh:1", targets=("a=b:1",), proxy_env=True)
    first, second = add(spec, asked, "orders")["containers"]
    assert [one["name"] for one in first["env"]] == ["http_proxy", "NO_PROXY", "no_proxy"]
    proxies = [one for one in second["env"] if one["name"].lower() == "http_proxy"]
    assert [one["value"] for one in proxies] == ["http://127.0.0.1:15001"] * 2
    assert add(spec, NATIVE, "orders")["containers"] == spec["containers"]


def test_only_a_pod_that_prometheus_is_not_sent_elsewhere_in_says_where_to_scrape() -> None:
    assert scraped(None)["prometheus.io/port"] == "15020"
    assert scraped({"team": "shop"})["team"] == "shop"
    own = {"prometheus.io/port": "9000"}
    assert scraped(own) == own


def test_a_pod_that_has_it_is_known_whatever_was_tuned_since() -> None:
    given = add(SPEC, NATIVE, "orders")
    given["initContainers"][0]["resources"] = {}
    assert present(given, NATIVE)
    assert wrong(given, NATIVE) == []
    assert not present(given, CLASSIC)
    assert not present(given, Sidecar("mesh:2"))
    assert not present(SPEC, NATIVE)


def told(spec: Any, sidecar: Sidecar = NATIVE) -> str:
    return "; ".join(f"{path}: {text}" for path, text in wrong(spec, sidecar))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"hostNetwork": True}, "would be the node's"),
        ({"os": {"name": "windows"}}, "Linux only"),
        ({"os": "linux"}, "must be a mapping, not 'linux'"),
        ({"containers": []}, "at least one container"),
        ({"containers": {"name": "app"}}, "must be a list, not a mapping"),
        ({"containers": [{"image": "x"}]}, "a mapping with a name"),
        ({"containers": [{"name": "a", "env": "x"}]}, "must be a list, not 'x'"),
        ({"containers": [{"name": "a", "ports": [8080]}]}, "a mapping with a containerPort"),
        ({"containers": [{"name": "a", "ports": 8080}]}, "must be a list, not 8080"),
        ({"containers": [{"name": "a"}]}, "name the app's with --port"),
        ({"volumes": ["data"]}, "a mapping with a name"),
        ({"terminationGracePeriodSeconds": "30"}, "must be a number of seconds, not '30'"),
        (
            {"containers": [{"name": "a", "ports": [{"containerPort": 15006}]}]},
            "port 15006 is the sidecar's inbound port",
        ),
        (
            {
                "containers": [
                    {"name": "a", "ports": [{"containerPort": 1, "name": "mesh-metrics"}]}
                ]
            },
            "the port name mesh-metrics is the sidecar's",
        ),
        (
            {"containers": [APP, {"name": NAME, "image": "mesh:1"}]},
            "a classic sidecar with the image mesh:1 is here already; asked for is a native one",
        ),
        (
            {"initContainers": [{"name": NAME, "image": "mesh:0"}]},
            "a native sidecar with the image mesh:0 is here already",
        ),
    ],
)
def test_a_pod_that_cannot_have_it(change: dict[str, Any], why: str) -> None:
    assert why in told({**SPEC, **change})


@pytest.mark.parametrize("port", [15000, 15001, 15006, 15020])
def test_a_sidecar_of_another_mesh_has_ports_too(port: int) -> None:
    istio = {"name": "istio-proxy", "ports": [{"containerPort": port}]}
    native = {**SPEC, "initContainers": [{**istio, "restartPolicy": "Always"}]}
    assert f"('initContainers', 0, 'ports', 0): port {port} is the sidecar's" in told(native)
    assert f"port {port} is the sidecar's" in told(native, CLASSIC)


def test_an_init_container_that_ends_is_beside_a_native_sidecar_alone() -> None:
    spec = {**SPEC, "initContainers": [{"name": "i", "ports": [{"containerPort": 15006}]}]}
    assert "port 15006 is the sidecar's" in told(spec)
    assert told(spec, CLASSIC) == ""


def test_a_port_of_another_protocol_is_no_clash() -> None:
    port = {"containerPort": 15006, "protocol": "UDP"}
    assert told({"containers": [APP, {"name": "b", "ports": [port]}]}) == ""


def test_a_spec_that_is_none() -> None:
    assert "must be a mapping, not nothing" in told(None)


def test_another_volume_of_its_name_is_a_clash_and_the_same_is_not() -> None:
    volume: dict[str, Any] = {"name": VOLUME, "emptyDir": {}}
    assert "is not the ConfigMap mesh" in told({**SPEC, "volumes": [volume]}, MAPPED)
    volume = {"name": VOLUME, "configMap": {"name": "mesh"}}
    assert told({**SPEC, "volumes": [volume]}, MAPPED) == ""
    assert add({**SPEC, "volumes": [volume]}, MAPPED, "orders")["volumes"] == [volume]


@pytest.mark.parametrize(
    ("target", "past"), [(8080, ["8080"]), ("http", ["http"]), ("mesh-inbound", []), (9000, [])]
)
def test_a_service_is_known_to_go_past_it(target: int | str, past: list[str]) -> None:
    service = {
        "spec": {"selector": {"app": "orders"}, "ports": [{"port": 80, "targetPort": target}]}
    }
    assert bypassed(service, {"app": "orders", "more": "x"}, SPEC, NATIVE) == past
    assert bypassed(service, {"app": "users"}, SPEC, NATIVE) == []


def test_a_service_without_a_target_port_means_its_own() -> None:
    service = {"spec": {"selector": {"app": "orders"}, "ports": [{"port": 8080}]}}
    assert bypassed(service, {"app": "orders"}, SPEC, NATIVE) == ["8080"]
    assert bypassed({"spec": {"ports": [{"port": 8080}]}}, {}, SPEC, NATIVE) == []


@pytest.mark.parametrize(
    "inside",
    [[], "x", {"selector": "ab"}, {"selector": {"app": "orders"}, "ports": [8080, {}]},
     {"selector": {"app": "orders"}, "ports": [{"targetPort": [1]}]},
     {"selector": {"app": ["orders"]}, "ports": 5},
     {"selector": {"app": "orders"}, "ports": [{"port": 8080, "protocol": "UDP"}]}],
)  # fmt: skip
def test_a_service_of_another_shape_or_protocol_goes_past_nothing(inside: Any) -> None:
    assert bypassed({"spec": inside}, {"app": "orders"}, SPEC, NATIVE) == []


def test_the_config_map_of_a_sidecar_is_known() -> None:
    assert config_map(add(SPEC, MAPPED, "orders")) == "mesh"
    assert config_map(add(SPEC, NATIVE, "orders")) is None
    assert config_map({**SPEC, "volumes": [{"name": VOLUME, "configMap": None}]}) is None
