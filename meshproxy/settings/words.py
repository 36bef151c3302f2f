"""Words and short forms of the file as pydantic types: names, hosts, networks, failures.

Each says how it is written when it is wrong, and how it looks to an editor's JSON Schema.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError

from meshproxy.core.classify import FAILURES, STATUS_WORDS, read_word

UNKNOWN_HOSTS, CONNECT = "__unknown_hosts__", "__connect__"
"""The routes, and the upstreams, of what a client calls by a host of its own choice."""

RESERVED_LABELS = frozenset({"default", "__unmatched__", "__other__", UNKNOWN_HOSTS, CONNECT})
NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
STATUS_PATTERN = r"^[1-5](xx|[0-9][0-9])$"
VERSION_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._+-]{0,39})$"
PREFIX_PATTERN = r"^(/[A-Za-z0-9._~-]+)+$"
HOST_PATTERN = r"^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?(:[0-9]{1,5})?$"


class OrText:
    """Tells the JSON Schema that a mapping may also be written as text in a short form."""

    def __init__(self, pattern: str, example: str) -> None:
        self._text = {"type": "string", "pattern": pattern, "examples": [example]}

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [self._text, handler(core_schema)]}


def _read_failure(value: Any) -> str:
    try:
        return read_word(value)
    except ValueError as error:
        message = str(error).partition(", got")[0]
        raise PydanticCustomError("failure", "{message}", {"message": message}) from None


def _read_network(value: Any) -> IPv4Network | IPv6Network:
    try:
        if not isinstance(value, str):
            raise ValueError
        return ip_network(value)
    except ValueError as error:
        hint = "host bits set" if "host bits" in str(error) else "no network"
        message = f"{hint}: write addresses as in 10.0.0.0/8 or fd00::/8"
        raise PydanticCustomError("network", "{message}", {"message": message}) from None


_WORD = re.compile(r"[\x20-\x7e]{1,100}")


def _read_label(value: Any) -> Any:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise PydanticCustomError("label", "write a name of 1 to 100 printable ASCII characters")
    if value in RESERVED_LABELS:
        message = f"{value!r} is a label that meshproxy gives itself: choose another name"
        raise PydanticCustomError("label", "{message}", {"message": message})
    return value


Failure = Annotated[
    str,
    BeforeValidator(_read_failure),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [*FAILURES, *STATUS_WORDS]},
                {"type": "string", "pattern": "^[45][0-9][0-9]$"},
                {"type": "integer", "minimum": 400, "maximum": 599},
            ]
        }
    ),
]
Network = Annotated[
    IPv4Network | IPv6Network,
    PlainValidator(_read_network),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8"]}),
]
Label = Annotated[
    str, BeforeValidator(_read_label), StringConstraints(min_length=1, max_length=100)
]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


def _read_version(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(VERSION_PATTERN, value):
        raise PydanticCustomError(
            "version",
            "write a short label of at most 40 of A-Z a-z 0-9 . _ + -,"
            " a number in quotes: v2 or '1.4'",
        )
    return value


Version = Annotated[
    str,
    BeforeValidator(_read_version),
    WithJsonSchema({"type": "string", "pattern": VERSION_PATTERN, "examples": ["v2"]}),
]
Host = Annotated[
    str,
    StringConstraints(pattern=HOST_PATTERN, to_lower=True, max_length=260),
    # As the head reader gives it: without the port that http has by default.
    AfterValidator(lambda host: host.removesuffix(":80")),
]


def _read_status(value: Any) -> Any:
    word = str(value).lower() if isinstance(value, str | int) else ""
    if not re.fullmatch(STATUS_PATTERN, word):
        raise PydanticCustomError("status", "write a status such as 429, or all of a kind: 4xx")
    return word


Status = Annotated[
    str,
    BeforeValidator(_read_status),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": STATUS_PATTERN, "examples": ["4xx"]},
                {"type": "integer", "minimum": 100, "maximum": 599},
            ]
        }
    ),
]


def _read_prefix(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(PREFIX_PATTERN, value):
        raise PydanticCustomError(
            "prefix", "write a path such as /payments, without a slash at its end"
        )
    return value


Prefix = Annotated[
    str,
    BeforeValidator(_read_prefix),
    WithJsonSchema({"type": "string", "pattern": PREFIX_PATTERN, "examples": ["/payments"]}),
]


def _read_one(value: Any) -> Any:
    if isinstance(value, bool) or value != 1:
        raise PydanticCustomError("one", "write 1")  # true equals 1, but is none
    return value


One = Annotated[Literal[1], BeforeValidator(_read_one)]
