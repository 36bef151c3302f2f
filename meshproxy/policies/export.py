"""Where spans go, as the file has it: a URL, or a mapping where there is more to say.

Turns what is written into a `core.spans.Delivery`. What the environment adds is filled in
before by `settings.otel`; that a URL is no listener of our own is `settings.wiring`'s.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from meshproxy.core.fields import Duration
from meshproxy.core.spans import BATCH, QUEUE, Delivery

PATH = "/v1/traces"
"""Where receivers of OTLP/HTTP take spans."""
OTLP_PORT = 4318
HIDDEN = "***"
URL_PATTERN = r"^(otlp\+)?https?://[^ ?#@]+$"
HOW = "write a URL such as otlp+http://127.0.0.1:4318"

_HOST = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
)
_URL_PATH = re.compile(r"(/[A-Za-z0-9._~%!$&'()*+,;=:-]*)*")
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"([\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)?")
_OURS = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "expect", "host",
     "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)  # fmt: skip
"""Request fields that are written for each batch (RFC 9110 section 7.6.1, and framing)."""
_OF_THE_SERVICE = frozenset({"service.name", "service.version"})


def read_url(text: object) -> str:
    """The URL to post to: without a path of its own it is that of OTLP. Raises ValueError."""
    scheme, _, rest = text.partition("://") if isinstance(text, str) else ("", "", "")
    bare = scheme.lower().removeprefix("otlp+")
    if bare == "grpc":
        raise ValueError(f"spans leave by OTLP/HTTP and not by gRPC: {HOW}")
    if bare not in ("http", "https") or not rest:
        raise ValueError(HOW)
    parts = urlsplit(f"{bare}://{rest}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("write credentials under headers, and neither user, query nor fragment")
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("a port is a number from 1 to 65535") from None
    if port == 0 or not _HOST.fullmatch(host) or not _URL_PATH.fullmatch(parts.path):
        raise ValueError(HOW)
    if port is None and scheme.lower() == "otlp+http":
        port = OTLP_PORT
    shown = f"[{host}]" if ":" in host else host
    path = PATH if parts.path in ("", "/") else parts.path
    return f"{bare}://{shown}{f':{port}' if port else ''}{path}"


def _read_url(value: Any) -> str:
    try:
        return read_url(value)
    except ValueError as error:
        raise PydanticCustomError("url", "{message}", {"message": str(error)}) from None


def why_no_header(name: str, value: str) -> str | None:
    """What is wrong with a field of the requests to the collector; never shows the value."""
    if not _TOKEN.fullmatch(name.lower()):
        return f"{name!r} is no name of a header field"
    if name.lower() in _OURS:
        return f"{name!r} is written for each batch and cannot be set"
    if not _VALUE.fullmatch(value):
        return f"the value of {name!r} must be printable ASCII in one line"
    return None


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        message = why_no_header(name, value)
        if message:
            raise PydanticCustomError("header", "{message}", {"message": message})
    return {name.lower(): value for name, value in headers.items()}


def _resource(resource: dict[str, str]) -> dict[str, str]:
    for name in resource:
        if name in _OF_THE_SERVICE:
            message = f"{name} is a key of its own at the top of the file"
            raise PydanticCustomError("resource", "{message}", {"message": message})
        if not re.fullmatch(r"[\x21-\x7e]{1,255}", name):
            raise PydanticCustomError("resource", "a name has 1 to 255 printable characters")
    return resource


Url = Annotated[
    str,
    BeforeValidator(_read_url),
    WithJsonSchema(
        {"type": "string", "pattern": URL_PATTERN, "examples": ["otlp+http://127.0.0.1:4318"]}
    ),
]
Secrets = Annotated[
    dict[str, str],
    AfterValidator(_headers),
    PlainSerializer(
        lambda headers: dict.fromkeys(headers, HIDDEN), return_type=dict, when_used="json"
    ),
]


class ExportSpec(BaseModel):
    """Where sampled requests are sent as spans: an OTLP/HTTP receiver, in batches of JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Url = Field(description="Alone, it is written bare; without a path it is /v1/traces.")
    headers: Secrets = Field(
        default={}, description="Fields of each request, such as an API key; never shown."
    )
    resource: Annotated[dict[str, str], AfterValidator(_resource)] = Field(
        default={}, description="Attributes of this sidecar, besides the service's name."
    )
    compression: Literal["gzip", "none"] = Field(default="gzip", description="Of the requests.")
    timeout: Duration = Field(default=10.0, gt=0, description="Of one request to the receiver.")
    interval: Duration = Field(
        default=1.0, gt=0, description="Spans wait so long at most for others of their batch."
    )
    batch: int = Field(default=BATCH, ge=1, le=10_000, description="Spans of one request.")
    queue: int = Field(
        default=QUEUE, ge=16, le=100_000, description="Spans that wait at most; the rest is lost."
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _agree(self) -> ExportSpec:
        if self.batch > self.queue and "batch" in self.model_fields_set:
            found = {"batch": self.batch, "queue": self.queue}
            message = "batch ({batch}) must not be above queue ({queue})"
            raise PydanticCustomError("batch", message, found)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        shape = handler.resolve_ref_schema(handler(core_schema))
        for name, default in (("timeout", "10s"), ("interval", "1s")):
            shape["properties"][name]["default"] = default
        for name in ("headers", "resource"):
            del shape["properties"][name]["default"]
        about = shape.pop("description", None)
        text = {"type": "string", "pattern": URL_PATTERN}
        return {"anyOf": [text, dict(shape)], "description": about}

    def delivery(self) -> Delivery:
        return Delivery(
            url=self.url,
            headers=self.headers,
            resource=self.resource,
            gzip=self.compression == "gzip",
            timeout=self.timeout,
            interval=self.interval,
            queue=self.queue,
            batch=min(self.batch, self.queue),
        )


def off_or_set(value: Any) -> str:
    """Which of the two a value is meant to be."""
    return "<off>" if value == "off" else "<set>"


Export = Annotated[
    Annotated[Literal["off"], Tag("<off>")] | Annotated[ExportSpec, Tag("<set>")],
    Discriminator(off_or_set),
]
