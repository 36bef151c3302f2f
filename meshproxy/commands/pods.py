"""What a pod is given so that a sidecar runs in it, and which pods must not have one.

Decides on plain trees, as Kubernetes reads them; a tree that comes in is never changed. It
knows no YAML, no file and no cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meshproxy.commands.shapes import Path, Tree, Wrong, mapping, mappings, misshapen

NAME = "meshproxy"
VOLUME = "meshproxy-config"
FOLDER = "/etc/meshproxy"
USER = 65532
INBOUND, OUTBOUND, METRICS, ADMIN = 15006, 15001, 15020, 15000
OURS = {INBOUND: "inbound", OUTBOUND: "outbound", METRICS: "metrics", ADMIN: "admin"}
PORT_NAMES = {"mesh-inbound": INBOUND, "mesh-metrics": METRICS}

PRE_STOP = 5
"""A classic sidecar hears SIGTERM so many seconds after the app, whose last calls need it."""

MARGIN = 10
"""Seconds that the pod has beyond the drain: `PRE_STOP`, and then some to end in."""

GRACE = 30
"""What Kubernetes takes where the pod does not say."""

PROXY = f"http://127.0.0.1:{OUTBOUND}"
NO_PROXY = "localhost,127.0.0.1,::1"
PROXY_ENV = {
    # Clients disagree about the case; curl hears http_proxy in lower case alone.
    "HTTP_PROXY": PROXY,
    "http_proxy": PROXY,
    "NO_PROXY": NO_PROXY,
    "no_proxy": NO_PROXY,
}


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What was asked for. `drain` is in seconds; `targets` are the words of `run --to`."""

    image: str
    native: bool = True
    config_map: str | None = None
    app_port: int | None = None
    targets: tuple[str, ...] = ()
    proxy_env: bool = False
    drain: int = 20


def wrong(spec: Any, sidecar: Sidecar) -> list[Wrong]:
    """Every reason why this pod cannot have the sidecar; none means that `add` will do."""
    shape = list(misshapen(spec))
    if shape or present(spec, sidecar):
        return shape
    return list(_clashes(spec, sidecar))


def present(spec: Tree, sidecar: Sidecar) -> bool:
    """Whether just this sidecar is in the pod already, whatever was tuned on it since."""
    where = "initContainers" if sidecar.native else "containers"
    return any(
        one["name"] == NAME and one.get("image") == sidecar.image for one in spec.get(where) or ()
    )


def config_map(spec: Tree) -> str | None:
    """The ConfigMap that the sidecar of a pod that has one reads, if it does."""
    for one in mappings(spec.get("volumes")):
        if one["name"] == VOLUME:
            return mapping(one.get("configMap")).get("name")
    return None


def add(spec: Tree, sidecar: Sidecar, name: str) -> Tree:
    """The pod's spec with the sidecar in it; `name` is the service's, for logs and traces."""
    made = container(sidecar, name, app_port(spec, sidecar))
    apps = list(spec["containers"])
    if sidecar.proxy_env:
        apps = [_with_proxy(one) for one in apps]
    given = dict(spec)
    if sidecar.native:
        # First, so that the pod's own init containers can already call through it.
        given["initContainers"] = [made, *(spec.get("initContainers") or ())]
        given["containers"] = apps
    else:
        # Last, so that kubectl's default container stays the app.
        given["containers"] = [*apps, made]
    if sidecar.config_map is not None:
        volumes = spec.get("volumes") or []
        if all(one["name"] != VOLUME for one in volumes):
            volume = {"name": VOLUME, "configMap": {"name": sidecar.config_map}}
            given["volumes"] = [*volumes, volume]
    grace = spec.get("terminationGracePeriodSeconds")
    if (GRACE if grace is None else grace) < sidecar.drain + MARGIN:
        given["terminationGracePeriodSeconds"] = sidecar.drain + MARGIN
    return given


def scraped(own: Tree | None) -> Tree:
    """The pod's annotations, and where Prometheus finds the sidecar unless they say it."""
    scrape = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(METRICS),
        "prometheus.io/path": "/metrics",
    }
    own = own or {}
    # All or none: half of theirs with half of ours would lead nowhere.
    return dict(own) if scrape.keys() & own.keys() else {**own, **scrape}


def _pre_stop(sidecar: Sidecar) -> list[str]:
    """What is run when the pod is to end, a native sidecar's at once, too (the kubelet's
    killContainer): its own SIGTERM comes only after the app has gone, too late for callers."""
    where = ["--admin", f"127.0.0.1:{ADMIN}"]
    if sidecar.config_map is not None:
        where = ["-c", f"{FOLDER}/meshproxy.yaml"]
    wait = [] if sidecar.native else ["--wait", str(PRE_STOP)]
    return [NAME, "drain", "--inbound", *where, *wait]


def container(sidecar: Sidecar, name: str, port: int | None) -> Tree:
    """The sidecar as a container that the `restricted` pod security standard admits."""
    made: Tree = {"name": NAME, "image": sidecar.image}
    if sidecar.native:
        made["restartPolicy"] = "Always"
    if sidecar.config_map is not None:
        made["args"] = ["run", "-c", f"{FOLDER}/meshproxy.yaml"]
        # So that one ConfigMap does for many workloads: app: http://127.0.0.1:${APP_PORT}
        made["env"] = [{"name": "SERVICE_NAME", "value": name}]
        if port is not None:
            made["env"].append({"name": "APP_PORT", "value": str(port)})
    else:
        app = [] if port is None else ["--app", f":{port}"]
        made["args"] = ["run", *app, "--name", name]
        for target in sidecar.targets:
            made["args"] += ["--to", target]
    # Nothing listens for callers of an app that has no port and no config that says so.
    idle = {"mesh-inbound"} if port is None and sidecar.config_map is None else set()
    made["ports"] = [
        {"name": label, "containerPort": number}
        for label, number in PORT_NAMES.items()
        if label not in idle
    ]
    made["startupProbe"] = {**_probe("/startupz"), "periodSeconds": 1, "failureThreshold": 60}
    made["readinessProbe"] = {**_probe("/readyz"), "periodSeconds": 5}
    made["livenessProbe"] = {**_probe("/livez"), "periodSeconds": 10, "failureThreshold": 3}
    made["lifecycle"] = {"preStop": {"exec": {"command": _pre_stop(sidecar)}}}
    made["resources"] = {
        # No limit on the processor: being throttled is latency for every call.
        "requests": {"cpu": "100m", "memory": "96Mi"},
        "limits": {"memory": "256Mi"},
    }
    made["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if sidecar.config_map is not None:
        # The whole folder: a subPath would never see the ConfigMap change.
        made["volumeMounts"] = [{"name": VOLUME, "mountPath": FOLDER, "readOnly": True}]
    return made


def app_port(spec: Tree, sidecar: Sidecar) -> int | None:
    """The app's port: what was asked for, or the first of TCP that a container declares."""
    if sidecar.app_port is not None:
        return sidecar.app_port
    return next((port["containerPort"] for port in _app_ports(spec)), None)


def bypassed(service: Tree, labels: Tree, spec: Tree, sidecar: Sidecar) -> list[str]:
    """The ports of a Service that lead to these pods' app past the sidecar, as it was written."""
    inside = mapping(service.get("spec"))
    selector = mapping(inside.get("selector"))
    if not selector or any(labels.get(key) != value for key, value in selector.items()):
        return []
    port = app_port(spec, sidecar)
    to_app = [port] + [
        one["name"] for one in _app_ports(spec) if one["containerPort"] == port and "name" in one
    ]
    ports = [one for one in mappings(inside.get("ports")) if _is_tcp(one)]
    targets = [one.get("targetPort", one.get("port")) for one in ports]
    return [str(target) for target in targets if target is not None and target in to_app]


# ---- what must not be


def _clashes(spec: Tree, sidecar: Sidecar) -> Iterator[Wrong]:
    if spec.get("hostNetwork"):
        yield (
            ("hostNetwork",),
            "the sidecar's ports would be the node's and clash with every other such pod on it",
        )
    if mapping(spec.get("os")).get("name") == "windows":
        yield ("os",), "the sidecar runs on Linux only"
    yield from _namesakes(spec, sidecar)
    for path, port in _ports_beside(spec, sidecar):
        used = OURS.get(port["containerPort"])
        if used is not None and _is_tcp(port):
            yield path, f"port {port['containerPort']} is the sidecar's {used} port"
        elif port.get("name") in PORT_NAMES:
            yield path, f"the port name {port['name']} is the sidecar's"
    if app_port(spec, sidecar) is None and sidecar.config_map is None and not sidecar.targets:
        text = "no container declares a TCP port: name the app's with --port, or a --config-map"
        yield ("containers",), text
    if sidecar.config_map is not None:
        for index, one in enumerate(spec.get("volumes") or ()):
            source = mapping(one.get("configMap")).get("name")
            if one["name"] == VOLUME and source != sidecar.config_map:
                yield (
                    ("volumes", index),
                    f"a volume {VOLUME} exists and is not the ConfigMap {sidecar.config_map}",
                )


def _namesakes(spec: Tree, sidecar: Sidecar) -> Iterator[Wrong]:
    for key in ("initContainers", "containers"):
        for index, one in enumerate(spec.get(key) or ()):
            if one["name"] == NAME:
                there = "native" if key == "initContainers" else "classic"
                asked = "native" if sidecar.native else "classic"
                text = (
                    f"a {there} sidecar with the image {one.get('image')} is here already; asked"
                    f" for is a {asked} one with {sidecar.image}: inject into the original"
                )
                yield (key, index), text


def _ports_beside(spec: Tree, sidecar: Sidecar) -> Iterator[tuple[Path, Tree]]:
    """The ports of every container that runs while the sidecar does, and where they stand."""
    for key in ("initContainers", "containers"):
        for index, one in enumerate(spec.get(key) or ()):
            # A native sidecar runs before and beside all others; a classic one is started
            # when of the init containers only the sidecars are left.
            if key == "containers" or sidecar.native or one.get("restartPolicy") == "Always":
                for at, port in enumerate(one.get("ports") or ()):
                    yield (key, index, "ports", at), port


def _app_ports(spec: Tree) -> Iterator[Tree]:
    for one in spec["containers"]:
        yield from filter(_is_tcp, one.get("ports") or ())


def _is_tcp(port: Tree) -> bool:
    return (port.get("protocol") or "TCP") == "TCP"


def _with_proxy(app: Tree) -> Tree:
    own = app.get("env") or []
    told = {one["name"].lower() for one in own}
    # What the app says itself, in either case, is what it wants.
    fresh = [
        {"name": key, "value": value} for key, value in PROXY_ENV.items() if key.lower() not in told
    ]
    return {**app, "env": [*own, *fresh]} if fresh else app


def _probe(path: str) -> Tree:
    return {"httpGet": {"path": path, "port": "mesh-metrics"}}
