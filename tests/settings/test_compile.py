"""Settings become a snapshot: listeners, limits, clusters, and state that survives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Endpoint, Snapshot
from meshproxy.settings.compile import compile_snapshot
from meshproxy.settings.validate import validate
from tests.settings.build import build, tools

BOTH = """
inbound: {app: '127.0.0.1:8080', listen: '127.0.0.1:0'}
outbound:
  services:
    a: {endpoints: ['10.0.0.1:80', {address: '10.0.0.2:80', weight: 3}]}
    b: {endpoints: ['10.0.0.1:80'], listen: '127.0.0.1:15102'}
limits: {header_bytes: 16KiB, headers: 50, uri_bytes: 4KiB, connections: 7, head_timeout: 3s}
trust: {forwarded_from: [10.0.0.0/8, 'fd00::/8']}
"""


def test_each_listener_has_its_plan() -> None:
    plans = build(BOTH, Ledger()).plans
    assert [(key, plan.direction, plan.host, plan.port) for key, plan in plans.items()] == [
        ("inbound", "inbound", "127.0.0.1", 0),
        ("outbound", "outbound", "127.0.0.1", 15001),
        ("outbound.services.b", "outbound", "127.0.0.1", 15102),
    ]


def test_a_half_that_is_left_out_has_no_listener() -> None:
    assert list(build("inbound: {app: ':80'}", Ledger()).plans) == ["inbound"]
    assert list(build("outbound: {listen: '127.0.0.1:1'}", Ledger()).plans) == ["outbound"]


def test_limits_reach_every_plan() -> None:
    limits = build(BOTH, Ledger()).plans["outbound.services.b"].limits
    assert limits.header_bytes == 16 * 1024
    assert limits.headers == 50
    assert limits.uri_bytes == 4096
    assert limits.connections == 7
    assert limits.head_timeout == 3.0
    assert limits.keep_alive == 75.0


@pytest.mark.parametrize(
    ("address", "inbound", "outbound"),
    [
        ("10.1.2.3", True, True),
        ("11.1.2.3", False, False),
        ("::ffff:10.1.2.3", True, True),
        ("fd00::1", True, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("fe80::1%eth0", False, False),
        ("", False, False),
    ],
)
def test_who_is_believed(address: str, inbound: bool, outbound: bool) -> None:
    plans = build(BOTH, Ledger()).plans
    assert plans["inbound"].trusts(address) is inbound
    assert plans["outbound"].trusts(address) is outbound


def test_clusters_are_the_app_and_the_services() -> None:
    clusters = {cluster.name: cluster for cluster in build(BOTH, Ledger()).clusters}
    assert list(clusters) == ["app", "a", "b"]
    ends = [(end.name, end.host, end.port, end.weight) for end in clusters["a"].endpoints]
    assert ends == [("10.0.0.1:80", "10.0.0.1", 80, 1), ("10.0.0.2:80", "10.0.0.2", 80, 3)]


def test_an_address_that_two_services_share_is_two_endpoints() -> None:
    clusters = {cluster.name: cluster for cluster in build(BOTH, Ledger()).clusters}
    assert clusters["a"].endpoints[0] is not clusters["b"].endpoints[0]


def endpoints(snapshot: Snapshot) -> list[object]:
    return [end for cluster in snapshot.clusters for end in cluster.endpoints]


def test_tiers_are_the_endpoints_in_the_order_in_which_they_are_asked() -> None:
    text = """
outbound:
  services:
    a:
      endpoints:
        - {address: 'far:80', tier: 3}
        - near:80
        - {address: 'middle:80', tier: 1}
        - beside:80
    b: {endpoints: [{address: 'x:80', tier: 2}, {address: 'y:80', tier: 2}]}
"""
    some, equal = build(text, Ledger()).clusters
    names = [[end.host for end in tier] for tier in some.tiers]
    assert names == [["near", "beside"], ["middle"], ["far"]]
    assert [end.tier for end in some.endpoints] == [3, 0, 1, 0]
    assert equal.tiers == ()


def test_a_tier_that_is_not_adopted_yet_does_not_show() -> None:
    ledger = Ledger()
    before = build(BOTH, ledger).clusters[1].endpoints
    backup = BOTH.replace("weight: 3", "tier: 1")
    settings = validate(backup.encode(), "f.yaml", {})
    compiled = compile_snapshot(settings, ledger.open(), tools(), 0.0, 2)
    assert [end.tier for end in before] == [0, 0]
    compiled.adopt()
    assert [end.tier for end in before] == [0, 1]


def test_an_endpoint_that_a_reload_adds_is_new_and_those_of_the_start_are_not() -> None:
    ledger = Ledger()
    before = build(BOTH, ledger, now=50.0).clusters[1].endpoints
    more = BOTH.replace("a: {endpoints: [", "a: {endpoints: ['10.0.0.9:80', ")
    after = build(more, ledger, now=75.0, generation=2).clusters[1].endpoints
    assert after[1:] == before
    assert [end.ramp_since for end in after] == [75.0, 0.0, 0.0]
    again = build(more, ledger, now=99.0, generation=3).clusters[1].endpoints
    assert again[0].ramp_since == 75.0


def test_endpoints_survive_a_reload_and_get_their_new_weights_when_it_is_adopted() -> None:
    ledger = Ledger()
    before = build(BOTH, ledger)
    heavier = BOTH.replace("weight: 3", "weight: 9")
    draft = ledger.open()
    compiled = compile_snapshot(validate(heavier.encode(), "f.yaml", {}), draft, tools(), 1.0, 2)
    assert endpoints(compiled.snapshot) == endpoints(before)
    assert before.clusters[1].endpoints[1].weight == 3
    compiled.adopt()
    assert before.clusters[1].endpoints[1].weight == 9


def test_a_compile_that_is_not_kept_leaves_no_trace() -> None:
    ledger = Ledger()
    build("inbound: {app: ':80'}", ledger)
    cells = list(ledger.cells())
    compile_snapshot(validate(BOTH.encode(), "f.yaml", {}), ledger.open(), tools(), 1.0, 2)
    assert list(ledger.cells()) == cells


def test_a_snapshot_says_what_it_was_made_of() -> None:
    snapshot = build(BOTH, Ledger(), generation=7)
    assert snapshot.generation == 7
    assert snapshot.digest == validate(BOTH.encode(), "f.yaml", {}).digest
    assert snapshot.source["outbound"]["services"]["b"]["listen"] == "127.0.0.1:15102"


VERSIONS = """
outbound:
  services:
    a: {endpoints: [{address: '10.0.0.1:80', version: v1}, {address: '10.0.0.2:80', version: v2}]}
    b: {endpoints: [{address: '10.0.0.3:80', version: v1}, {address: '10.0.0.4:80', version: v1}]}
    c: {endpoints: ['10.0.0.5:80', '10.0.0.6:80']}
"""


def test_only_a_service_of_several_versions_counts_by_them() -> None:
    told: list[tuple[str, list[str]]] = []

    def versioned(row: Any, upstream: str, versions: Mapping[Endpoint, str]) -> Any:
        told.append((upstream, list(versions.values())))
        return row

    given = replace(tools(), versioned=versioned)
    ledger = Ledger()
    settings = validate(VERSIONS.encode(), "f.yaml", {})
    compiled = compile_snapshot(settings, ledger.open(), given, 0.0, 1)
    assert told == [("a", ["v1", "v2"])]
    ends = [end for cluster in compiled.snapshot.clusters for end in cluster.endpoints]
    assert [end.version for end in ends] == [""] * 6
    compiled.adopt()
    assert [end.version for end in ends] == ["v1", "v2", "v1", "v1", "", ""]
