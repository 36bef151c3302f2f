"""What is written under `rate_limits` is what is enforced, and a reload forgives nothing."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshproxy.policies.rate_limit import RateLimitSpec

from .limits_scene import Scene, exchange
from .test_limits import NOW, admitted, refused


def problem(raw: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        RateLimitSpec.model_validate(raw)
    return str(caught.value)


def test_a_limit_needs_nothing_but_its_rate() -> None:
    limits = Scene().limits({"limit": "20/s"})
    assert admitted(limits, 50) == 20
    assert admitted(limits, 50, NOW + 0.5) == 10
    assert '"all"' in refused(limits, NOW + 0.5).detail


def test_less_than_one_per_period_still_lets_one_through() -> None:
    limits = Scene().limits({"limit": "0.5/s"})
    assert (admitted(limits, 3), admitted(limits, 3, NOW + 2.0)) == (1, 1)


def test_per_may_be_one_word_or_a_list() -> None:
    one, several = ({"limit": "1/s", "per": per} for per in ("ip", ["ip"]))
    assert RateLimitSpec.model_validate(one) == RateLimitSpec.model_validate(several)


def test_the_contracts_example_works() -> None:
    limits = Scene().limits(
        {"limit": "500/s", "burst": 100},
        {
            "name": "per-client", "limit": "20/s", "burst": 40,
            "per": ["header:x-client-id", "ip"],
            "tiers": {"header": "x-tier", "premium": {"limit": "200/s", "burst": 400}},
        },
        {"limit": "60/m", "algorithm": "sliding_window", "per": ["header:x-api-key"]},
    )  # fmt: skip
    assert limits.reads == {b"x-client-id", b"x-tier", b"x-api-key"}
    assert admitted(limits, 100, x_client_id="a", x_api_key="1") == 40
    assert admitted(limits, 100, x_client_id="a", x_api_key="2", x_tier="premium") == 60


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "Field required"),
        ({"limit": 20}, "add a period: write 20/s or 20/m"),
        ({"limit": "1/s", "burst": 0}, "greater than or equal to 1"),
        ({"limit": "1/s", "per": "host"}, "String should match pattern"),
        ({"limit": "1/s", "per": ["ip", "ip"]}, "the same thing twice"),
        ({"limit": "1/s", "name": 'a"b'}, "String should match pattern"),
        ({"limit": "1/s", "brust": 1}, "Extra inputs"),
        ({"limit": "1/s", "keys": 0}, "greater than or equal to 1"),
        ({"limit": "1/s", "burst": 2, "algorithm": "sliding_window"}, "burst means nothing"),
        ({"limit": "0.5/s", "algorithm": "sliding_window"}, "write 1/2s, not 0.5/s"),
        ({"limit": "1/s", "tiers": {"a": {"limit": "1/s"}}}, "Field required"),
        ({"limit": "1/s", "tiers": {"header": "h", "a": {"burst": 1}}}, "Field required"),
        ({"limit": "1/s", "tiers": {"header": "h", "a": 5}}, "Tier"),
    ],
)
def test_what_makes_no_sense_is_refused(raw: dict[str, Any], said: str) -> None:
    assert said in problem(raw)


def test_a_tiers_burst_is_checked_like_the_base() -> None:
    tiers = {"header": "h", "gold": {"limit": "9/s", "burst": 3}}
    wrong = {"limit": "1/s", "algorithm": "sliding_window", "tiers": tiers}
    assert "burst means nothing" in problem(wrong)


def test_no_limits_are_no_policy() -> None:
    assert RateLimitSpec.build_all([]) is None


@pytest.mark.parametrize("algorithm", ["token_bucket", "sliding_window"])
@pytest.mark.parametrize("per", [[], ["ip"]])
@pytest.mark.parametrize("after", ["1/h", "8/h", "4/m"])
def test_a_reload_keeps_what_was_spent(algorithm: str, per: list[str], after: str) -> None:
    scene = Scene()
    raw = {"limit": "4/h", "algorithm": algorithm, "per": per}
    assert admitted(scene.limits(raw), 9) == 4
    scene.reload()
    # A raised limit has room for what it is raised by where a window counts; nothing more.
    extra = 4 if algorithm == "sliding_window" and after == "8/h" else 0
    assert admitted(scene.limits({**raw, "limit": after}), 9) == extra


def test_a_reload_that_changes_nothing_counts_on_and_keeps_its_levels_for_the_next() -> None:
    scene = Scene()
    for generation in range(4):
        limits = scene.limits({"name": "n", "limit": "2/h", "per": ["method"]})
        assert admitted(limits, 3) == (2 if generation == 0 else 0)
        scene.reload()
    changed = scene.limits({"name": "n", "limit": "3/h", "per": ["method"]})
    assert admitted(changed, 3) == 0
    total = scene.samples()["meshproxy_rate_limited_total", "inbound", "default", "n"]
    assert total == 1 + 3 * 4


def test_a_reload_that_fails_spends_nothing() -> None:
    scene = Scene()
    limits = scene.limits({"limit": "2/h"})
    scene.reload()
    failed = scene.limits({"limit": "5/h", "per": ["ip"]})
    assert admitted(failed, 9) == 5
    scene.draft = scene.ledger.open()
    again = scene.limits({"limit": "2/h"})
    assert (admitted(limits, 1), admitted(again, 9)) == (1, 1)


def test_a_limit_with_another_meaning_starts_anew() -> None:
    scene = Scene()
    assert admitted(scene.limits({"name": "n", "limit": "2/h"}), 9) == 2
    scene.reload()
    assert admitted(scene.limits({"name": "n", "limit": "2/h", "per": "ip"}), 9) == 2


def test_every_route_under_one_rule_shares_it() -> None:
    scene = Scene()
    routes = [scene.limits({"limit": "4/h"}) for _ in range(3)]
    assert [admitted(route, 3) for route in routes] == [3, 1, 0]
    assert len(scene.reports("rate-limits")) == 1


def test_places_and_clusters_do_not_share() -> None:
    scene = Scene()
    entry = {"limit": "2/h"}
    apart = [
        scene.limits(entry, owner="outbound.defaults", cluster="users"),
        scene.limits(entry, owner="outbound.defaults", cluster="payments"),
        scene.limits(entry, owner="outbound.services.users", cluster="users"),
    ]
    assert [admitted(limits, 5) for limits in apart] == [2, 2, 2]
    assert scene.samples() == {("meshproxy_rate_limited_total", "inbound", "default", "all"): 9.0}


def test_limits_that_add_up_have_names_of_their_own() -> None:
    scene = Scene()
    outer, inner = scene.scope("inbound"), scene.scope("inbound.routes.x")
    raw = [{"limit": "9/h"}, {"limit": "8/h"}, {"limit": "7/h", "per": ["ip", "route"]}]
    specs = [RateLimitSpec.model_validate(entry) for entry in raw]
    limits = scene.built([*((spec, outer) for spec in specs), (specs[0], inner)])
    names = [report["name"] for report in scene.reports("rate-limits")]
    assert names == ["all", "all-2", "per-ip+route", "all"]
    assert admitted(limits, 20) == 7


def test_tiers_have_levels_of_their_own_and_survive_a_reload() -> None:
    scene = Scene()
    raw = {"limit": "1/h", "tiers": {"header": "X-Tier", "a": {"limit": "2/h"}}}
    limits = scene.limits(raw)
    assert (admitted(limits, 9, x_tier="a"), admitted(limits, 9)) == (2, 1)
    scene.reload()
    raised = {"limit": "1/h", "tiers": {"header": "X-Tier", "a": {"limit": "20/h", "burst": 2}}}
    assert admitted(scene.limits(raised), 9, x_tier="a") == 0


def test_tiers_overflow_into_one_level_under_the_base_limit() -> None:
    tiers = {"header": "x-tier", "big": {"limit": "50/h"}}
    limits = Scene().limits({"limit": "3/h", "per": "header:x-id", "keys": 1, "tiers": tiers})
    assert admitted(limits, 99, x_id="a", x_tier="big") == 50
    assert admitted(limits, 99, x_id="a") == 3
    assert admitted(limits, 99, x_id="b", x_tier="big") + admitted(limits, 99, x_id="b") == 3


def test_the_address_behind_trusted_hops_is_the_key() -> None:
    limits = Scene().limits({"limit": "2/h", "per": "ip"}, hops=1)
    assert limits.reads == {b"x-forwarded-for"}
    assert admitted(limits, 5, x_forwarded_for="203.0.113.1") == 2
    assert admitted(limits, 5, x_forwarded_for="203.0.113.2") == 2
    assert admitted(limits, 5, trusted=False, x_forwarded_for="203.0.113.3") == 2
    assert admitted(limits, 5, trusted=False, x_forwarded_for="203.0.113.4") == 0


@pytest.mark.parametrize("load", [1, 2, 10])
@pytest.mark.parametrize("extra", [{"burst": 1}, {"algorithm": "sliding_window"}])
def test_admits_within_two_percent_of_the_limit_over_ten_seconds(
    load: int, extra: dict[str, Any]
) -> None:
    limits = Scene().limits({"limit": "50/s", "per": "ip", **extra})
    pace = 50.0 * load
    count = sum(admitted(limits, 1, NOW + n / pace) for n in range(int(10 * pace)))
    assert count == pytest.approx(500, rel=0.02)


def test_the_report_says_what_is_in_force_and_what_is_left() -> None:
    scene = Scene()
    scene.limits({"name": "old", "limit": "5/s"})
    scene.reload()
    limits = scene.limits({"name": "now", "limit": "5/s"})
    admitted(limits, 2)
    assert scene.reports("rate-limits", NOW) == [
        {
            "name": "now", "rule": "inbound (mesh.yaml:7)", "scope": "inbound", "upstream": "app",
            "limit": "5/s", "burst": 5.0,
            "algorithm": "token_bucket", "per": [], "keys": 0, "mode": "enforce", "refused": 0,
            "left": 3,
        }
    ]  # fmt: skip


def test_the_schema_allows_what_the_model_reads() -> None:
    schema = RateLimitSpec.model_json_schema()
    assert {"type": "array"}.items() <= schema["properties"]["per"]["anyOf"][1].items()
    assert schema["properties"]["per"]["anyOf"][0]["type"] == "string"
    assert schema["$defs"]["Tiers"]["additionalProperties"] == {"$ref": "#/$defs/Tier"}


def test_a_request_that_is_admitted_is_told_nothing() -> None:
    asked = exchange()
    assert Scene().limits({"limit": "5/s"}).admit(asked, NOW) is None
    assert (asked.answer_lines, asked.added, asked.deferred) == ([], [], [])
