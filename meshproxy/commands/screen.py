"""What `top` shows of one event of /live: a header, a table of routes, one of endpoints.

Lays out and colours; where events come from and how often is the command's. Needs rich, so it
is imported by who shows something only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

Row = dict[str, Any]

WIDE = 110
"""Columns from which on there is room for everything."""
FIGURES = ("SUCCESS", "RPS", "P50", "P95", "P99")
SHORTEST = 8
"""Characters of a name that is cut."""
AROUND = 3
"""Lines of a table that are no rows: the one before it, and its head."""
FEW = 4
"""Rows that a table is left with, and a line for those which are not shown."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for; `limit` 0 is as many as fit."""

    sort: str = "route"
    limit: int = 0
    height: int = 0


SORTS: dict[str, Callable[[Row], float]] = {
    "success": lambda row: 2.0 if row["success"] is None else row["success"],
    "rps": lambda row: -row["rps"],
    "errors": lambda row: -row["errors"],
    "p50": lambda row: -(row["p50_ms"] or 0.0),
    "p95": lambda row: -(row["p95_ms"] or 0.0),
    "p99": lambda row: -(row["p99_ms"] or 0.0),
    "retries": lambda row: -row["retries"],
    "limited": lambda row: -row["limited"],
    "in-flight": lambda row: -row["in_flight"],
}
"""Worst or busiest first; `route` is the order of the file."""


def page(event: Row, where: str, wanted: Wanted, width: int) -> Group:
    """Everything about one event, within `wanted.height` lines if that is not 0."""
    top = list(header(event, where))
    routes = ordered(event["routes"], wanted.sort)
    endpoints = [(up, end) for up in event["upstreams"] for end in up["endpoints"] or [None]]
    versions = event["versions"]
    shown, ends, kinds = _shares(wanted, len(top), [len(routes), len(endpoints), len(versions)])
    parts: list[RenderableType] = [*top, Text("")]
    parts += [_routes(routes[:shown], width), *_more(len(routes) - shown)]
    if kinds:
        parts += [Text(""), _versions(versions[:kinds], width), *_more(len(versions) - kinds)]
    if ends:
        parts += [Text(""), _endpoints(endpoints[:ends], width), *_more(len(endpoints) - ends)]
    return Group(*parts)


def ordered(routes: Sequence[Row], sort: str) -> list[Row]:
    return sorted(routes, key=SORTS[sort]) if sort in SORTS else list(routes)


def _shares(wanted: Wanted, top: int, counts: Sequence[int]) -> list[int]:
    """How many rows of each table there is room for; the first table comes first."""
    wished = [min(counts[0], wanted.limit or counts[0]), *counts[1:]]
    if not wanted.height:
        return wished
    left = wanted.height - top
    shares = []
    for place, count in enumerate(wished):
        # Those after this one keep room for a few rows, if that is to be had.
        after = sum(AROUND + min(FEW, each) for each in wished[place + 1 :] if each)
        room = max(left - after, min(left, AROUND + FEW)) - AROUND
        if counts[place] > room or counts[place] > count:
            room -= 1  # for the line that says how many more there are
        share = max(0, min(count, room))
        shares.append(share)
        left -= (share + AROUND + (share < counts[place])) if share else 0
    return shares


# ---- the header


def header(event: Row, where: str) -> Iterable[Text]:
    service, process = event["service"], event["process"]
    line = _line(plain(f"{service['name']} {service['version']}".strip()), "bold")
    line.append(f"  {where}  generation {event['generation']}", "default")
    line.append(f"  up {age(event['uptime_seconds'])}")
    if event["draining"]:
        line.append("  DRAINING", "bold yellow")
    yield line
    connections = sum(process["connections"].values())
    lag = process["loop_lag_ms"]
    yield _line(
        f"cpu {process['cpu']:.0%}  memory {process['rss_bytes'] / 2**20:.0f} MiB"
        f"  connections {connections}  files {process['open_files']}"
        f"  loop lag {time(lag)}  over {age(event['seconds'])}",
        "dim",
    )
    reload = event["reload"]
    if not reload["ok"]:
        errors = [plain(each) for each in reload["errors"]]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        at = (reload["at"] or "")[11:19]
        first = errors[0] if errors else "?"
        yield _line(f"last reload failed at {at} UTC: {first}{more}", "bold red")


def _line(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


# ---- the tables


def _routes(routes: Sequence[Row], width: int) -> Table:
    if width >= WIDE:
        titles = ["DIRECTION", "UPSTREAM", "ROUTE", *FIGURES, "RETRIES", "LIMITED", "IN FLIGHT"]
    else:
        titles = ["DIR", "ROUTE", *FIGURES, "RETR", "LIMIT", "FLIGHT"]
    rows = []
    for row in routes:
        names = [row["direction"], row["upstream"], row["route"]]
        if width < WIDE:
            both = f"{row['upstream']}: {row['route']}"
            names = [
                row["direction"].removesuffix("bound"),
                row["route"] if row["route"] == row["upstream"] else both,
            ]
        counts = [count(row[key], "yellow") for key in ("retries", "limited")]
        rows.append([*_names(*names), *_figures(row), *counts, count(row["in_flight"])])
    return _table(titles, rows, width, names=len(titles) - len(FIGURES) - 3)


def _versions(versions: Sequence[Row], width: int) -> Table:
    titles = ["VERSION OF", "VERSION", *FIGURES]
    rows = [
        [*_names(row["upstream"], row["version"] or "(none)"), *_figures(row)] for row in versions
    ]
    return _table(titles, rows, width, names=2)


def _endpoints(endpoints: Sequence[tuple[Row, Row | None]], width: int) -> Table:
    titles = ["UPSTREAM", "ENDPOINT", "BREAKER", "HEALTH"]
    wide = width >= WIDE
    if wide:
        titles += ["IN FLIGHT", "CONNECTIONS", "ATTEMPTS", "FAILED", "RETRIES"]
    else:
        titles += ["FLIGHT", "CONNS", "ATTEMPTS", "FAILED"]
    rows = []
    known = None
    for upstream, end in endpoints:
        # What is about the whole upstream stands beside the first of its endpoints.
        name, sums = Text(), [Text(), Text(), Text()]
        if upstream is not known:
            known = upstream
            name = Text(plain(upstream["name"]))
            if upstream["panic"]:
                name.append(" PANIC", "bold red")
            sums = [
                count(upstream["attempts"]),
                count(upstream["failures"], "red"),
                count(upstream["retries"], "yellow"),
            ]
        rows.append([name, *_end(end), *(sums if wide else sums[:2])])
    return _table(titles, rows, width, names=4, long=1)


def _end(end: Row | None) -> list[Text]:
    if end is None:
        return [Text("none yet", "dim"), Text(), Text(), Text(), Text()]
    name = Text(plain(end["address"]))
    if end["version"]:
        name.append(f" {plain(end['version'])}", "cyan")
    return [
        name,
        breaker(end["circuit"]),
        Text("ok", "green") if end["healthy"] else Text("unhealthy", "bold red"),
        count(end["in_flight"]),
        count(end["connections"]["open"]),
    ]


def _names(*names: str) -> list[Text]:
    return [Text(plain(name)) for name in names]


def _figures(row: Row) -> list[Text]:
    return [
        share(row["success"]),
        rate(row["rps"]),
        *(time(row[key]) for key in ("p50_ms", "p95_ms", "p99_ms")),
    ]


def _table(
    titles: Sequence[str],
    rows: Sequence[Sequence[Text]],
    width: int,
    names: int,
    long: int | None = None,
) -> Table:
    """The first `names` columns are text, the rest numbers; where it is too narrow, the column
    `long` (the last name) gives way and no other."""
    long = names - 1 if long is None else long
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    widest = [
        max(len(title), *(row[place].cell_len for row in rows)) if rows else len(title)
        for place, title in enumerate(titles)
    ]
    # Each column but the last is followed by a blank of its own and one that separates.
    excess = sum(widest) + 2 * (len(titles) - 1) - width
    for place, title in enumerate(titles):
        table.add_column(
            title,
            justify="left" if place < names else "right",
            no_wrap=True,
            overflow="ellipsis",
            max_width=max(SHORTEST, widest[long] - max(0, excess)) if place == long else None,
        )
    for row in rows:
        table.add_row(*row)
    return table


def _more(count: int) -> list[Text]:
    return [Text(f"... and {count} more", "dim")] if count > 0 else []


# ---- numbers


def share(success: float | None) -> Text:
    """A success rate: never rounded up to a perfect one."""
    if success is None:
        return Text("-", "dim")
    if success == 1.0:
        return Text("100%", "green")
    style = "green" if success >= 0.999 else "yellow" if success >= 0.99 else "bold red"
    return Text(f"{min(99.99, success * 100):.2f}%", style)


def rate(rps: float) -> Text:
    if rps == 0:
        return Text("0", "dim")
    if rps >= 10_000:
        return Text(f"{rps / 1000:.1f}k")
    return Text(f"{rps:.1f}" if rps < 10 else f"{rps:.0f}")


def time(milliseconds: float | None) -> Text:
    if milliseconds is None:
        return Text("-", "dim")
    if milliseconds >= 1000:
        return Text(f"{milliseconds / 1000:.2f}s")
    return Text(f"{milliseconds:.1f}ms" if milliseconds < 10 else f"{milliseconds:.0f}ms")


def count(number: int, style: str = "default") -> Text:
    return Text(str(number), style if number else "dim")


def breaker(state: str | None) -> Text:
    if state is None:
        return Text("-", "dim")
    return Text(state, {"closed": "green", "open": "bold red"}.get(state, "yellow"))


def age(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes = int(seconds) // 60
    if minutes < 60:
        return f"{minutes}m {int(seconds) % 60}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"


def plain(text: str) -> str:
    """Nothing that a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def console(width: int | None = None) -> Console:
    """The terminal; or plain text of some width, without colours."""
    if width is None:
        return Console(highlight=False)
    return Console(highlight=False, width=width, no_color=True, force_terminal=False)
