"""Where spans go: a URL in each of its spellings, and what may stand beside it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshproxy.core.spans import Delivery
from meshproxy.policies.export import ExportSpec, read_url, why_no_header


def spec(**said: Any) -> ExportSpec:
    return ExportSpec.model_validate({"url": "http://c", **said})


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("otlp+http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("otlp+http://collector", "http://collector:4318/v1/traces"),
        ("otlp+http://collector/", "http://collector:4318/v1/traces"),
        ("http://collector", "http://collector/v1/traces"),
        ("https://api.example.com", "https://api.example.com/v1/traces"),
        ("otlp+https://api.example.com", "https://api.example.com/v1/traces"),
        ("https://api.example.com/otlp/v1/traces", "https://api.example.com/otlp/v1/traces"),
        ("HTTP://Collector:80/Path", "http://collector:80/Path"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ("http://c/a%2Fb", "http://c/a%2Fb"),
    ],
)
def test_a_url_is_read_in_each_of_its_spellings(written: str, url: str) -> None:
    assert read_url(written) == url
    assert read_url(url) == url
    assert ExportSpec.model_validate(written).delivery() == Delivery(url, {}, {})


@pytest.mark.parametrize(
    "written",
    [
        "", "collector", "collector:4318", "://c", "http://", "http:///x", "ftp://c", "otlp://c",
        "grpc://c:4317", "otlp+grpc://c:4317", "http://c:0", "http://c:x", "http://c:99999",
        "http://a b", "http://c/a b", "http://c/\r\nX: y", "http://me@c", "http://me:you@c",
        "http://c/?key=1", "http://c/#x", "http://c\u00e9", None, 3, ["http://c"],
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match=r"write|number|gRPC"):
        read_url(written)


@given(st.text(max_size=40).map(lambda text: f"http://{text}"))
def test_a_url_that_is_read_has_neither_blanks_nor_secrets_and_is_read_alike_again(
    text: str,
) -> None:
    try:
        url = read_url(text)
    except ValueError:
        return
    assert url.isascii()
    assert url.isprintable()
    assert not set(" @?#") & set(url)
    assert read_url(url) == url


def test_what_is_not_said_is_as_opentelemetry_has_it() -> None:
    said = spec().delivery()
    assert (said.timeout, said.queue, said.batch, said.gzip) == (10.0, 2048, 512, True)
    assert said.interval == 1.0


def test_a_batch_is_never_larger_than_the_queue() -> None:
    assert spec(queue=100).delivery().batch == 100
    with pytest.raises(ValidationError, match=r"batch \(200\) must not be above queue \(100\)"):
        spec(queue=100, batch=200)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "x"), ("Content-Type", "x"), ("content-encoding", "x"), ("a b", "x"), ("", "x"),
        ("x", "two\nlines"), ("x", "two\r\nlines"), ("x", " padded"), ("x", "caf\u00e9"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_sent_is_told_without_its_value(name: str, value: str) -> None:
    message = why_no_header(name, value)
    assert message is not None
    assert value not in message or len(value) == 1
    with pytest.raises(ValidationError):
        spec(headers={name: value})


def test_headers_are_sent_and_never_shown() -> None:
    said = spec(headers={"X-Api-Key": "sesame", "empty": ""})
    assert said.delivery().headers == {"x-api-key": "sesame", "empty": ""}
    assert said.model_dump(mode="json")["headers"] == {"x-api-key": "***", "empty": "***"}


@pytest.mark.parametrize("name", ["service.name", "service.version", "", "a b"])
def test_a_resource_does_not_rename_the_service(name: str) -> None:
    with pytest.raises(ValidationError):
        spec(resource={name: "x"})
