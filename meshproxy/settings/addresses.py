"""Addresses as people write them: `127.0.0.1:8080`, `users:8080`, `[::1]:8080`, `:8080`.

Decides what a host and a port are and whether two addresses are the same place. It resolves
no name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_NAME = re.compile(r"(?!-)[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_DIGITS = re.compile(r"[0-9]{1,5}")
LOOPBACK = "127.0.0.1"
ADDRESS_PATTERN = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]*):[0-9]{1,5}$"


@dataclass(frozen=True, slots=True)
class Address:
    """A host (a name or an IP literal without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        ip = _ip(self.host)
        return ip.is_loopback if ip else self.host == "localhost"

    def is_wildcard(self) -> bool:
        """Whether it means every address of this machine."""
        ip = _ip(self.host)
        return ip.is_unspecified if ip else False

    def reaches(self, listener: Address) -> bool:
        """Whether a connection to this address arrives at `listener` of the same machine."""
        if not self.port or self.port != listener.port:
            return False
        if self.host == listener.host:
            return True
        ours = self.is_loopback() or self.is_wildcard()
        if not ours:
            return False
        return listener.is_wildcard() or "localhost" in (self.host, listener.host)

    def clashes(self, other: Address) -> bool:
        """Whether both cannot be listened on at once; port 0 is any free port."""
        if not self.port or self.port != other.port:
            return False
        return self.host == other.host or self.is_wildcard() or other.is_wildcard()


def parse(value: object, default_host: str = "") -> Address:
    """Read `host:port`; without a host, `default_host`. ValueError says how to write it."""
    text = value if isinstance(value, str) else ""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("write host:port, as in 127.0.0.1:8080")
    if not _DIGITS.fullmatch(port) or int(port) > 65535:
        raise ValueError("a port is a number from 0 to 65535")
    if not host and default_host:
        return Address(default_host, int(port))
    return Address(_host(host), int(port))


def upstream(value: object) -> Address:
    """An address to dial: `host:port` or `:port` of this machine; never port 0."""
    address = parse(value, LOOPBACK)
    if not address.port:
        raise ValueError("port 0 cannot be called: write the port that the server listens on")
    return address


def app(value: object) -> Address:
    """The application: an address to dial, `http://` in front of it if you like."""
    text = value if isinstance(value, str) else ""
    if "://" not in text:
        return upstream(text)
    parts = urlsplit(text)
    if parts.scheme == "https":
        raise ValueError("https to the app is not supported yet: write http://host:port")
    if parts.scheme != "http" or not parts.netloc:
        raise ValueError("write http://host:port")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("only http://host:port, without a path: requests keep their own")
    return upstream(
        parts.netloc if ":" in parts.netloc.rpartition("]")[2] else f"{parts.netloc}:80"
    )


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        ip = _ip(text[1:-1])
        if ip is None or ip.version != 6:
            raise ValueError("brackets hold an IPv6 address, as in [::1]:8080")
        return str(ip)
    if ":" in text:
        raise ValueError("write an IPv6 address in brackets, as in [::1]:8080")
    if not _NAME.fullmatch(text):
        raise ValueError("write host:port, as in 127.0.0.1:8080")
    if re.fullmatch(r"[0-9.]+", text) and _ip(text) is None:
        raise ValueError("not an IP address: four numbers from 0 to 255")
    return text.lower()


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _reading(parse_one: Any) -> BeforeValidator:
    def read(value: Any) -> Any:
        if isinstance(value, Address):
            return value
        try:
            return parse_one(value)
        except ValueError as error:
            raise PydanticCustomError("address", "{message}", {"message": str(error)}) from None

    return BeforeValidator(read)


def _field(parse_one: Any, pattern: str, example: str) -> Any:
    return (
        _reading(parse_one),
        PlainSerializer(str, return_type=str, when_used="json"),
        WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]}),
    )


_listen, _upstream, _app = (
    _field(parse, ADDRESS_PATTERN, "127.0.0.1:15001"),
    _field(upstream, ADDRESS_PATTERN, "10.0.3.11:8080"),
    _field(
        app,
        r"^(http://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]*)(:[0-9]{1,5})?/?$",
        "http://127.0.0.1:8080",
    ),
)
Listen = Annotated[Address, *_listen]
Upstream = Annotated[Address, *_upstream]
App = Annotated[Address, *_app]
