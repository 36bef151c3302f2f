"""Wiring beyond the bad files: what looks like a loop or a clash and is none."""

from __future__ import annotations

import pytest

from meshproxy.settings.errors import ConfigError
from meshproxy.settings.validate import validate

OWN_INBOUND = """
inbound: {app: '127.0.0.1:8080'}
outbound: {services: {me: {endpoints: ['127.0.0.1:15006']}}}
"""
PORT_OF_ANOTHER_MACHINE = """
outbound: {services: {a: {endpoints: ['10.0.0.1:15001']}}}
"""
ANY_FREE_PORT = """
inbound: {app: '127.0.0.1:8080', listen: '127.0.0.1:0'}
outbound: {listen: '127.0.0.1:0'}
"""
TWO_ADDRESSES = """
inbound: {app: '127.0.0.1:8080', listen: '127.0.0.2:15001'}
outbound: {listen: '127.0.0.1:15001'}
"""
ONE_HOST_WITH_TWO_PORTS = """
outbound:
  services:
    a: {hosts: ['shop:81'], endpoints: ['10.0.0.1:81']}
    b: {hosts: ['shop:82'], endpoints: ['10.0.0.1:82']}
"""

FALLBACKS_THAT_END = """
outbound:
  defaults: {fallback: {service: spare}}
  services:
    a: {endpoints: ['10.0.0.1:81'], routes: [{match: /x, fallback: {static: {body: sorry}}}]}
    b: {endpoints: ['10.0.0.1:82'], fallback: {service: a}}
    spare: {endpoints: ['10.0.0.1:83'], fallback: {static: {status: 503}}}
"""


@pytest.mark.parametrize(
    "text",
    [
        OWN_INBOUND,
        PORT_OF_ANOTHER_MACHINE,
        ANY_FREE_PORT,
        TWO_ADDRESSES,
        ONE_HOST_WITH_TWO_PORTS,
        FALLBACKS_THAT_END,
    ],
)
def test_what_can_work_is_taken(text: str) -> None:
    assert validate(text.encode(), "f.yaml", {}).file


def test_a_host_with_the_default_port_is_the_host() -> None:
    text = """
outbound:
  services:
    shop: {endpoints: ['10.0.0.1:81']}
    b: {hosts: ['shop:80'], endpoints: ['10.0.0.1:82']}
"""
    with pytest.raises(ConfigError, match="host 'shop' is already a host of service 'shop'"):
        validate(text.encode(), "f.yaml", {})
