"""OpenTelemetry's variables fill what the file leaves out, and what they say wrongly is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.settings.errors import ConfigError
from meshproxy.settings.otel import fill
from meshproxy.settings.validate import Settings, validate

APP = "inbound: {app: '127.0.0.1:8080'}\n"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


def valid(text: str = "", **environment: str) -> Settings:
    return validate((APP + text).encode(), "f.yaml", environment)


def tracing(text: str = "", **environment: str) -> dict[str, Any]:
    shown: dict[str, Any] = valid(text, **environment).effective()["tracing"]
    return shown


def exported(text: str = "", **environment: str) -> Any:
    return tracing(text, **environment)["export"]


def told(text: str = "", **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        valid(text, **environment)
    return refused.value.lines()


def test_without_variables_nothing_changes() -> None:
    assert valid().digest == valid(OTEL_SERVICE_NAME="", PATH="/bin").digest
    assert tracing() == {
        "propagate": ["tracecontext"],
        "sample": "1%",
        "heed_callers": True,
        "export": "off",
    }


def test_what_they_say_counts_for_the_digest() -> None:
    assert valid().digest != valid(OTEL_SERVICE_NAME="x").digest


@pytest.mark.parametrize(
    ("text", "environment", "name"),
    [
        ("", {"OTEL_SERVICE_NAME": "orders"}, "orders"),
        ("", {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,service.version=2"}, "a"),
        (
            "",
            {"OTEL_SERVICE_NAME": "b", "OTEL_RESOURCE_ATTRIBUTES": "service.name=a"},
            "b",
        ),
        ("service: {name: mine}", {"OTEL_SERVICE_NAME": "orders"}, "mine"),
        ("service: {version: '1'}", {"OTEL_SERVICE_NAME": "orders"}, "orders"),
        ("", {}, "app"),
    ],
)
def test_the_name_of_the_service(text: str, environment: dict[str, str], name: str) -> None:
    assert valid(text, **environment).file.service.name == name


def test_the_version_of_the_service() -> None:
    said = {"OTEL_RESOURCE_ATTRIBUTES": "service.version=2"}
    assert valid(**said).file.service.version == "2"
    assert valid("service: {version: '1'}", **said).file.service.version == "1"


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({ENDPOINT: "http://c:4318"}, "http://c:4318/v1/traces"),
        ({ENDPOINT: "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({ENDPOINT: "https://c/otlp"}, "https://c/otlp/v1/traces"),
        ({TRACES: "http://c:4318/mine"}, "http://c:4318/mine"),
        ({TRACES: "http://c:4318/mine", ENDPOINT: "http://d"}, "http://c:4318/mine"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"),
        ({"OTEL_TRACES_EXPORTER": "otlp", ENDPOINT: "http://c"}, "http://c/v1/traces"),
    ],
)
def test_an_endpoint_switches_the_export_on(environment: dict[str, str], url: str) -> None:
    assert exported(**environment)["url"] == url


@pytest.mark.parametrize(
    "environment",
    [
        {ENDPOINT: "http://c", "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: "http://c", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "a=b"},
    ],
)
def test_what_leaves_the_export_off(environment: dict[str, str]) -> None:
    assert exported(**environment) == "off"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("tracing: {export: 'http://mine:1'}", "http://mine:1/v1/traces"),
        ("tracing: {export: {url: 'http://mine:1'}}", "http://mine:1/v1/traces"),
        ("tracing: {export: {batch: 7}}", "http://c/v1/traces"),
        ("tracing: {sample: 5%}", "http://c/v1/traces"),
    ],
)
def test_the_file_s_own_url_wins(text: str, url: str) -> None:
    assert exported(text, **{ENDPOINT: "http://c"})["url"] == url


def test_what_is_off_in_the_file_stays_off() -> None:
    assert exported("tracing: {export: off}", **{ENDPOINT: "http://c"}) == "off"
    assert tracing("tracing: off", **{ENDPOINT: "http://c", "OTEL_PROPAGATORS": "b3"}) == "off"


ALL = {
    ENDPOINT: "http://c",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=sesame%2Copen, x-team = a ",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_BSP_SCHEDULE_DELAY": "250",
    "OTEL_BSP_MAX_QUEUE_SIZE": "100",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "500",
    "OTEL_RESOURCE_ATTRIBUTES": "service.name=a,deployment.environment.name=prod%20eu",
}


def test_everything_that_they_may_say_of_the_export() -> None:
    assert exported(**ALL) == {
        "url": "http://c/v1/traces",
        "headers": {"x-api-key": "***", "x-team": "***"},
        "resource": {"deployment.environment.name": "prod eu"},
        "compression": "none",
        "timeout": "2.5s",
        "interval": "250ms",
        "batch": 100,
        "queue": 100,
    }
    export: Any = valid(**ALL).file.tracing.export  # type: ignore[attr-defined]
    assert export.delivery().headers == {"x-api-key": "sesame,open", "x-team": "a"}


def test_the_file_wins_key_by_key() -> None:
    text = "tracing: {export: {timeout: 1s, resource: {a: mine}, headers: {h: v}}}"
    said = {**ALL, "OTEL_RESOURCE_ATTRIBUTES": "a=theirs,b=theirs"}
    shown = exported(text, **said)
    assert shown["timeout"] == "1s"
    assert shown["resource"] == {"a": "mine", "b": "theirs"}
    assert shown["headers"] == {"h": "***"}
    assert shown["interval"] == "250ms"


def test_variables_of_traces_alone_go_before_those_of_all_signals() -> None:
    said = {
        **ALL,
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "100",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "only=this",
    }
    shown = exported(**said)
    assert (shown["timeout"], shown["compression"]) == ("100ms", "gzip")
    assert shown["headers"] == {"only": "***"}


@pytest.mark.parametrize(
    ("sampler", "argument", "sample", "heeds"),
    [
        ("always_on", "", "100%", False),
        ("always_off", "", "0%", False),
        ("traceidratio", "0.25", "25%", False),
        ("parentbased_always_on", "0.1", "100%", True),
        ("parentbased_always_off", "", "0%", True),
        ("parentbased_traceidratio", "0.001", "0.1%", True),
        ("parentbased_traceidratio", "", "100%", True),
    ],
)
def test_samplers(sampler: str, argument: str, sample: str, heeds: bool) -> None:
    said = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    shown = tracing(**said)
    assert (shown["sample"], shown["heed_callers"]) == (sample, heeds)
    shown = tracing("tracing: {sample: 3%}", **said)
    assert (shown["sample"], shown["heed_callers"]) == ("3%", True)
    assert tracing(**said, OTEL_SDK_DISABLED="true")["sample"] == "1%"


@pytest.mark.parametrize(
    ("words", "formats"),
    [
        ("tracecontext,baggage", ["tracecontext"]),
        ("b3, jaeger ,b3", ["b3", "jaeger"]),
        ("b3multi", ["b3multi"]),
        ("none", "off"),
        ("baggage", "off"),
    ],
)
def test_propagators(words: str, formats: Any) -> None:
    assert tracing(OTEL_PROPAGATORS=words)["propagate"] == formats
    assert tracing(OTEL_PROPAGATORS=words, OTEL_SDK_DISABLED="true")["propagate"] == formats
    assert tracing("tracing: {propagate: [b3]}", OTEL_PROPAGATORS=words)["propagate"] == ["b3"]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("OTEL_SDK_DISABLED", "yes", "write true or false, found 'yes'"),
        ("OTEL_SERVICE_NAME", "caf\u00e9", "write a name of 1 to 100 printable ASCII characters"),
        ("OTEL_SERVICE_NAME", "default", "'default' is a label that meshproxy gives itself"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "write otlp or none, found 'zipkin'"),
        ("OTEL_TRACES_SAMPLER", "alwayson", "found 'alwayson', did you mean 'always_on'?"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "found 'jaeger_remote'"),
        ("OTEL_PROPAGATORS", "b3,xray", "found 'xray'"),
        ("OTEL_PROPAGATORS", "none,b3", "none does not go with others, found 'none,b3'"),
        (ENDPOINT, "c:4318", "write a URL such as otlp+http://127.0.0.1:4318"),
        (ENDPOINT, "http://me:sesame@c", "write credentials under headers"),
        (TRACES, "http://c:99999", "a port is a number from 1 to 65535"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "sesame", "write key=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x=sesame%0A", "the value of 'x' must be printable ASCII"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "host=sesame", "'host' is written for each batch"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "write a whole number from 1 to 86400000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0", "write a whole number from 1 to 86400000"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "write gzip or none, found 'zstd'"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "write http/json, found 'grpc'"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1", "write a whole number from 16 to 100000, found '1'"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "write a whole number from 1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "prod", "write key=value"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_name(variable: str, value: str, message: str) -> None:
    lines = told(**{ENDPOINT: "http://c", variable: value})
    assert len(lines) == 1
    assert lines[0].startswith(f"f.yaml: {variable}: a variable of the environment: ")
    assert message in lines[0]
    assert "sesame" not in lines[0]


def test_an_argument_that_no_sampler_asks_for_is_not_read() -> None:
    assert tracing(OTEL_TRACES_SAMPLER="always_on", OTEL_TRACES_SAMPLER_ARG="x")["sample"] == "100%"
    said = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.5"}
    (line,) = told(**said)
    assert "OTEL_TRACES_SAMPLER_ARG" in line
    assert "write a share from 0 to 1, found '1.5'" in line


def test_an_endpoint_that_is_our_own_listener_is_a_loop() -> None:
    (line,) = told(**{ENDPOINT: "http://127.0.0.1:15006"})
    assert "a loop: 127.0.0.1:15006 is this sidecar's own inbound.listen" in line


@given(
    st.dictionaries(
        st.sampled_from([*ALL, "OTEL_TRACES_SAMPLER", "OTEL_PROPAGATORS", "OTEL_SERVICE_NAME"]),
        st.one_of(st.text(max_size=20), st.sampled_from(["http://c", "10", "a=b", "b3", "true"])),
    ),
    st.sampled_from(["{}", '{"tracing": 3}', '{"tracing": {"export": []}}', '{"service": "x"}']),
)
def test_whatever_they_say_is_taken_or_told(environment: dict[str, str], text: str) -> None:
    """What `fill` finds no fault with, the models find none with either."""
    tree = json.loads(text)
    problems = fill(tree, environment)
    assert all(one.path[0] in environment for one in problems)
    if text == "{}" and not problems:
        valid(**{name: value for name, value in environment.items() if "\0" not in value})
