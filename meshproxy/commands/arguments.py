"""The words of the command line: commands, options, and the help that teaches them.

Decides nothing; which file a command lives in is `__main__`'s to know.
"""

from __future__ import annotations

from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    RawDescriptionHelpFormatter,
    _ArgumentGroup,
)
from collections.abc import Sequence

from meshproxy.commands import inject_words

ABOUT = """\
meshproxy: a service-mesh sidecar. It stands between one service and its callers
(inbound) and the services it calls (outbound), and limits, retries, breaks circuits,
traces and measures on the way.

  meshproxy init                          write a commented meshproxy.yaml to start from
  meshproxy check                         every mistake in it at once, with file:line:col
  meshproxy run                           run it; saving the file reloads it
  meshproxy run --app :8080 --to payments=127.0.0.1:9000
                                          run without a file
  meshproxy tap --filter 'status>=500'    watch requests as they fail
"""
NOTES = """\
The config is what -c names, else $MESHPROXY_CONFIG, else ./meshproxy.yaml.
'meshproxy COMMAND --help' tells more about each.
"""
RUN = """\
Runs the sidecar until it is told to stop.

  meshproxy run -c orders.yaml
  meshproxy run --app :8080                          in front of an app on this machine
  meshproxy run --app :8080 --to payments=10.0.3.11:8080,10.0.3.12:8080 --to users=:9001

A changed file takes effect within a second; if anything is wrong with it, the old one stays
in force. SIGHUP reloads at once, SIGTERM and SIGINT finish what is in flight and end, a
second one ends immediately. Exit code: 0 clean, 1 start-up or config failure, 2 forced.

  meshproxy run -c orders.yaml --inject-env -- gunicorn orders:app

What follows -- is started once the sidecar is ready, hears the signals that come here, and is
stopped by SIGTERM after its callers have gone, or when the last quarter of shutdown.drain begins
(at most 5 s); it can call out until it has ended. When it ends, so does the sidecar, with its exit
code (127 not found, 126 not executable).
"""
CHECK = """\
Reads a config as 'run' would and tells all that is wrong with it.

  meshproxy check -c orders.yaml
  meshproxy check -c - < orders.yaml
  meshproxy check -c orders.yaml --format json

Exit code: 0 valid, 1 invalid, 2 usage (also: there is no such file).
"""
EXPLAIN = """\
Tells what would become of a request, and why: route, rewrites, limits, circuits, who would be
picked, every timeout, and the worst case; each with its line of the config. Nothing is sent.

  meshproxy explain GET http://users/v1/x -H 'x-client-id: 7'    as your app would ask for it
  meshproxy explain POST /orders                                 as a caller of your app would
  meshproxy explain GET /orders --live                           by the state of the running one
  meshproxy explain outbound.services.payments.timeout           a value in force, and its origin

A file is explained as by a sidecar that has just started: all buckets full, all circuits closed.
With --live the running sidecar is asked; it is found through the admin address in the config, or
by --admin.

Exit code: 0 forwarded, or answered from a cache or fallback; 1 refused or cut off; 2 usage, an
invalid config or request.
"""
SCHEMA = """\
Prints the JSON Schema of the config, by which editors complete and check it:

  meshproxy schema > meshproxy.schema.json

and as the first line of the config:

  # yaml-language-server: $schema=meshproxy.schema.json
"""
INIT = """\
Writes a commented config to start from. An existing file is never overwritten.

  meshproxy init                     writes ./meshproxy.yaml
  meshproxy init orders.yaml
  meshproxy init -                   prints it
"""
RELOAD = """\
Asks the running sidecar to read its config again and tells how that went. The sidecar is
found through the admin address in the config, or by --admin.

  meshproxy reload
  meshproxy reload --admin 127.0.0.1:15000

Exit code: 0 reloaded, 1 not (the old config stays in force), 2 usage.
"""
DRAIN = """\
Tells the running sidecar to stop being ready, finish what is in flight, and end.

  meshproxy drain
  meshproxy drain --admin 127.0.0.1:15000
  meshproxy drain --inbound --wait 5      # a preStop hook, where the app ends before its sidecar

With --inbound it goes on until it is told to end: /readyz is 503 and answers say
Connection: close, so that callers go elsewhere; new ones are served still, and so are the app's
own calls.
"""
UPGRADE = """\
Starts the command of the running sidecar once more, by what is installed now and with the config
as it is now. When the new process is ready it has taken over the listening sockets, and the old
one drains; if it is not ready within 30 s it is ended, and the old one goes on. The same as
SIGUSR2. Not for containers, nor for run -- COMMAND.

  meshproxy upgrade
  meshproxy upgrade --admin 127.0.0.1:15000

Exit code: 0 the new one serves, 1 the old one goes on, 2 usage.
"""
TAP = """\
Prints one line for each request as it ends, for as long as you watch. The running sidecar is
found through the admin address in the config, or by --admin.

  meshproxy tap
  meshproxy tap --filter 'status>=500 and route==create-order'
  meshproxy tap --filter 'reason in (UF, UT) or duration>250ms'
  meshproxy tap --filter 'path~/orders/* and not client==10.0.0.7' --limit 10
  meshproxy tap --sample 1% --format json | jq .duration_ms

A filter compares fields with == != < <= > >= or ~ (has this part; with *, has this shape) or
with in (a, b), joined by and, or, not and parentheses. The fields:

  status       503, or a class: status==5xx      route, upstream, endpoint
  reason       UF, UT, UO, RL, ...: one of them   direction   inbound or outbound
  method       GET                               duration, first_byte  250ms, 1.5s
  path         without the query                 attempts    1
  client       an address                        bytes_in, bytes_out   64KiB
  request_id, trace_id

Lines never hold a query, a header or a password. What exceeds --rate, or comes faster than it
is read, is left out, counted and told on standard error; requests never wait for a reader.

Exit code: 0 ended by Ctrl-C or --limit, 1 the sidecar ended or cannot be reached, 2 usage.
"""
TOP = """\
Shows what the running sidecar does: a table of its routes and endpoints, drawn anew every
second. Success is the share of answers below 500; times are those of the interval.

  meshproxy top
  meshproxy top --sort p99 --every 5s
  meshproxy top --once                   one table, as plain text
  meshproxy top --format json | jq .     the events themselves, one a line

Exit code: 0 stopped, 1 the sidecar is not there (any more), 2 usage.
"""
HEALTHCHECK = """\
Asks the running sidecar whether it is ready; for HEALTHCHECK and exec probes. The sidecar is
found through the metrics address in the config, else at 127.0.0.1:15020, or by --url.

  meshproxy healthcheck
  meshproxy healthcheck --live
  meshproxy healthcheck --url http://127.0.0.1:15020/readyz

Exit code: 0 yes, 1 no.
"""
SORTS = (
    "route", "success", "rps", "errors", "p50", "p95", "p99", "retries", "limited", "in-flight",
)  # fmt: skip


def parser() -> ArgumentParser:
    """Every command and option. The chosen command is `command` of what it parses."""
    whole = ArgumentParser(
        prog="meshproxy",
        description=ABOUT,
        epilog=NOTES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="store_true", help="what 'version' prints")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, about: str, description: str = "") -> ArgumentParser:
        return commands.add_parser(
            name,
            help=about,
            description=description or about,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    _run(command("run", "run the sidecar", RUN))
    _check(command("check", "tell everything that is wrong with a config", CHECK))
    _explain(command("explain", "what would become of a request, and why", EXPLAIN))
    command("schema", "print the config's JSON Schema", SCHEMA)
    _init(command("init", "write a commented config to start from", INIT))
    _remote(command("reload", "ask the running sidecar to reload", RELOAD), 30.0)
    _drain(command("drain", "ask the running sidecar to finish and end", DRAIN))
    _remote(command("upgrade", "have a new process take over from the running one", UPGRADE), 40.0)
    _inject(command("inject", "add the sidecar to Kubernetes workloads", inject_words.ABOUT))
    _tap(command("tap", "watch requests as they pass through the running sidecar", TAP))
    _healthcheck(command("healthcheck", "is the running sidecar ready?", HEALTHCHECK))
    _top(command("top", "show what the running sidecar does", TOP))
    command("version", "print the version")
    return whole


def parted(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Our own words, and those after the -- of `run`: a command that is not ours to read."""
    if words[:1] == ["run"] and "--" in words:
        at = words.index("--")
        return list(words[:at]), list(words[at + 1 :])
    return list(words), None


def _run(parser: ArgumentParser) -> None:
    _config(parser)
    quick = parser.add_argument_group("without a file")
    quick.add_argument("--app", metavar="ADDRESS", help="the app to stand in front of, as in :8080")
    _to(quick)
    quick.add_argument("--name", help="the service's own name in logs and traces")
    parser.set_defaults(child=None)
    parser.add_argument(
        "--inject-env", action="store_true",
        help="give the command HTTP_PROXY, and the services' addresses as NAME_URL",
    )  # fmt: skip
    logs = parser.add_argument_group("instead of what the config says")
    logs.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    logs.add_argument("--log-format", choices=("json", "text"))


def _check(parser: ArgumentParser) -> None:
    _config(parser)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to tell (text)"
    )


def _explain(parser: ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="+", metavar="METHOD URL | PATH.OF.A.VALUE", help="GET may be left out"
    )
    parser.add_argument(
        "-H", "--header", metavar="'NAME: VALUE'", action="append", default=[],
        help="a request field; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--listener", help="inbound, outbound, or outbound.services.NAME; by default as the URL is"
    )
    parser.add_argument("--client", metavar="IP", help="the address it comes from (127.0.0.1)")
    parser.add_argument("--live", action="store_true", help="ask the running sidecar")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to tell (text)"
    )
    _remote(parser, 5.0)


def _init(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", default="meshproxy.yaml", help="where to write it (meshproxy.yaml)"
    )


def _remote(parser: ArgumentParser, patience: float) -> None:
    _config(parser)
    parser.add_argument("--admin", metavar="HOST:PORT", help="the sidecar's admin address")
    _timeout(parser, patience)


def _drain(parser: ArgumentParser) -> None:
    _remote(parser, 5.0)
    parser.add_argument(
        "--inbound", action="store_true", help="only send callers elsewhere, and do not end"
    )
    parser.add_argument(
        "--wait", metavar="SECONDS", type=_seconds, default=0.0, help="return so long after (0)"
    )


def _tap(parser: ArgumentParser) -> None:
    parser.add_argument("--filter", metavar="EXPR", help="only requests of which this holds")
    parser.add_argument("--sample", metavar="PERCENT", help="a share of them, such as 10%%")
    parser.add_argument("--rate", metavar="RATE", help="no more than so many (1000/s)")
    parser.add_argument("--limit", metavar="N", help="end after so many")
    parser.add_argument(
        "--format", choices=("text", "json"), help="how (text on a terminal, json elsewhere)"
    )
    _remote(parser, 5.0)


def _top(parser: ArgumentParser) -> None:
    _remote(parser, 5.0)
    parser.add_argument(
        "--every",
        metavar="INTERVAL",
        type=_interval,
        default=("1s", 1.0),
        help="between two looks, 250ms to 60s (1s)",
    )
    parser.add_argument("--once", action="store_true", help="one table, after one interval")
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="how to tell (table)"
    )
    parser.add_argument(
        "--sort", choices=SORTS, default="route", help="routes by this; the worst first (route)"
    )
    parser.add_argument(
        "--limit", metavar="N", type=_count, default=0, help="show so many routes at most"
    )


def _healthcheck(parser: ArgumentParser) -> None:
    _config(parser)
    parser.add_argument("--url", help="the address, and the path if it is not /readyz")
    parser.add_argument("--live", action="store_true", help="ask /livez: does it run at all?")
    _timeout(parser, 2.0)


def _inject(parser: ArgumentParser) -> None:
    inject_words.add(parser)
    _to(parser)


def _to(parser: ArgumentParser | _ArgumentGroup) -> None:
    parser.add_argument(
        "--to",
        metavar="NAME=ADDRESS[,ADDRESS]",
        action="append",
        type=_target,
        default=[],
        help="a service that the app calls, and where it is; may be given several times",
    )


def _config(parser: ArgumentParser) -> None:
    parser.add_argument("-c", "--config", metavar="FILE", help="the config; - is standard input")


def _timeout(parser: ArgumentParser, seconds: float) -> None:
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=seconds,
        help=f"give up after so long ({seconds:g})",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 3600.0:
        raise ArgumentTypeError(f"seconds between 0 and 3600, not {text!r}")
    return value


def _interval(text: str) -> tuple[str, float]:
    """As it is written, and in seconds."""
    number, unit = text.removesuffix("ms"), 0.001
    if number == text:
        number, unit = text.removesuffix("s"), 1.0
    try:
        seconds = float(number) * unit if number != text else 0.0
    except ValueError:
        seconds = 0.0
    if not 0.25 <= seconds <= 60.0:
        raise ArgumentTypeError(f"write an interval from 250ms to 60s, as in 2s, not {text!r}")
    return text, seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ArgumentTypeError(f"write a number from 1 on, not {text!r}")
    return int(text)


def _target(text: str) -> tuple[str, list[str]]:
    name, equals, addresses = text.partition("=")
    if not (name and equals and addresses):
        raise ArgumentTypeError(
            f"write NAME=HOST:PORT, as in payments=127.0.0.1:9000, not {text!r}"
        )
    return name, [address.strip() for address in addresses.split(",")]
