"""What must hold after any script, told from the bytes on the wires and the counts alone.

Requests that went up and answers that came down are read by `strict` and compared with what
was said at the other end: nothing may be complete here that was not complete there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import orjson

from meshproxy.core.exchange import Exchange
from tests.fuzz import strict
from tests.fuzz.strict import UNTIL_CLOSE, Message
from tests.fuzz.wires import Wire
from tests.fuzz.world import World

_REST = (1.2, 4.0, *[7.0] * 22, 70.0)
"""Seconds of silence that end everything, be it four exchanges in a row.

Every timeout of the file is shorter than 7 s, but that of idle connections, which upstreams may
stretch to a minute.
"""

_NAME = re.compile(rb"(?m)^([^:\r\n]+):")
_OURS_UP = frozenset(
    (b"host", b"via", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host",
     b"x-request-id", b"x-meshproxy-attempt", b"traceparent", b"tracestate", b"b3",
     b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags")
)  # fmt: skip
_OURS_DOWN = frozenset(
    (b"transfer-encoding", b"connection", b"x-request-id", b"server-timing", b"upgrade")
)
"""Fields that the proxy may add on either way; all others must have been there."""

_HOP = re.compile(rb"(?im)^(?:connection|keep-alive|proxy-connection|te|trailer|upgrade):")


class Finding(AssertionError):  # noqa: N818  # that is what it is called in the trade
    """Something that must not be; `kind` tells one sort from another while shrinking."""

    def __init__(self, kind: str, detail: object = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail != "" else kind)
        self.kind = kind


def require(kind: str, holds: object, detail: object = "") -> None:
    if not holds:
        raise Finding(kind, detail)


def judge(world: World) -> None:
    """Let time pass until nothing moves any more, then look at everything."""
    for seconds in _REST:
        world.wait(seconds)
        if world.at_rest:
            break
    world.wait(7.0)
    _all_is_closed(world)
    _each_ended_once(world)
    _nothing_is_left(world)
    _Wires(world).judge()


# ---- connections, exchanges, counts


def _all_is_closed(world: World) -> None:
    require("hung: a client", all(wire.lost for wire in world.clients))
    require("hung: an upstream", all(wire.lost for wire in world.wires))
    require("hung: a dial", not world.dials)
    require("hung: a client on the books", not any(one.clients for one in world.listeners))


def _each_ended_once(world: World) -> None:
    begun, ended = world.begun, world.ended
    require("ended twice", len(ended) == len(set(ended)))
    require("not ended", set(begun) == set(ended), (len(begun), len(ended)))
    require("a client blamed that was not read", not world.blamed)
    require("not logged", len(world.log) == len(ended))
    for line in world.log:
        require("a log line that is none", orjson.dumps(line).isascii(), line)


def _nothing_is_left(world: World) -> None:
    for one in world.endpoints:
        left = (one.load, one.connections, one.dials, one.idling, len(one.waiters))
        require("left at an endpoint", left == (0, 0, 0, 0, 0), left)
    require("left in flight", world.telemetry.stats()["in_flight"] == 0)
    require("left timers", world.time.pending == 0, world.time.pending)


# ---- bytes


class _Wires:
    """All that was said and heard, by exchange."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.exchanges: dict[Any, list[Exchange]] = defaultdict(list)
        self.asked: dict[Exchange, Message] = {}
        self.told: dict[Exchange, tuple[Wire, bytes]] = {}

    def judge(self) -> None:
        for exchange in self.world.begun:
            self.exchanges[exchange.client].append(exchange)
        for client in self.world.clients:
            requests = strict.read_requests(bytes(client.said), forgiving=True)
            self.asked.update(zip(self.exchanges[client.owner], requests, strict=False))
        for wire in self.world.wires:
            self._judge_upstream(wire)
        for client in self.world.clients:
            self._judge_client(client)

    def _judge_upstream(self, wire: Wire) -> None:
        """Each attempt wrote one request, as much of it as its client sent, and nothing else."""
        said, written = bytes(wire.said), bytes(wire.written)
        ends = [(said_at, at) for _, said_at, at in wire.sends[1:]] + [(len(said), len(written))]
        if not wire.sends:
            require("written without an attempt", not written, written)
            return
        for (exchange, said_at, at), (said_end, end) in zip(wire.sends, ends, strict=True):
            if self.world.latest[exchange] is wire:
                self.told[exchange] = wire, said[said_at:said_end]
            if end < len(written):
                self._judge_reuse(exchange, said[said_at:said_end])
            if exchange.method == b"CONNECT":
                self._judge_tunnel_up(exchange, written[at:end])
            else:
                whole = self._judge_request(exchange, written[at:end])
                require("sent after a part", whole or end == len(written), written)

    def _judge_reuse(self, exchange: Exchange, said: bytes) -> None:
        """RFC 9112 section 9.2: one answer, whole, and not a byte more; or no reuse."""
        _, told = strict.read_answer(said, 0, exchange.method)
        require("reused after a part", told is not None and told.complete, said)
        require("reused after too much", told is not None and told.end == len(said), said)

    def _judge_request(self, exchange: Exchange, written: bytes) -> bool:
        """Whether the request is complete."""
        sent = strict.read_requests(written)
        require("upstream got no request", sent, written)
        got, asked = sent[0], self.asked.get(exchange)
        require("sent what was no request", asked is not None, written)
        assert asked is not None
        require("another method", got.first[0] == asked.first[0] == exchange.method, written)
        require("not HTTP/1.1 upstream", got.first[2] == b"1", written)
        require("chunks not plain", got.plain, written)
        if exchange.tunnel and exchange.status == 101:
            self._judge_tunnel_up(exchange, written[got.end :])
            return True
        added = _names(got) - _names(asked)
        require("field added upstream", added <= _OURS_UP, added)
        if not exchange.tunnel:
            require("hop-by-hop field upstream", not _HOP.search(got.fields), written)
        require("more than one request", got.end == len(written), written)
        if got.complete:
            require("request made complete", asked.complete, written)
            require("another body upstream", got.body == asked.body, written)
        else:
            require("another part upstream", asked.body.startswith(got.body), written)
        return got.complete

    def _judge_tunnel_up(self, exchange: Exchange, written: bytes) -> None:
        asked = self.asked.get(exchange)
        require("tunnel for what was no request", asked is not None)
        assert asked is not None
        said = next(bytes(c.said) for c in self.world.clients if c.owner is exchange.client)
        require("another tunnel up", said[asked.end :].startswith(written), written)

    def _judge_client(self, client: Wire) -> None:
        """One answer to each exchange, in order, and none after one that was cut."""
        written = bytes(client.written)
        at = 0
        if not self.exchanges[client.owner] and written:
            self._judge_turned_away(written)
            return
        for exchange in self.exchanges[client.owner]:
            interim, reply = strict.read_answer(written, at, exchange.method)
            if interim:
                require("1xx to HTTP/1.0", exchange.minor, written)
                at = interim[-1].end
            if not exchange.first_byte:
                require("answered although gone", reply is None, written)
                continue
            if reply is None:
                require("no answer", client.broken or client.aborted, (exchange.status, written))
                break
            at = self._judge_reply(client, exchange, reply)
        require("more than the answers", at == len(written), written[at:])

    def _judge_turned_away(self, written: bytes) -> None:
        """There was no room for this client, and nothing of it was read."""
        _, reply = strict.read_answer(written, 0, b"GET")
        whole = reply is not None and reply.complete and reply.end == len(written)
        require("answer to nothing", whole, written)
        require("answer to nothing", reply is not None and reply.status in (429, 503), written)

    def _judge_reply(self, client: Wire, exchange: Exchange, reply: Message) -> int:
        """Where the next answer begins."""
        detail = (reply.status, exchange.status, bytes(client.written))
        require("another status", reply.status == exchange.status, detail)
        written = bytes(client.written)
        if exchange.tunnel and exchange.answered and _switched(exchange, reply):
            end = written.index(b"\r\n\r\n", reply.start) + 4
            self._judge_tunnel_down(exchange, reply.status, written[end:])
            return len(written)
        whole = reply.complete
        if reply.length == UNTIL_CLOSE:
            require("until close to HTTP/1.1", not exchange.minor, written)
            whole = not client.aborted and not client.broken
        require("hop-by-hop field downstream", b"\r\nkeep-alive:" not in reply.fields.lower())
        if exchange.answered:
            self._judge_origin(exchange, reply, whole=whole)
        else:
            require("refusal in part", whole, written)
        return reply.end

    def _judge_origin(self, exchange: Exchange, reply: Message, *, whole: bool) -> None:
        """What the client has as complete was complete, and said on this attempt's wire."""
        require("answered by nobody", exchange in self.told, reply.status)
        wire, said = self.told[exchange]
        _, told = strict.read_answer(said, 0, exchange.method)
        require("answer from what was none", told is not None, said)
        assert told is not None
        require("another status than told", told.status == reply.status, said)
        added = _names(reply) - _names(told)
        require("field added downstream", added <= _OURS_DOWN, added)
        if whole:
            ended = told.complete or (told.length == UNTIL_CLOSE and wire.ended)
            require("answer made complete", ended, said)
            require("another body", told.body == reply.body, said)
        else:
            require("another part", told.body.startswith(reply.body), said)

    def _judge_tunnel_down(self, exchange: Exchange, status: int, written: bytes) -> None:
        require("tunnel by nobody", exchange in self.told)
        _, said = self.told[exchange]
        start = 0
        if status == 101:
            _, told = strict.read_answer(said, 0, exchange.method)
            require("switch that was none", told is not None and told.status == 101, said)
            assert told is not None
            start = told.end
        require("another tunnel down", said[start:].startswith(written), (said, written))


def _names(message: Message) -> set[bytes]:
    return set(_NAME.findall(message.fields.lower()))


def _switched(exchange: Exchange, reply: Message) -> bool:
    """Whether nothing after this answer is HTTP."""
    return reply.status == 101 or (exchange.method == b"CONNECT" and reply.status == 200)
