"""RESULTS.md: who takes what, as tables. It knows the results and the words around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from tests.conformance.case import Case
from tests.conformance.differential import cases

from .agreement import Verdict
from .comparison import Column

SHOWN = {
    "meshproxy": "meshproxy",
    "nginx": "nginx",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "aiohttp": "aiohttp",
    "gunicorn": "gunicorn",
    "h11": "h11",
}

_INTRODUCTION = """\
# Who takes what

Written by `make conformance` on {day}. Each case of `requests_refused` and `requests_taken` is
sent on a connection of its own, with a canary request behind it in the same write, and a request
on another connection after both. The canary and the later request must be answered as
themselves.
"""
_PROXIES = """
## Four proxies in front of one origin

The origin takes anything and remembers it. A bad request counts as *taken* when the origin got
a whole request out of it, or when the proxy answered it with anything but an error. nginx,
HAProxy and Envoy run with their defaults: one listener, one origin, and nothing else but HTTP/1.1
and kept connections to the origin (nginx) and the timeouts that HAProxy asks for; each can be
made stricter. meshproxy runs with two lines of configuration.

To take one of these is not always a mistake. Where a row says *stricter*, the RFCs leave the
choice. Sections may say MAY, as that of Expect does. HAProxy drops the length where there is a
coding too, and closes, as RFC 9112 section 6.3 allows; nginx drops fields with an underscore.
The totals are therefore given apart. The good requests that others do not take are few of a
kind: TRACE, odd methods, HTTP/1.0, upgrades, an absolute form beside another Host.
"""
_SERVERS = """
## Five servers behind meshproxy

Each server reports every request that it has understood. Of a bad request it must see nothing;
of a good one, exactly what was meant (method, target, host and body), unless it refuses it.
"""
_ROWS = """
## Requests that must be refused

A number is the status that the client saw; *closed* is an end without an answer, *silent* no
answer and no end for two seconds, *not HTTP/1* another protocol (the preface of HTTP/2 switches).
"""


def page(day: date, columns: Sequence[Column], verdicts: Sequence[Verdict]) -> str:
    return "".join(
        (
            _INTRODUCTION.format(day=day),
            _PROXIES,
            _table(("", *(_head(each) for each in columns)), _totals(columns)),
            _SERVERS,
            _table(_SERVER_HEADS, (_server(each) for each in verdicts)),
            _ROWS,
            _table(
                ("request", "stands on", "threat", *(SHOWN[each.name] for each in columns)),
                (_row(case, columns) for case in cases.REFUSED),
            ),
        )
    )


def _head(column: Column) -> str:
    return f"{SHOWN[column.name]} {column.version}"


def _totals(columns: Sequence[Column]) -> Iterable[Sequence[str]]:
    strict = {case.name for case in cases.REFUSED if case.rfc.startswith("stricter")}
    everything = {case.name for case in cases.REFUSED}
    plain = everything - strict
    yield f"bad requests taken, of {len(everything)}", *_counts(columns, everything)
    yield f"of the {len(plain)} that stand on a section of an RFC", *_counts(columns, plain)
    yield f"of the {len(strict)} where meshproxy is stricter than one", *_counts(columns, strict)
    good = f"good requests not taken, of {len(cases.TAKEN)}"
    yield good, *(str(len(each.not_taken)) for each in columns)
    yield "answered with what belonged to another", *(str(len(each.poisoned)) for each in columns)


def _counts(columns: Sequence[Column], among: set[str]) -> Iterable[str]:
    return (str(len(each.accepted & among)) for each in columns)


_SERVER_HEADS = (
    "server",
    "bad requests understood",
    "good requests understood as meant",
    "refused by the server",
    "disagreements",
)


def _server(verdict: Verdict) -> Sequence[str]:
    good = len(cases.TAKEN)
    return (
        f"{SHOWN[verdict.name]} {verdict.version}",
        f"{verdict.bad_understood} of {len(cases.REFUSED)}",
        f"{good - len(verdict.refused) - verdict.good_wrong} of {good}",
        str(len(verdict.refused)),
        str(len(verdict.disagreements)),
    )


def _row(case: Case, columns: Sequence[Column]) -> Sequence[str]:
    cells = (each.refused[case.name] for each in columns)
    return (case.name.replace("|", "\\|"), case.rfc.partition(":")[0], case.threat, *cells)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
