"""The words of the command line: commands, options, and the help that teaches them.

Decides nothing; which file a command lives in is `__main__`'s to know.
"""

from __future__ import annotations

import re
from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    RawDescriptionHelpFormatter,
    _ArgumentGroup,
)

from meshproxy import __version__

ABOUT = """\
meshproxy: a service-mesh sidecar. It stands between one service and its callers
(inbound) and the services it calls (outbound), and limits, retries, breaks circuits,
traces and measures on the way.

  meshproxy init                          write a commented meshproxy.yaml to start from
  meshproxy check                         every mistake in it at once, with file:line:col
  meshproxy run                           run it; saving the file reloads it
  meshproxy run --app :8080 --to payments=127.0.0.1:9000
                                          run without a file
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
"""
CHECK = """\
Reads a config as 'run' would and tells all that is wrong with it.

  meshproxy check -c orders.yaml
  meshproxy check -c - < orders.yaml
  meshproxy check -c orders.yaml --format json

Exit code: 0 valid, 1 invalid, 2 usage (also: there is no such file).
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
"""
HEALTHCHECK = """\
Asks the running sidecar whether it is ready; for HEALTHCHECK and exec probes. The sidecar is
found through the metrics address in the config, else at 127.0.0.1:15020, or by --url.

  meshproxy healthcheck
  meshproxy healthcheck --live
  meshproxy healthcheck --url http://127.0.0.1:15020/readyz

Exit code: 0 yes, 1 no.
"""
INJECT = """\
Adds the sidecar to every Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job and CronJob
of Kubernetes documents and prints them; whatever else is in them stays as it is, and so do
comments, order and layout. It asks no cluster and changes no file.

  meshproxy inject -f deployment.yaml | kubectl apply -f -
  meshproxy inject -f deployment.yaml --config-map orders-mesh
  meshproxy inject -f deployment.yaml --to payments=payments:8080 --inject-env
  kustomize build . | meshproxy inject -f -

Without a config the sidecar stands in front of the first port that the app declares. With
--config-map it reads the key meshproxy.yaml of that ConfigMap, and a change of it takes effect
within a minute or so without a restart; ${SERVICE_NAME} and ${APP_PORT} are set for it.

The sidecar is a native one, an init container that is always restarted: it starts before the
app and ends after it, and Jobs end by themselves (Kubernetes 1.29). --classic makes it one
more container.

Callers reach it by the Service's targetPort: write 15006 there. A pod that has this
sidecar already is left alone; one that cannot have it is told with file:line:col.

Exit code: 0 printed, 1 some pod cannot have it and nothing is printed, 2 usage.
"""

DNS_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"


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
    command("schema", "print the config's JSON Schema", SCHEMA)
    _init(command("init", "write a commented config to start from", INIT))
    _remote(command("reload", "ask the running sidecar to reload", RELOAD), 30.0)
    _remote(command("drain", "ask the running sidecar to finish and end", DRAIN), 5.0)
    _inject(command("inject", "add the sidecar to Kubernetes workloads", INJECT))
    _healthcheck(command("healthcheck", "is the running sidecar ready?", HEALTHCHECK))
    command("version", "print the version")
    return whole


def _run(parser: ArgumentParser) -> None:
    _config(parser)
    quick = parser.add_argument_group("without a file")
    quick.add_argument("--app", metavar="ADDRESS", help="the app to stand in front of, as in :8080")
    _to(quick)
    quick.add_argument("--name", help="the service's own name in logs and traces")
    logs = parser.add_argument_group("instead of what the config says")
    logs.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    logs.add_argument("--log-format", choices=("json", "text"))


def _check(parser: ArgumentParser) -> None:
    _config(parser)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to tell (text)"
    )


def _init(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", default="meshproxy.yaml", help="where to write it (meshproxy.yaml)"
    )


def _remote(parser: ArgumentParser, patience: float) -> None:
    _config(parser)
    parser.add_argument("--admin", metavar="HOST:PORT", help="the sidecar's admin address")
    _timeout(parser, patience)


def _healthcheck(parser: ArgumentParser) -> None:
    _config(parser)
    parser.add_argument("--url", help="the address, and the path if it is not /readyz")
    parser.add_argument("--live", action="store_true", help="ask /livez: does it run at all?")
    _timeout(parser, 2.0)


def _inject(parser: ArgumentParser) -> None:
    parser.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        action="append",
        required=True,
        help="Kubernetes documents, YAML or JSON; - is standard input; may be given several times",
    )
    parser.add_argument(
        "--image",
        type=_image,
        default=f"meshproxy:{__version__}",
        help="the sidecar's image (%(default)s)",
    )
    parser.add_argument(
        "--config-map",
        metavar="NAME",
        type=_dns_name,
        help="the ConfigMap whose key meshproxy.yaml is the config",
    )
    parser.add_argument(
        "--port", metavar="PORT", type=_port, help="the app's port (the first that it declares)"
    )
    _to(parser)
    parser.add_argument(
        "--inject-env",
        action="store_true",
        help="set HTTP_PROXY for the app's containers, so that its calls go through the sidecar",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--native", action="store_true", default=True, help="a native sidecar (the default)"
    )
    kind.add_argument(
        "--classic", dest="native", action="store_false", help="one more container of the pod"
    )
    parser.add_argument(
        "--drain",
        metavar="SECONDS",
        type=_whole_seconds,
        default=20,
        help="shutdown.drain of the config: the pod's grace period gets longer than that (20)",
    )


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


def _whole_seconds(text: str) -> int:
    seconds = _seconds(text)
    if seconds != int(seconds):
        raise ArgumentTypeError(f"whole seconds, not {text!r}")
    return int(seconds)


def _port(text: str) -> int:
    number = text.removeprefix(":")
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(number)


def _image(text: str) -> str:
    if not text or any(character.isspace() for character in text):
        raise ArgumentTypeError(f"an image is REPOSITORY:TAG or REPOSITORY@DIGEST, not {text!r}")
    return text


def _dns_name(text: str) -> str:
    if not re.fullmatch(DNS_NAME, text):
        raise ArgumentTypeError(f"a name has small letters, digits, - and ., not {text!r}")
    return text


def _target(text: str) -> tuple[str, list[str]]:
    name, equals, addresses = text.partition("=")
    if not (name and equals and addresses):
        raise ArgumentTypeError(
            f"write NAME=HOST:PORT, as in payments=127.0.0.1:9000, not {text!r}"
        )
    return name, [address.strip() for address in addresses.split(",")]
