"""The words of `inject`: its options, and the help that teaches them.

Apart from the other commands' words because there are many. Decides nothing.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError

from meshproxy import __version__
from meshproxy.commands.pods import OURS

ABOUT = """\
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


def add(parser: ArgumentParser) -> None:
    """Every option but `--to`, which `run` has too."""
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
        type=_seconds,
        default=20,
        help="shutdown.drain of the config: the pod's grace period gets longer than that (20)",
    )


def _seconds(text: str) -> int:
    number = text.removesuffix("s")
    if not (number.isascii() and number.isdigit() and int(number) <= 3600):
        raise ArgumentTypeError(f"whole seconds up to 3600, as in 20s, not {text!r}")
    return int(number)


def _port(text: str) -> int:
    number = text.removeprefix(":")
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    if int(number) in OURS:
        used = OURS[int(number)]
        raise ArgumentTypeError(f"{number} is the sidecar's own {used} port, not the app's")
    return int(number)


def _image(text: str) -> str:
    if not text or any(character.isspace() for character in text):
        raise ArgumentTypeError(f"an image is REPOSITORY:TAG or REPOSITORY@DIGEST, not {text!r}")
    return text


def _dns_name(text: str) -> str:
    if not re.fullmatch(DNS_NAME, text):
        raise ArgumentTypeError(f"a name has small letters, digits, - and ., not {text!r}")
    return text
