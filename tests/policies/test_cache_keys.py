"""Two requests share an answer only if they agree on everything that it depends on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import binary, dictionaries, sampled_from, sets

from meshproxy.core.exchange import CHUNKED, Exchange
from meshproxy.policies import cache_keys
from meshproxy.policies.cache_keys import Secondary

from .limits_scene import exchange


def asking(host: bytes = b"host", target: bytes = b"/a?b", **headers: str) -> Exchange:
    made = exchange(**headers)
    made.host, made.target = host, target
    return made


def test_the_primary_key_is_host_and_target() -> None:
    """RFC 9111 section 2."""
    assert cache_keys.primary(asking()) == b"host\n/a?b"


@pytest.mark.parametrize("field", ["range", "if_range", "if_match", "if_unmodified_since"])
def test_parts_and_conditions_for_the_origin_pass_by(field: str) -> None:
    assert cache_keys.is_plain(asking())
    assert cache_keys.is_plain(asking(if_none_match='"a"'))
    assert not cache_keys.is_plain(asking(**{field: "x"}))


@pytest.mark.parametrize("length", [1, CHUNKED])
def test_a_request_with_a_body_passes_by(length: int) -> None:
    made = asking()
    made.length = length
    assert not cache_keys.is_plain(made)


def test_a_tunnel_passes_by() -> None:
    made = asking()
    made.tunnel = True
    assert not cache_keys.is_plain(made)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (b"/c#d", b"host\n/c"),
        (b"http://host/c", b"host\n/c"),
        (b"http://HOST:80/c", b"host\n/c"),
        (b"http://other/c", None),
        (b"https://host/c", None),
        (b"//host/c", None),
        (b"c", None),
        (b"", None),
        (b"http://host", None),
    ],
)
def test_only_references_to_the_same_host_are_followed(
    reference: bytes, told: bytes | None
) -> None:
    """RFC 9111 section 4.4: others must not be invalidated."""
    assert cache_keys.named(asking(), reference) == told


def test_lines_that_nobody_read_are_found_by_name_and_joined() -> None:
    made = asking(accept="json")
    made.lines = [b"Host: host\r\nX-A: 1", b"x-a:  2 \r\nX-B: "]
    key = Secondary((), 0).of(made, (b"accept", b"x-a", b"x-b", b"x-c"))
    assert key == b"\njson\n1, 2\n\n\0"


def test_the_parts_that_the_file_names_come_first() -> None:
    made = asking(x_tenant="t", accept="json")
    keyed = Secondary(("header:X-Tenant",), 0)
    assert b"x-tenant" in keyed.reads
    assert keyed.of(made, ()) == b"t"
    assert keyed.of(made, (b"accept",)) == b"t\njson"


def test_it_knows_whether_a_cookie_is_part_of_it() -> None:
    assert Secondary(("header:Cookie",), 0).has_cookie
    assert not Secondary(("header:x-cookie",), 0).has_cookie


NAMES = [b"accept", b"x-a", b"x-b"]
VALUES = binary(max_size=4).filter(lambda value: not set(value) & set(b"\r\n\0 \t"))
FIELDS = dictionaries(sampled_from(NAMES), VALUES)


@given(FIELDS, FIELDS, sets(sampled_from(NAMES)))
def test_two_keys_are_one_if_and_only_if_the_fields_agree(
    one: dict[bytes, bytes], other: dict[bytes, bytes], names: set[bytes]
) -> None:
    """RFC 9111 section 4.1; an absent field is not an empty one."""
    asked = tuple(sorted(names))

    def key(given: dict[bytes, bytes]) -> bytes:
        made = asking()
        made.taken = {name: value for name, value in given.items() if name == b"accept"}
        made.lines = [name.title() + b": " + value for name, value in given.items()]
        return Secondary((), 0).of(made, asked)

    agree = all(one.get(name) == other.get(name) for name in asked)
    assert (key(one) == key(other)) == agree
