"""The store holds no more than it may, counts every byte, and forgets what it is told to."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import binary, floats, integers, lists, sampled_from

from meshproxy.logic import caching
from meshproxy.logic.caching import Says
from meshproxy.policies.cache_store import OVERHEAD, REMEMBERED, Counts, Entry, Store

SAYS: Says = caching.read(200, [(b"cache-control", b"max-age=60")])
PLENTY = 1024 * 1024


def store(most_bytes: int = PLENTY, most: int = 100) -> Store:
    made = Store("app", "inbound")
    made.most_bytes, made.most = most_bytes, most
    return made


def entry(
    primary: bytes = b"a\n/", secondary: bytes = b"", body: bytes = b"", route: str = "default"
) -> Entry:
    made = Entry((primary, secondary), route, SAYS, b"server: a\r\n", 1000.0)
    made.body = body
    return made


class Lru(RuleBasedStateMachine):
    """Any walk over a small store, beside its keys and sizes from the least recently used on."""

    def __init__(self) -> None:
        super().__init__()
        self.store = store(OVERHEAD * 4, 3)
        self.order: dict[tuple[bytes, bytes], int] = {}

    @rule(
        primary=sampled_from([b"a", b"b", b"c"]),
        secondary=sampled_from([b"", b"x", b"y"]),
        size=integers(0, 4 * OVERHEAD),
    )
    def put(self, primary: bytes, secondary: bytes, size: int) -> None:
        made = entry(primary, secondary, b"." * size)
        self.store.put(made, ())
        self.order.pop(made.key, None)
        if made.size <= self.store.most_bytes:
            self.order[made.key] = made.size
        self.evict()

    def evict(self) -> None:
        while sum(self.order.values()) > self.store.most_bytes or len(self.order) > 3:
            del self.order[next(iter(self.order))]

    @rule(primary=sampled_from([b"a", b"b"]), secondary=sampled_from([b"", b"x"]))
    def get(self, primary: bytes, secondary: bytes) -> None:
        key = (primary, secondary)
        assert (self.store.get(key) is not None) == (key in self.order)
        if key in self.order:
            self.order[key] = self.order.pop(key)

    @rule(fields=binary(max_size=2 * OVERHEAD), which=integers(0, 2))
    def renew(self, fields: bytes, which: int) -> None:
        for key in list(self.order)[which : which + 1]:
            found = self.store.entries[key]
            self.order[key] += len(fields) - len(found.fields)
            self.store.renew(found, SAYS, fields, 1.0)
            self.evict()

    @rule(primary=sampled_from([b"a", b"b", b"c"]))
    def invalidate(self, primary: bytes) -> None:
        self.store.invalidate(primary, 1.0)
        self.order = {key: size for key, size in self.order.items() if key[0] != primary}

    @rule(secondary=sampled_from([b"", b"x"]))
    def drop(self, secondary: bytes) -> None:
        self.store.drop((b"a", secondary))
        self.order.pop((b"a", secondary), None)

    @invariant()
    def nothing_is_lost_and_nothing_is_over(self) -> None:
        kept = self.store
        assert list(kept.entries) == list(self.order)
        assert kept.bytes == sum(self.order.values()) <= kept.most_bytes
        assert kept.bytes == sum(each.size for each in kept.entries.values())
        for primary in (b"a", b"b", b"c"):
            assert (kept.names(primary) is not None) == any(key[0] == primary for key in self.order)


TestLru = Lru.TestCase
TestLru.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_an_answer_that_is_larger_than_all_is_not_stored_and_evicts_nothing() -> None:
    small = store(OVERHEAD * 2)
    small.put(entry(b"a"), ())
    small.put(entry(b"b", body=b"." * OVERHEAD * 2), ())
    assert list(small.entries) == [(b"a", b"")]
    assert small.evicted == 0


def test_answers_of_one_key_vary_by_all_that_any_of_them_named() -> None:
    kept = store()
    assert kept.widen(b"a", (b"accept",)) == (b"accept",)
    kept.put(entry(b"a", b"json"), (b"accept",))
    assert kept.widen(b"a", (b"accept",)) == (b"accept",)
    assert kept.names(b"a") == (b"accept",)
    assert kept.widen(b"a", ()) == (b"accept",)
    assert kept.widen(b"a", (b"cookie",)) == (b"accept", b"cookie")
    assert kept.names(b"a") is None, "what varied by less cannot be found any more"


def test_what_was_asked_for_before_an_invalidation_is_not_current() -> None:
    kept = store()
    kept.invalidate(b"a", 5.0)
    assert not kept.is_current(b"a", 5.0)
    assert kept.is_current(b"a", 5.1)
    assert kept.is_current(b"b", 1.0)


@settings(max_examples=20)
@given(lists(floats(0, 100), min_size=1, max_size=20))
def test_an_invalidation_that_is_forgotten_counts_for_all(times: list[float]) -> None:
    kept = store()
    for index, when in enumerate(sorted(times)):
        kept.invalidate(b"%d" % index, when)
    for index in range(REMEMBERED):
        kept.invalidate(b"more %d" % index, 200.0)
    assert not kept.is_current(b"0", min(times))
    assert not kept.is_current(b"other", max(times))
    assert kept.is_current(b"other", 150.0)


def test_a_purge_takes_what_is_of_the_route_and_begins_so() -> None:
    kept = store()
    for target, route in ((b"/a/1", "one"), (b"/a/2", "two"), (b"/b", "two")):
        kept.put(entry(b"host\n" + target, route=route), ())
    assert kept.purge("two", "/a/", 7.0) == 1
    assert [key[0] for key in kept.entries] == [b"host\n/a/1", b"host\n/b"]
    assert not kept.is_current(b"host\n/a/1", 7.0), "what is on its way was asked for before"
    assert kept.purge("", "", 8.0) == 2
    assert kept.bytes == 0


def test_an_entry_takes_no_more_memory_than_is_counted() -> None:
    def filled(count: int) -> Store:
        kept = store(PLENTY * 1000, count)
        for index in range(count):
            lines = [
                b"cache-control: max-age=60, public",
                b'etag: "%d"' % index,
                b"date: Sun, 06 Nov 1994 08:49:%d GMT" % (index % 60),
                b"vary: accept",
            ]
            says = caching.read(200, caching.fields(lines))
            key = (b"host.example\n/items/%d" % index, b"*/*, %d" % index)
            made = Entry(key, "default", says, caching.stored(lines), 1000.0)
            made.body = b"%d" % index * 20
            kept.put(made, (b"accept",))
        return kept

    gc.collect()
    tracemalloc.start()
    kept = filled(500)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used < kept.bytes
    assert len(kept.entries) == 500


def test_numbers_and_a_record_are_told() -> None:
    kept = store(most=1)
    kept.put(entry(b"a"), ())
    kept.put(entry(b"b"), ())
    told: dict[str, Any] = {sample.family: sample.value for sample in kept.samples()}
    assert told["meshproxy_cache_entries"] == told["meshproxy_cache_evictions_total"] == 1.0
    assert told["meshproxy_cache_bytes"] == entry(b"b").size
    report = kept.report(0.0)
    assert (report["entries"], report["max_entries"], report["evicted"]) == (1, 1, 1)
    counts = Counts()
    counts.counts["inbound", "default", "hit"] += 2
    (sample,) = counts.samples()
    assert (sample.family, sample.value) == ("meshproxy_cache_requests_total", 2.0)
