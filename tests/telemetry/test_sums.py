"""Counts of several workers as one."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.core.report import Sample
from meshproxy.telemetry.metrics import Telemetry
from meshproxy.telemetry.series import BUCKETS, Times
from meshproxy.telemetry.sums import inherited, joined, lasting, samples_of, told, whole

from .counting import count
from .test_metrics import ended
from .test_metrics import page as shown

KEY = (b"GET", 200, "")
REFUSED = "meshproxy_downstream_connections_refused_total"
OPEN = "meshproxy_downstream_connections"


def worker(requests: int, in_flight: int = 0) -> Telemetry:
    """One that has answered so many."""
    telemetry = Telemetry()
    row: Any = telemetry.series("inbound", "default", "app")
    times = Times(0.5 * requests, 0.0, 0.0, [0] * BUCKETS)
    row.add({(*KEY, 3): requests}, times, in_flight)
    telemetry.cluster_series("app").results["success"] = requests
    telemetry.bad["inbound"] = {"syntax": requests}
    return telemetry


def page(telemetry: Telemetry, *samples: Sample) -> Any:
    """What a worker tells, after its way through the board."""
    return orjson.loads(orjson.dumps(told(telemetry, [samples]), option=orjson.OPT_NON_STR_KEYS))


def counts(telemetry: Telemetry) -> tuple[Any, ...]:
    row: Any = telemetry.rows["inbound", "default", "app"]
    results = telemetry.clusters["app"].counts()["success"]
    return row.counts()[KEY], row.durations()[3], row.duration_sum, row.in_flight, results


def test_the_whole_is_the_sum_and_nobody_is_changed_by_it() -> None:
    own = worker(2, in_flight=1)
    total = whole(own, [page(worker(3, in_flight=2)), page(worker(5))])
    assert counts(total) == (10, 10, 5.0, 3, 10)
    assert total.bad == {"inbound": {"syntax": 10}}
    assert counts(own) == (2, 2, 1.0, 1, 2)
    assert counts(whole(own, [])) == counts(own)


REQUESTS = st.builds(
    ended,
    method=st.sampled_from([b"GET", b"POST", b"PURGE"]),
    status=st.sampled_from([200, 404, 503]),
    flags=st.sampled_from(["", "UF", "RL"]),
    # When the answer began, in quarters of seconds, which add up exactly; the last one is at
    # once, and 0.0 never.
    first_byte=st.sampled_from([0.0, 100.25, 101.0]),
    began=st.sampled_from([91.0, 99.75, 100.0]),
)


@given(st.lists(st.tuples(st.integers(0, 2), REQUESTS), max_size=40))
def test_several_workers_show_what_one_would_have(requests: list[tuple[int, Any]]) -> None:
    alone, several = Telemetry(), [Telemetry() for _ in range(3)]
    for who, request in requests:
        for telemetry in (alone, several[who]):
            count(telemetry.series("inbound", "default", "app"), request, 101.0)
    total = shown(whole(several[0], map(page, several[1:])))
    once = shown(alone)
    for family in ("requests", "request_duration_seconds", "time_to_first_byte_seconds"):
        name = f"meshproxy_{family}"
        assert {(each.name, *each.labels.items()): each.value for each in total[name].samples} == {
            (each.name, *each.labels.items()): each.value for each in once[name].samples
        }


def test_a_route_that_only_another_has_met_is_there_too() -> None:
    own = Telemetry()
    assert counts(whole(own, [page(worker(4))])) == (4, 4, 2.0, 0, 4)


def test_samples_keep_their_labels() -> None:
    sample = Sample(OPEN, (("direction", "inbound"),), 7.0)
    found = [one for group in samples_of([page(worker(1), sample)]) for one in group]
    assert sample in found


def test_of_the_dead_counters_stay_and_gauges_go() -> None:
    labels = (("direction", "inbound"),)
    dead = lasting(
        page(worker(3, in_flight=2), Sample(REFUSED, labels, 4.0), Sample(OPEN, labels, 9.0))
    )
    families = [one[0] for one in dead["samples"]]
    assert REFUSED in families
    assert OPEN not in families
    assert counts(whole(Telemetry(), [dead])) == (3, 3, 1.5, 0, 3)


def test_the_dead_are_added_up_one_after_the_other() -> None:
    labels = (("direction", "inbound"),)
    one = lasting(page(worker(3), Sample(REFUSED, labels, 4.0)))
    both = joined(one, lasting(page(worker(5), Sample(REFUSED, labels, 1.0))))
    again = orjson.loads(orjson.dumps(both, option=orjson.OPT_NON_STR_KEYS))
    assert counts(whole(Telemetry(), [again])) == (8, 8, 4.0, 0, 8)
    (refused,) = [value for family, _, value in again["samples"] if family == REFUSED]
    assert refused == 5.0


def test_what_the_dead_have_counted_is_inherited() -> None:
    dumps = [orjson.dumps(page(worker(count, in_flight=2))) for count in (3, 4)]
    left = orjson.loads(inherited(inherited(b"", dumps[0]), dumps[1]))
    assert counts(whole(Telemetry(), [left])) == (7, 7, 3.5, 0, 7)
    assert left["seat"] == -1
