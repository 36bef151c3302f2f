"""A model as the checks of its meaning look at it."""

from __future__ import annotations

from meshproxy.settings.validate import validate
from meshproxy.settings.views import Context, chains, listeners, places, route_lists

SETTINGS = validate(
    b"""
inbound: {app: ':80', routes: [{match: /a}]}
outbound:
  services:
    a: {endpoints: ['b:80'], listen: '127.0.0.1:15101', routes: [{match: /x}]}
""",
    "f.yaml",
    {},
)


def test_every_listener_is_seen() -> None:
    assert [path for path, _ in listeners(SETTINGS.file)] == [
        ("inbound", "listen"),
        ("outbound", "listen"),
        ("outbound", "services", "a", "listen"),
        ("metrics", "listen"),
        ("admin", "listen"),
    ]


def test_every_place_and_list_of_routes_is_seen() -> None:
    a = ("outbound", "services", "a")
    assert [path for path, _ in places(SETTINGS.file)] == [
        ("inbound",),
        ("inbound", "routes", 0),
        ("outbound", "defaults"),
        a,
        (*a, "routes", 0),
    ]
    lists = [path for path, _ in route_lists(SETTINGS.file)]
    assert lists == [("inbound", "routes"), (*a, "routes")]


def test_a_walk_goes_through_the_defaults_and_the_service() -> None:
    a = ("outbound", "services", "a")
    walks = [[path for path, _ in chain] for chain in chains(SETTINGS.file)]
    assert walks[-1] == [("outbound", "defaults"), a, (*a, "routes", 0)]
    assert walks[1] == [("inbound",), ("inbound", "routes", 0)]


def test_a_line_is_named_where_the_file_has_one() -> None:
    context = Context(SETTINGS.file, SETTINGS.document)
    assert context.line(("outbound", "services", "a")) == "line 5"
    assert context.line(("admin", "listen")) == "its default"
    assert context.says(("inbound", "app"))
    assert not context.says(("inbound", "listen"))
