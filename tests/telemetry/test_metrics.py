"""Traffic is counted once, under labels that no client can make, and never forgotten."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from itertools import chain
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from meshproxy.core.exchange import Exchange
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Refusal
from meshproxy.telemetry.exposition import PIECE
from meshproxy.telemetry.families import FAMILIES, PROCESS
from meshproxy.telemetry.metrics import ROWS, Telemetry, samples_of
from meshproxy.telemetry.series import BOUNDS, COUNTS, COUNTS_PER_ROW

from .counting import begin, count, sample


def ended(
    method: bytes = b"GET",
    status: int = 200,
    flags: str = "",
    first_byte: float = 0.0,
    began: float = 100.0,
    why: str = "",
) -> Exchange:
    refusal = Refusal(status, flags, "no", why=why) if flags else None
    fields = {"method": method, "status": status, "flags": flags, "refusal": refusal}
    return cast(Exchange, cast(Any, SimpleNamespace(**fields, began=began, first_byte=first_byte)))


def text(telemetry: Telemetry, *samples: Sample, openmetrics: bool = False) -> str:
    return b"".join(telemetry.render(openmetrics, [samples])).decode()


def page(telemetry: Telemetry, *samples: Sample) -> dict[str, Metric]:
    return {family.name: family for family in read_text(text(telemetry, *samples))}


def values(metrics: dict[str, Metric], sample: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The samples of one name, by the values of `labels`."""
    return {
        tuple(each.labels[label] for label in labels): each.value
        for family in metrics.values()
        for each in family.samples
        if each.name == sample
    }


def test_requests_are_counted_by_method_code_and_flags() -> None:
    telemetry = Telemetry()
    series = telemetry.series("inbound", "POST /orders", "app")
    for exchange in (ended(), ended(), ended(b"POST", 503, "UF,URX"), ended(b"PURGE", 405)):
        count(series, exchange, 101.0)
    counted = values(page(telemetry), "meshproxy_requests_total", "method", "code", "flags")
    assert counted == {
        ("GET", "200", ""): 2,
        ("POST", "503", "UF,URX"): 1,
        ("_OTHER", "405", ""): 1,
    }


def test_bad_requests_are_counted_by_direction_and_what_was_wrong() -> None:
    telemetry = Telemetry()
    for direction, route, why in (
        ("inbound", "__unmatched__", "bad-length"),
        ("inbound", "GET /a", "bad-length"),
        ("inbound", "GET /a", "bad-syntax"),
        ("outbound", "default", "bad-length"),
    ):
        count(
            telemetry.series(direction, route, "app"), ended(status=400, flags="IH", why=why), 101
        )
    found = values(page(telemetry), "meshproxy_bad_requests_total", "direction", "why")
    assert found == {
        ("inbound", "bad-length"): 2,
        ("inbound", "bad-syntax"): 1,
        ("outbound", "bad-length"): 1,
    }
    assert telemetry.stats()["bad_requests"] == 4


def test_an_answer_and_a_limit_are_no_bad_requests() -> None:
    telemetry = Telemetry()
    series = telemetry.series("inbound", "r", "app")
    for exchange in (ended(), ended(status=429, flags="RL"), ended(status=503, flags="UF")):
        count(series, exchange, 101.0)
    assert values(page(telemetry), "meshproxy_bad_requests_total", "why") == {}


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, "0.005"), (0.005, "0.005"), (0.0051, "0.01"), (10.0, "10.0")]
)
def test_a_bound_belongs_to_its_bucket(seconds: float, bucket: str) -> None:
    telemetry = Telemetry()
    count(telemetry.series("inbound", "r", "app"), ended(began=0.0), seconds)
    found = values(page(telemetry), "meshproxy_request_duration_seconds_bucket", "le")
    assert min((float(le), le) for (le,), count in found.items() if count)[1] == bucket


def test_what_is_slower_than_all_bounds_is_counted_too() -> None:
    telemetry = Telemetry()
    count(telemetry.series("inbound", "r", "app"), ended(began=0.0), 11.0)
    metrics = page(telemetry)
    found = values(metrics, "meshproxy_request_duration_seconds_bucket", "le")
    assert found["10.0",] == 0
    assert found["+Inf",] == 1
    assert values(metrics, "meshproxy_request_duration_seconds_sum") == {(): 11.0}


def test_the_first_byte_is_observed_only_where_one_came() -> None:
    telemetry = Telemetry()
    series = telemetry.series("inbound", "r", "app")
    count(series, ended(first_byte=100.25), 101.0)
    count(series, ended(status=499, flags="DC"), 101.0)
    metrics = page(telemetry)
    assert values(metrics, "meshproxy_time_to_first_byte_seconds_count") == {(): 1}
    assert values(metrics, "meshproxy_time_to_first_byte_seconds_sum") == {(): 0.25}
    assert values(metrics, "meshproxy_request_duration_seconds_count") == {(): 2}


def test_a_route_that_comes_back_after_a_reload_goes_on_counting() -> None:
    telemetry = Telemetry()
    count(telemetry.series("inbound", "r", "app"), ended(), 101.0)
    count(telemetry.series("inbound", "r", "app"), ended(), 101.0)
    telemetry.cluster_series("app").attempted("success")
    telemetry.cluster_series("app").attempted("success")
    metrics = page(telemetry)
    assert values(metrics, "meshproxy_requests_total", "route") == {("r",): 2}
    assert values(metrics, "meshproxy_upstream_attempts_total", "result") == {("success",): 2}


def test_requests_in_flight_are_shown_before_any_has_ended() -> None:
    telemetry = Telemetry()
    begin(telemetry.series("inbound", "r", "app"), 3)
    assert values(page(telemetry), "meshproxy_in_flight_requests", "route") == {("r",): 3}


def test_a_route_without_traffic_takes_no_lines() -> None:
    telemetry = Telemetry()
    telemetry.series("inbound", "idle", "app")
    assert "idle" not in text(telemetry)


def test_random_methods_make_one_series() -> None:
    telemetry, draw = Telemetry(), random.Random(5)
    series = telemetry.series("inbound", "r", "app")
    for _ in range(5000):
        count(series, ended(b"M%d" % draw.getrandbits(60)), 101.0)
    assert values(page(telemetry), "meshproxy_requests_total", "method") == {("_OTHER",): 5000}


def test_an_upstream_that_invents_statuses_meets_a_bound_and_no_request_is_lost() -> None:
    telemetry = Telemetry()
    series = telemetry.series("inbound", "r", "app")
    for status in range(100, 1000):
        count(series, ended(status=status), 101.0)
    metrics = page(telemetry)
    counted = values(metrics, "meshproxy_requests_total", "method", "code", "flags")
    room = COUNTS + COUNTS_PER_ROW
    assert len(counted) == room + 1
    assert sum(counted.values()) == 900
    assert counted["__other__", "__other__", "__other__"] == 900 - room
    assert values(metrics, "meshproxy_series_dropped_total") == {(): 900 - room}
    lines = [line for line in text(telemetry).splitlines() if line[:1] != "#"]
    assert len(lines) <= 1000


def test_more_routes_and_clusters_than_there_is_room_for_share_one() -> None:
    telemetry = Telemetry()
    for number in range(ROWS + 5):
        count(telemetry.series("outbound", f"r{number}", "u"), ended(), 101.0)
        telemetry.cluster_series(f"u{number}").attempted("success")
    metrics = page(telemetry)
    routes = values(metrics, "meshproxy_requests_total", "route")
    assert len(routes) == ROWS + 1
    assert routes["__other__",] == 5
    assert values(metrics, "meshproxy_upstream_attempts_total", "upstream")["__other__",] == 5


def test_results_of_attempts_are_bounded() -> None:
    telemetry = Telemetry()
    for status in range(500, 600):
        telemetry.cluster_series("u").attempted(str(status))
    found = values(page(telemetry), "meshproxy_upstream_attempts_total", "result")
    assert found["__other__",] == 50
    assert sum(found.values()) == 100


LABELS = (("upstream", "u"), ("endpoint", "10.0.0.1:80"))


def test_samples_with_the_same_labels_become_one_line() -> None:
    found = page(
        Telemetry(),
        Sample("meshproxy_breaker_state", LABELS, 1),
        Sample("meshproxy_breaker_state", LABELS, 2),
        Sample("meshproxy_retries_total", (("upstream", "u"), ("outcome", "success")), 3),
        Sample("meshproxy_retries_total", (("upstream", "u"), ("outcome", "success")), 4),
    )
    assert values(found, "meshproxy_breaker_state", "upstream") == {("u",): 2}
    assert values(found, "meshproxy_retries_total", "outcome") == {("success",): 7}


class Cell:
    def __init__(self, *samples: Sample) -> None:
        self._samples = samples

    def samples(self) -> Iterator[Sample]:
        yield from self._samples


def test_counters_of_state_that_a_reload_forgets_do_not_go_back() -> None:
    telemetry = Telemetry()
    outcome = (("upstream", "u"), ("outcome", "success"))
    gone = Cell(
        Sample("meshproxy_retries_total", outcome, 5), Sample("meshproxy_breaker_state", LABELS, 1)
    )
    telemetry.retire([gone, object()])
    live = samples_of([Cell(Sample("meshproxy_retries_total", outcome, 2)), 7])
    metrics = page(telemetry, *chain.from_iterable(live))
    assert values(metrics, "meshproxy_retries_total") == {(): 7}
    assert values(metrics, "meshproxy_breaker_state") == {}


def test_every_family_is_named_once_and_explained_even_without_a_sample() -> None:
    told = text(Telemetry())
    for family in (*FAMILIES, *PROCESS):
        assert told.count(f"# TYPE {family.name} ") == 1
        assert told.count(f"# HELP {family.name} {family.help}\n") == 1


def test_a_sample_that_the_table_forgot_is_shown_all_the_same() -> None:
    found = page(Telemetry(), Sample("meshproxy_novelty", (), 1.5))
    assert values(found, "meshproxy_novelty") == {(): 1.5}


def test_the_process_and_its_collector_are_told() -> None:
    found = page(Telemetry("9.8.7"))
    assert {"process_cpu_seconds", "python_gc_collections", "python_info"} <= set(found)
    assert ("9.8.7",) in values(found, "meshproxy_build_info", "version")


def test_the_sums_are_told_to_the_admin_port() -> None:
    telemetry = Telemetry()
    series = telemetry.series("inbound", "r", "app")
    begin(series, 2)
    count(series, ended(), 101.0)
    telemetry.cluster_series("app").attempted("reset")
    stats = telemetry.stats()
    assert (stats["requests"], stats["in_flight"], stats["attempts"]) == (1, 2, 1)


def busy() -> Telemetry:
    telemetry = Telemetry()
    for route in ("GET /a/*", 'odd "name"\\', "__unmatched__"):
        series = telemetry.series("inbound", route, "app")
        bad = ended(b"", 400, "IH", why="bad-syntax")
        for exchange in (ended(first_byte=100.1), ended(b"POST", 503, "UO"), ended(b"X", 404), bad):
            count(series, exchange, 100.2)
    telemetry.cluster_series("app").attempted("connect-failure")
    return telemetry


SAMPLES = (
    Sample("meshproxy_breaker_state", LABELS, 1),
    Sample("meshproxy_breaker_transitions_total", (*LABELS, ("from", "closed"), ("to", "open")), 1),
    Sample("meshproxy_config_last_reload_success_timestamp_seconds", (), 1.7e9),
    Sample("meshproxy_upstream_connections", (("upstream", 'a\\b"c\nd'), ("state", "idle")), 3),
)


def test_both_formats_say_the_same() -> None:
    telemetry = busy()
    plain = read_text(text(telemetry, *SAMPLES))
    modern_text = text(telemetry, *SAMPLES, openmetrics=True)
    assert modern_text.endswith("\n# EOF\n")
    modern = read_openmetrics(modern_text)  # type: ignore[no-untyped-call]

    def flat(families: Any) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
        return {
            (sample.name, tuple(sorted(sample.labels.items())), sample.value)
            for family in families
            for sample in family.samples
            if sample.name.startswith("meshproxy")
        }

    assert flat(plain) == flat(modern)


@pytest.mark.server("promtool")
def test_promtool_has_no_complaint() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    for telemetry in (Telemetry(), busy()):
        checked = subprocess.run(
            [promtool, "check", "metrics"],
            input=text(telemetry, *SAMPLES),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"


def traced(began: float = 100.0, first_byte: float = 0.0, trace_id: bytes = TRACE) -> Exchange:
    exchange = ended(began=began, first_byte=first_byte)
    exchange.trace = (trace_id, b"00f067aa0ba902b7", True, None)
    return exchange


def examples(telemetry: Telemetry, name: str) -> dict[str, Any]:
    """Exemplars of a histogram by their bucket, as the reference parser reads them."""
    families = read_openmetrics(text(telemetry, openmetrics=True))  # type: ignore[no-untyped-call]
    return {
        sample.labels["le"]: sample.exemplar
        for family in families
        if family.name == name
        for sample in family.samples
        if sample.exemplar is not None
    }


def test_a_sampled_request_is_the_example_of_its_buckets() -> None:
    telemetry = Telemetry(wall=lambda: 1_700_000_000.5)
    series = telemetry.series("inbound", "r", "app")
    exchange = traced(first_byte=100.03)
    sample(series, exchange, 100.06)
    count(series, exchange, 100.06)
    [(bucket, whole)] = examples(telemetry, "meshproxy_request_duration_seconds").items()
    assert (bucket, whole.labels) == ("0.075", {"trace_id": TRACE.decode()})
    assert (whole.value, float(whole.timestamp)) == (pytest.approx(0.06), 1_700_000_000.5)
    [(bucket, first)] = examples(telemetry, "meshproxy_time_to_first_byte_seconds").items()
    assert (bucket, first.value) == ("0.05", pytest.approx(0.03))


def test_the_latest_example_of_a_bucket_stays_and_each_bucket_has_its_own() -> None:
    telemetry = Telemetry()
    series = telemetry.series("inbound", "r", "app")
    for number, now in enumerate((100.001, 100.002, 100.3, 200.0)):
        exchange = traced(trace_id=b"%032x" % number)
        sample(series, exchange, now)
        count(series, exchange, now)
    found = examples(telemetry, "meshproxy_request_duration_seconds")
    traces = {bucket: int(one.labels["trace_id"], 16) for bucket, one in found.items()}
    assert traces == {"0.005": 1, "0.5": 2, "+Inf": 3}
    assert examples(telemetry, "meshproxy_time_to_first_byte_seconds") == {}


def test_examples_are_of_openmetrics_alone_and_no_row_has_another_s() -> None:
    telemetry = Telemetry()
    exchange = traced()
    sample(telemetry.series("inbound", "r", "app"), exchange, 100.1)
    for route in ("r", "quiet"):
        count(telemetry.series("inbound", route, "app"), exchange, 100.1)
    assert "trace_id" not in text(telemetry)
    lines = [line for line in text(telemetry, openmetrics=True).splitlines() if "trace_id" in line]
    assert len(lines) == 1
    assert 'route="r"' in lines[0]


def crowd(rows: int) -> Telemetry:
    """So many routes with four counters and two histograms each."""
    telemetry = Telemetry()
    for number in range(rows):
        series = telemetry.series("outbound", f"route-{number}", f"upstream-{number % 50}")
        for exchange in (ended(first_byte=100.1), ended(b"POST", 201), ended(status=404),
                         ended(status=503, flags="UF")):  # fmt: skip
            count(series, exchange, 100.2)
        telemetry.cluster_series(f"upstream-{number % 50}").attempted("success")
    return telemetry


def cells(count: int) -> Iterator[Iterator[Sample]]:
    yield from samples_of(
        Cell(
            Sample("meshproxy_breaker_state", (("upstream", "u"), ("endpoint", f"e{number}")), 1),
            Sample(
                "meshproxy_endpoint_healthy", (("upstream", "u"), ("endpoint", f"e{number}")), 1
            ),
        )
        for number in range(count)
    )  # type: ignore[misc]


MOST = PIECE + 2 * len(BOUNDS)
"""A piece is full after a line too many, and a histogram is never cut."""


@pytest.mark.parametrize("openmetrics", [False, True])
def test_no_piece_of_a_page_has_more_lines_than_a_turn_of_the_loop_is_given(
    openmetrics: bool,
) -> None:
    telemetry = crowd(300)
    telemetry.speak(["istio"], SimpleNamespace(name="orders", version=""))
    *pieces, last = telemetry.render(openmetrics, cells(3000))
    lines = [piece.count(b"\n") for piece in pieces]
    assert sum(lines) > 16_000
    assert max(lines) <= MOST
    assert last.count(b"\n") <= MOST + 2 * len(FAMILIES)  # the empty families and Python's own
    assert min(len(pieces), len(lines)) > sum(lines) / MOST


def test_a_route_with_thousands_of_counters_is_cut_too() -> None:
    telemetry = Telemetry()
    telemetry.numbers.left = 10_000
    series = telemetry.series("inbound", "r", "app")
    for method in (b"GET", b"POST", b"PUT"):
        for status in range(100, 1000):
            count(series, ended(method, status), 101.0)
    telemetry.speak(["istio"], SimpleNamespace(name="orders", version=""))
    pieces = list(telemetry.render(False, ()))
    assert sum(piece.count(b"\n") for piece in pieces) > 3600
    assert max(piece.count(b"\n") for piece in pieces) <= MOST + 2 * len(FAMILIES)


def test_state_that_only_counts_is_asked_a_few_cells_at_a_time() -> None:
    asked: list[int] = []

    class Asked(Cell):
        def samples(self) -> Iterator[Sample]:
            asked.append(1)
            yield Sample("meshproxy_retries_total", (("upstream", "u"), ("outcome", "granted")), 1)

    between = [len(asked) for _ in Telemetry().render(False, samples_of([Asked()] * 5000))]
    steps = [after - before for before, after in zip([0, *between], between, strict=False)]
    assert sum(steps) == 5000
    assert max(steps) <= PIECE


def test_traffic_may_go_on_while_a_page_is_made() -> None:
    """Every piece is followed by new routes, counters and clusters; the page stays well-formed."""
    telemetry = crowd(100)
    pieces = []
    for number, piece in enumerate(telemetry.render(True, cells(500))):
        pieces.append(piece)
        series = telemetry.series("outbound", f"late-{number}", "late")
        for status in range(200, 205):
            count(
                telemetry.series("outbound", "route-99", "upstream-49"),
                ended(status=status + 10 * number),
                100.2,
            )
            count(series, ended(status=status), 100.2)
        telemetry.cluster_series(f"late-{number}").attempted("success")
    whole = b"".join(pieces).decode()
    families = list(read_openmetrics(whole))  # type: ignore[no-untyped-call]
    for family in families:
        if family.name == "meshproxy_request_duration_seconds":
            last = [each.value for each in family.samples if each.labels.get("le") == "+Inf"]
            counts = [each.value for each in family.samples if each.name.endswith("_count")]
            assert last == counts
