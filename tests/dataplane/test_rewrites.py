"""The difference between what was asked and what goes on."""

from __future__ import annotations

from typing import Any, cast

from meshproxy.core.exchange import Exchange, Peer
from meshproxy.core.foretold import Question
from meshproxy.dataplane.rewrites import rewrites


def test_dropped_changed_and_added_fields_are_told_apart() -> None:
    plan = cast(Any, type("Plan", (), {"unmatched": None}))
    exchange = Exchange(None, Peer("127.0.0.1", False, b""), plan, 0.0)
    exchange.target = b"/p/x"
    fields = (("Host", "a"), ("TE", "trailers"), ("Via", "1.1 b"), ("A", "1"), ("a", "2"))
    asked = Question("GET", "/p/./x", fields)
    head = (
        b"GET /x HTTP/1.1\r\nHost: a\r\nA: 1\r\na: 2\r\nvia: 1.1 b\r\nvia: 1.1 c\r\nnew: 1\r\n\r\n"
    )
    found = rewrites(asked, exchange, head)
    assert (found.canonical, found.sent, found.head) == ("/p/x", "/x", head)
    assert found.dropped == ("te",)
    assert found.changed == (("via", "1.1 b, 1.1 c"),)
    assert found.added == (("new", "1"),)
