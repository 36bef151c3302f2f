"""An explanation as text: what it comes to first, then who decided what, and where it is written.

Three columns: who, what, and the line of the file. Knows the plain data of /explain and nothing
of how it came to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

WHO, WHAT = 18, 72
"""Widths of the first two columns."""

Told = Mapping[str, Any]
Row = tuple[str, str, str]

_PLACE = re.compile(r"\(([^()]*)\)$")


def lines(told: Told) -> Iterator[str]:
    """The whole text."""
    request, verdict = told["request"], told["verdict"]
    yield f"{request['method']} {request['target']}, host {request['host'] or 'none'}"
    yield f"  {told['says']}"
    if verdict["rule"]:
        yield f"  by {verdict['rule']}"
    for section in (_decisions(told), _ways(told), _rewrites(told["rewrites"]), _times(told)):
        rows = list(section)
        if rows:
            yield ""
            for row in rows:
                yield from _row(*row)


def _row(who: str, what: str, rule: str) -> Iterator[str]:
    """One row; a long text goes on below itself."""
    first, *rest = wrap(what, WHAT) or [""]
    yield f"{who:<{WHO}}{first:<{WHAT}}  {place(rule)}".rstrip()
    for more in rest:
        yield f"{'':<{WHO}}{more}"


def place(rule: str) -> str:
    """`f.yaml:12` or `default`, of a rule that says more."""
    found = _PLACE.search(rule)
    return found[1] if found else rule


def _decisions(told: Told) -> Iterator[Row]:
    listener, route, client = told["listener"], told["route"], told["request"]["client"]
    trusted = "a trusted peer" if told["request"]["trusted"] else "not a trusted peer"
    yield "listener", f"{listener['name']} at {listener['address']}", listener["rule"]
    yield "client", f"{client}, {trusted}", ""
    yield "route", route["name"], route["rule"]
    if route["fallback"]:
        yield (
            "then",
            f"{route['fallback']['name']} of {route['fallback']['upstream']}",
            (route["fallback"]["rule"]),
        )
    for step in told["steps"]:
        yield step["policy"], step["says"], step["rule"]


def _ways(told: Told) -> Iterator[Row]:
    for endpoint in told["endpoints"]:
        chance = endpoint["chance"]
        odds = "" if chance is None else f", chance {chance:.1%}"
        may = f"may be tried{odds}" if endpoint["eligible"] else "left out"
        why = f"; {endpoint['why']}" if endpoint["why"] else ""
        busy = f"; {endpoint['in_flight']} in flight"
        if endpoint["cost"]:
            busy += f", answers in {endpoint['cost'] * 1000:.3g} ms"
        yield endpoint["address"], f"{may}{why}{busy}", ""
    pick = told["pick"]
    if pick is not None:
        names = [each["address"] for each in pick["candidates"]]
        one = names[0] if pick["kind"] == "certain" else f"one of {len(names)}"
        yield "pick", f"{one}: {pick['says']}", ""


def _rewrites(rewrites: Told | None) -> Iterator[Row]:
    if rewrites is None:
        return
    yield "goes on as", rewrites["target"], ""
    for word in ("changed", "added"):
        for number, each in enumerate(rewrites[word]):
            yield "" if number else word, f"{each['name']}: {each['value']}", ""
    if rewrites["dropped"]:
        yield "dropped", ", ".join(rewrites["dropped"]), ""


def _times(told: Told) -> Iterator[Row]:
    for clock in told["timeouts"]:
        seconds = clock["seconds"]
        yield clock["what"], "off" if seconds is None else f"{seconds:g} s", clock["rule"]
    if told["worst_case"] is not None:
        yield "worst case", told["worst_case"]["says"], ""
