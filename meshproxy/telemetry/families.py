"""The metric families there are: name, type and help, in the order in which they are printed.

Names and labels are the public contract. No label holds a raw path, host or client. `merge`
says how samples with the very same labels, of two pieces of state, become one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple


class Family(NamedTuple):
    """One metric; `labels` for the reader, in the order in which they are printed."""

    name: str
    type: Literal["counter", "gauge", "histogram", "info", "unknown"]
    help: str
    labels: str = ""
    merge: Callable[[Iterable[float]], float] = sum


REQUESTS = Family(
    "meshproxy_requests_total",
    "counter",
    "Requests that ended, by the status the caller saw and the proxy's reason codes.",
    "direction,route,upstream,method,code,flags",
)
DURATION = Family(
    "meshproxy_request_duration_seconds",
    "histogram",
    "From the request head to the end of the answer.",
    "direction,route,upstream",
)
FIRST_BYTE = Family(
    "meshproxy_time_to_first_byte_seconds",
    "histogram",
    "From the request head to the head of the answer.",
    "direction,route,upstream",
)
IN_FLIGHT = Family(
    "meshproxy_in_flight_requests",
    "gauge",
    "Requests that began and have not ended.",
    "direction,route,upstream",
)
ATTEMPTS = Family(
    "meshproxy_upstream_attempts_total",
    "counter",
    "Attempts, retries included, by result: success, a failure's condition, a failing status.",
    "upstream,result",
)
BAD_REQUESTS = Family(
    "meshproxy_bad_requests_total",
    "counter",
    "Requests refused for what they are, not for what is in force, by what was wrong.",
    "direction,why",
)
SPANS = Family(
    "meshproxy_spans_total",
    "counter",
    "Spans by what became of them: sent, rejected, undelivered; queue_full: no room to wait.",
    "outcome",
)
OVERFLOW = Family(
    "meshproxy_series_dropped_total",
    "counter",
    "Events counted under __other__ because there were too many series already.",
)
VERSION_REQUESTS = Family(
    "meshproxy_version_requests_total",
    "counter",
    "Requests by the version of the endpoint that answered last, of upstreams that have several;"
    " fallback: something else stood in for its answer.",
    "upstream,version,code_class",
)
VERSION_DURATION = Family(
    "meshproxy_version_request_duration_seconds",
    "histogram",
    "From the request head to the end of the answer, by that version.",
    "upstream,version",
)
BUILD = Family("meshproxy_build_info", "info", "What is running; always 1.", "version,python", max)

FAMILIES: tuple[Family, ...] = (
    REQUESTS,
    DURATION,
    FIRST_BYTE,
    IN_FLIGHT,
    BAD_REQUESTS,
    ATTEMPTS,
    VERSION_REQUESTS,
    VERSION_DURATION,
    Family(
        "meshproxy_retries_total",
        "counter",
        "Retries by outcome.",
        "upstream,outcome",
    ),
    Family(
        "meshproxy_hedges_total",
        "counter",
        "Second attempts beside a slow first one, by outcome: sent, won, lost, no_budget.",
        "upstream,outcome",
    ),
    Family(
        "meshproxy_deadlines_total",
        "counter",
        "Requests with a caller's deadline by outcome: met, missed, unsent, unreadable.",
        "upstream,outcome",
    ),
    Family(
        "meshproxy_faults_total",
        "counter",
        "Injected faults by kind; capped: not injected, as too many requests were under one.",
        "direction,route,upstream,fault",
    ),
    Family(
        "meshproxy_rate_limited_total",
        "counter",
        "Requests that a rate limit refused.",
        "direction,route,limit",
    ),
    Family(
        "meshproxy_shadow_total",
        "counter",
        "Requests that a rule in shadow mode would have refused.",
        "policy,direction,route,limit",
    ),
    Family(
        "meshproxy_fallbacks_total",
        "counter",
        "Failures that something else stood in for, by kind: static, service; and by cause.",
        "direction,route,upstream,kind,why",
    ),
    Family(
        "meshproxy_cache_requests_total",
        "counter",
        "Requests by what a cache did: hit, coalesced (a hit after waiting for another's fetch),"
        " stale, miss, revalidated (304), fallback (the upstream failed), bypass.",
        "direction,route,result",
    ),
    Family("meshproxy_cache_bytes", "gauge", "Bytes of stored answers.", "upstream,scope"),
    Family("meshproxy_cache_entries", "gauge", "Stored answers.", "upstream,scope"),
    Family(
        "meshproxy_cache_evictions_total",
        "counter",
        "Stored answers that made room for others.",
        "upstream,scope",
    ),
    Family(
        "meshproxy_concurrency_in_use",
        "gauge",
        "Requests that hold a place of a concurrency limit.",
        "upstream,scope",
    ),
    Family(
        "meshproxy_concurrency_queued",
        "gauge",
        "Requests that wait for a place of a concurrency limit.",
        "upstream,scope",
    ),
    Family(
        "meshproxy_concurrency_limit",
        "gauge",
        "Places of a concurrency limit: what the file says, or what was learned.",
        "upstream,scope",
        merge=max,
    ),
    Family(
        "meshproxy_shed_total",
        "counter",
        "Requests refused for overload: of the limit of an upstream, or of this process.",
        "direction,route,why",
    ),
    Family(
        "meshproxy_overload_level",
        "gauge",
        "0 to 3: above 0.5 connections are closed, above 1 low priority is shed, above 2 normal.",
        merge=max,
    ),
    Family(
        "meshproxy_event_loop_lag_seconds",
        "gauge",
        "How late the event loop was at worst, of late.",
        merge=max,
    ),
    Family(
        "meshproxy_memory_pressure",
        "gauge",
        "Share of the memory in use: of the cgroup's limit, or else of all there is.",
        merge=max,
    ),
    Family(
        "meshproxy_breaker_state",
        "gauge",
        "0 closed, 1 open, 2 half-open; with mode where it is only tried out.",
        "upstream,endpoint,mode",
        max,
    ),
    Family(
        "meshproxy_breaker_transitions_total",
        "counter",
        "Changes of a breaker's state.",
        "upstream,endpoint,mode,from,to",
    ),
    Family(
        "meshproxy_breaker_capped_total",
        "counter",
        "Times that a breaker did not open, as max_ejected others were left out already.",
        "upstream,endpoint,mode",
    ),
    Family(
        "meshproxy_overrides",
        "gauge",
        "Breakers and rate limits that an operator holds otherwise than the file says.",
        "section",
        merge=max,
    ),
    Family(
        "meshproxy_endpoint_healthy",
        "gauge",
        "1 as long as its active health checks do not say otherwise, else 0.",
        "upstream,endpoint",
        min,
    ),
    Family(
        "meshproxy_health_checks_total",
        "counter",
        "Active health checks by result: success, status, or why there was none.",
        "upstream,endpoint,result",
    ),
    Family(
        "meshproxy_upstream_panic",
        "gauge",
        "1 while so few endpoints are usable that all are used.",
        "upstream",
        max,
    ),
    Family(
        "meshproxy_upstream_panics_total",
        "counter",
        "Times that an upstream began to use all of its endpoints.",
        "upstream",
    ),
    Family(
        "meshproxy_upstream_connections",
        "gauge",
        "Connections to upstreams by state.",
        "upstream,state",
    ),
    Family(
        "meshproxy_downstream_connections",
        "gauge",
        "Connections of callers.",
        "direction",
    ),
    Family(
        "meshproxy_downstream_connections_refused_total",
        "counter",
        "Connections of callers turned away, as limits.connections were open.",
        "direction",
    ),
    Family(
        "meshproxy_config_last_reload_successful",
        "gauge",
        "1 if the latest attempt to load the config succeeded, else 0.",
        merge=min,
    ),
    Family(
        "meshproxy_config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the config in force was loaded, in seconds since 1970.",
        merge=max,
    ),
    Family(
        "meshproxy_config_generation",
        "gauge",
        "How many configs were in force since the start.",
        merge=max,
    ),
    Family(
        "meshproxy_event_loop_blocked_total",
        "counter",
        "Times that one callback held the event loop for longer than logs.slow_loop.",
    ),
    Family(
        "meshproxy_event_loop_blocked_seconds_total",
        "counter",
        "Seconds that these took.",
    ),
    Family(
        "meshproxy_process_paused_total",
        "counter",
        "Times that the whole process did not run for so long: stopped, or without a processor.",
    ),
    Family(
        "meshproxy_bugs_total",
        "counter",
        "Errors of meshproxy itself, by what the log and /debug/bugs know them by.",
        "fingerprint",
    ),
    Family(
        "meshproxy_log_lines_dropped_total",
        "counter",
        "Log lines lost because nobody read them or the disk was full.",
    ),
    SPANS,
    Family("meshproxy_spans_queued", "gauge", "Spans that wait to be sent."),
    OVERFLOW,
    BUILD,
)

PROCESS: tuple[Family, ...] = (
    Family("process_cpu_seconds_total", "counter", "User and system CPU time spent, in seconds."),
    Family("process_resident_memory_bytes", "gauge", "Memory that is in RAM."),
    Family("process_virtual_memory_bytes", "gauge", "Address space in use."),
    Family(
        "process_start_time_seconds",
        "gauge",
        "When the process began, in seconds since 1970.",
        merge=min,
    ),
    Family("process_open_fds", "gauge", "Descriptors that are open."),
    # Added up as the open ones are, or several workers would seem to have passed their limit.
    Family("process_max_fds", "gauge", "Descriptors that may be open."),
)
"""As every Prometheus client names them."""

PYTHON: tuple[Family, ...] = (
    Family(
        "python_info",
        "gauge",
        "What Python this is; always 1.",
        "implementation,major,minor,patchlevel,version",
        max,
    ),
    Family(
        "python_gc_objects_collected_total",
        "counter",
        "Objects that the garbage collector has freed.",
        "generation",
    ),
    Family(
        "python_gc_objects_uncollectable_total",
        "counter",
        "Objects that it found and could not free.",
        "generation",
    ),
    Family(
        "python_gc_collections_total",
        "counter",
        "How often it has looked at a generation.",
        "generation",
    ),
)
"""As Prometheus' own client for Python names them."""

BY_NAME = {family.name: family for family in (*FAMILIES, *PROCESS, *PYTHON)}


def family_of(name: str) -> Family:
    """The family of a sample; one that the table forgot is still shown."""
    return BY_NAME.get(name) or Family(name, "unknown", "Not documented.")
