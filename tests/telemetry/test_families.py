"""The table of families keeps the rules of its trade."""

from __future__ import annotations

import re

from meshproxy.telemetry.families import FAMILIES, family_of


def test_names_are_unique_and_prefixed_and_counters_end_in_total() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert re.fullmatch("meshproxy_[a-z_]+", family.name)
        assert family.name.endswith("_total") is (family.type == "counter")
        assert family.help.endswith(".")


def test_no_label_can_hold_what_a_client_says() -> None:
    labels = {label for family in FAMILIES for label in family.labels.split(",")}
    assert not labels & {"path", "host", "client", "user", "url"}


def test_an_unknown_family_is_called_so() -> None:
    assert family_of("meshproxy_novelty").type == "unknown"
