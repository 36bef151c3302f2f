"""Requests by status, as the callers counted them and as the sidecar did: they must agree."""

from __future__ import annotations

import http.client
import re
import time
import urllib.request
from collections import Counter
from typing import Any

SETTLED = 5.0  # seconds until the sidecar's counts must be the callers'


def answered(figures: dict[str, Any]) -> Counter[str]:
    """Requests that the callers made, by status; 0 for those without an answer."""
    seen = figures["seen"].items()
    codes = {what: times for what, times in seen if what.startswith("code ")}
    return Counter({what.removeprefix("code "): times for what, times in codes.items()})


def counted(port: int) -> Counter[str]:
    """Requests that ended, by status, as the sidecar says; none when it says nothing."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5.0) as reply:
            text = reply.read().decode()
    except (OSError, http.client.HTTPException):
        return Counter()
    found: Counter[str] = Counter()
    samples = r"^meshproxy_requests_total\{(?:.*,)?code=\"([^\"]*)\".*\} (\S+)$"
    for code, value in re.findall(samples, text, re.MULTILINE):
        found[code] += int(float(value))
    return found


def compare(callers: Counter[str], port: int, before: Counter[str]) -> list[str]:
    """What differs between the callers' counts and the sidecar's, since those before.

    Every request is one to both, so a request that was lost, or made twice, shows by its status.
    The sidecar counts when the last byte has left, which may be after the caller has read it.
    """
    until = time.monotonic() + SETTLED
    while (sidecars := counted(port) - before) != callers and time.monotonic() < until:
        time.sleep(0.05)
    if sidecars == callers:
        return []
    return [f"the callers counted {by_code(callers)}; the sidecar {by_code(sidecars)}"]


def by_code(counts: Counter[str]) -> str:
    return ", ".join(f"{code}: {counts[code]}" for code in sorted(counts)) or "nothing"
