"""OpenTelemetry's environment variables, as values of the file that the file itself leaves out.

Whatever the file says wins, key by key. A variable that is empty is not set; one that cannot be
read, or asks for what there is not, is a problem like any of the file's. Values of headers are
never shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from meshproxy.core.spans import QUEUE
from meshproxy.logic import units
from meshproxy.policies import export
from meshproxy.settings.errors import Problem, nearest
from meshproxy.settings.words import Label

LOCAL = "http://localhost:4318"
"""Where OTEL_TRACES_EXPORTER=otlp sends without being told."""

_SAMPLERS: dict[str, tuple[float | None, bool]] = {
    "always_on": (1.0, False),
    "always_off": (0.0, False),
    "traceidratio": (None, False),
    "parentbased_always_on": (1.0, True),
    "parentbased_always_off": (0.0, True),
    "parentbased_traceidratio": (None, True),
}
"""The share (None: as OTEL_TRACES_SAMPLER_ARG has it), and whether a caller's decision wins."""

_PROPAGATORS = ("tracecontext", "b3", "b3multi", "jaeger", "baggage", "none")
_LONGEST_MS = 24 * 3600 * 1000


def fill(tree: dict[str, Any], environment: Mapping[str, str]) -> list[Problem]:
    """Write into the tree what the variables say and it does not; what is wrong with them."""
    said = {name: text.strip() for name, text in environment.items() if name.startswith("OTEL_")}
    if not any(said.values()):
        return []
    filling = _Filling(tree, said)
    filling.run()
    return filling.problems


class _Filling:
    """One run over one tree."""

    def __init__(self, tree: dict[str, Any], said: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self._tree = tree
        self._said = said

    def run(self) -> None:
        resource = self._read("OTEL_RESOURCE_ATTRIBUTES", _pairs) or {}
        self._service(resource)
        tracing = self._tree.get("tracing", {})
        if not isinstance(tracing, dict):
            return  # off, or a mistake that is told elsewhere
        disabled = self._read("OTEL_SDK_DISABLED", _boolean) or False
        self._propagate(tracing)
        if not disabled:
            self._sample(tracing)
            self._export(tracing, resource)
        if tracing:
            self._tree["tracing"] = tracing

    def _service(self, resource: dict[str, str]) -> None:
        name, version = resource.pop("service.name", None), resource.pop("service.version", None)
        service = self._tree.get("service", {})
        if not isinstance(service, dict):
            return
        if "name" not in service:
            name = self._read("OTEL_SERVICE_NAME", _label) or (
                self._try("OTEL_RESOURCE_ATTRIBUTES", _label, name) if name else None
            )
            if name:
                self._tree["service"] = service
                service["name"] = name
        if version and "version" not in service:
            self._tree["service"] = service
            service["version"] = version[:100]

    def _propagate(self, tracing: dict[str, Any]) -> None:
        formats = self._read("OTEL_PROPAGATORS", _propagators)
        if formats is not None:
            tracing.setdefault("propagate", formats)

    def _sample(self, tracing: dict[str, Any]) -> None:
        found = self._read("OTEL_TRACES_SAMPLER", _sampler)
        if found is None:
            return
        share, heeds = found
        if share is None:
            told = self._read("OTEL_TRACES_SAMPLER_ARG", _ratio)
            share = 1.0 if told is None else told
        if "sample" not in tracing:
            tracing["sample"] = units.write_percent(share)
            tracing.setdefault("heed_callers", heeds)

    def _export(self, tracing: dict[str, Any], resource: dict[str, str]) -> None:
        written = tracing.get("export", {})
        if isinstance(written, str) and written != "off":
            written = {"url": written}
        if not isinstance(written, dict):
            return
        more = self._rest(written, resource)
        if "url" not in written:
            url = self._url()
            if url is None:
                return
            more["url"] = url
        if more:
            tracing["export"] = {**written, **more}

    def _url(self) -> Any:
        """Where to, if the variables say it; OpenTelemetry adds the path to the plainer one."""
        exporter = self._read("OTEL_TRACES_EXPORTER", _exporter)
        if exporter == "none":
            return None
        url = self._read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", export.read_url)
        if url is None:
            url = self._read("OTEL_EXPORTER_OTLP_ENDPOINT", _base)
        if url is None and exporter == "otlp":
            url = export.read_url(LOCAL)
        if url is not None:
            self._read(self._of_traces("PROTOCOL"), _protocol)
        return url

    def _rest(self, written: Mapping[str, Any], resource: dict[str, str]) -> dict[str, Any]:
        readers: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
            ("headers", self._of_traces("HEADERS"), _headers),
            ("timeout", self._of_traces("TIMEOUT"), _milliseconds),
            ("compression", self._of_traces("COMPRESSION"), _compression),
            ("interval", "OTEL_BSP_SCHEDULE_DELAY", _milliseconds),
            ("queue", "OTEL_BSP_MAX_QUEUE_SIZE", _whole(16, 100_000)),
            ("batch", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", _whole(1, 10_000)),
        )
        more: dict[str, Any] = {}
        for key, variable, read in readers:
            value = self._read(variable, read)
            if value is not None and key not in written:
                more[key] = value
        if "batch" in more:
            queue = written.get("queue", more.get("queue", QUEUE))
            more["batch"] = min(more["batch"], queue) if isinstance(queue, int) else more["batch"]
        own = written.get("resource", {})
        if resource and isinstance(own, dict):
            more["resource"] = {**resource, **own}
        return more

    def _of_traces(self, what: str) -> str:
        """The variable for traces alone goes before that of all signals."""
        alone = f"OTEL_EXPORTER_OTLP_TRACES_{what}"
        return alone if self._said.get(alone) else f"OTEL_EXPORTER_OTLP_{what}"

    def _read(self, variable: str, read: Callable[[str], Any]) -> Any:
        """What a variable says; None if it says nothing, or nothing that can be read."""
        text = self._said.get(variable)
        return self._try(variable, read, text) if text else None

    def _try(self, variable: str, read: Callable[[str], Any], text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            message = f"a variable of the environment: {error}"
            self.problems.append(Problem(0, 0, (variable,), message))
            return None


def _one_of(words: tuple[str, ...], text: str) -> str:
    word = text.lower()
    if word not in words:
        offered = f"write {', '.join(words[:-1])} or {words[-1]}" if words[1:] else words[0]
        near = nearest(word, words)
        raise ValueError(f"{offered}, found {text!r}{near if 'did you mean' in near else ''}")
    return word


def _boolean(text: str) -> bool:
    return _one_of(("true", "false"), text) == "true"


def _compression(text: str) -> str:
    return _one_of(("gzip", "none"), text)


def _exporter(text: str) -> str:
    return _one_of(("otlp", "none"), text)


def _sampler(text: str) -> tuple[float | None, bool]:
    return _SAMPLERS[_one_of(tuple(_SAMPLERS), text)]


def _protocol(text: str) -> str:
    if text.lower() == "grpc":
        raise ValueError("spans leave by OTLP/HTTP: write http/json, found 'grpc'")
    # Receivers take both kinds at one URL; an SDK beside us may need the other.
    return _one_of(("http/json", "http/protobuf"), text)


def _ratio(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"write a share from 0 to 1, found {text!r}")
    return share


def _milliseconds(text: str) -> str:
    return f"{_whole(1, _LONGEST_MS)(text)}ms"


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"write a whole number from {least} to {most}, found {text!r}")
        return int(text)

    return read


def _propagators(text: str) -> list[str] | str:
    words = [_one_of(_PROPAGATORS, word.strip()) for word in text.split(",") if word.strip()]
    if "none" in words and set(words) != {"none"}:
        raise ValueError(f"none does not go with others, found {text!r}")
    # Baggage passes through by itself, as every field does that nobody has written down.
    formats = [word for word in dict.fromkeys(words) if word not in ("baggage", "none")]
    return formats or "off"


def _base(text: str) -> str:
    """OTEL_EXPORTER_OTLP_ENDPOINT: the path of the signal goes below that of the URL."""
    export.read_url(text)
    return export.read_url(text.rstrip("/") + export.PATH)


def _label(text: str) -> str:
    try:
        return str(TypeAdapter(Label).validate_python(text))
    except ValidationError as error:
        raise ValueError(f"{error.errors()[0]['msg']}, found {text[:60]!r}") from None


def _pairs(text: str) -> dict[str, str]:
    """`key=value,key=value`, percent-encoded (W3C Baggage, as OpenTelemetry has it)."""
    found: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals or not re.fullmatch(r"[\x21-\x7e]{1,255}", unquote(key.strip())):
            raise ValueError("write key=value, with commas between and %2C for a comma within")
        found[unquote(key.strip())] = unquote(value.strip())
    return found


def _headers(text: str) -> dict[str, str]:
    headers = _pairs(text)
    for name, value in headers.items():
        message = export.why_no_header(name, value)
        if message:
            raise ValueError(message)
    return headers
