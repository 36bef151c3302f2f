"""What callers do to a sidecar, and what they may expect back.

One user class per scenario; name the classes to run on locust's command line.
`python -m loadtests.load` sets up the sidecar they expect and judges the figures;
here an answer is judged: anything a scenario does not expect is a failure, and so is a request
that got no answer. What a scenario is about and no single answer shows is in its `problems`.
"""

from __future__ import annotations

import re
import time
import urllib.request
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from locust import User, constant, events, tag, task
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment

from loadtests.callers import Caller, describe, field
from loadtests.judging import (
    CLIENT,
    CLOSED,
    allowance,
    count,
    hand_over,
    judge,
    limits,
    note,
    seen,
    take_over,
)
from loadtests.sidecar import FAILURES

LIMITED = ("retry-after", "ratelimit", "ratelimit-policy")
REASONS = frozenset({"UF", "UC", "UO", "UH", "URX", "UT"})
REWRITE_EVERY = 1.5  # seconds between two rewrites of the file; it is looked at each second
PATIENCE = 5.0  # seconds for the last rewrite to be in force
LISTED = b'"name": "item-5"}]}'  # how what the origins list ends
STORED = b'"stored": 2048'  # how many bytes they read


def add_options(parser: ArgumentParser) -> None:
    """Where the sidecar is, beside --host, which is its inbound address."""
    parser.add_argument("--outbound", default="http://127.0.0.1:15001", help="its outbound URL")
    parser.add_argument("--metrics", default="http://127.0.0.1:15020", help="its metrics URL")
    parser.add_argument("--config-file", default="", help="its file, for Operator")
    parser.add_argument("--figures", default="", help="write the totals to this file, as JSON")


class SteadyMix(Caller):
    """A day like any other: reads and writes, in and out, none of which may fail."""

    @tag("steady")
    @task(4)
    def read_inbound(self) -> None:
        self.expect("GET", "/items?page=1", 200, LISTED, name="in GET")

    @tag("steady")
    @task(1)
    def write_inbound(self) -> None:
        padded = {"pad": "x" * 2037}  # with what JSON adds it is as long as the others
        self.expect("POST", "/items", 201, STORED, json=padded, name="in POST")

    @tag("steady")
    @task(3)
    def read_outbound_by_host(self) -> None:
        url = self.outbound("/profile")
        self.expect("GET", url, 200, LISTED, headers={"Host": "users"}, name="out GET by host")

    @tag("steady")
    @task(1)
    def write_outbound_by_prefix(self) -> None:
        url = self.outbound("/users/profile")
        self.expect("POST", url, 201, STORED, data=b"x" * 2048, name="out POST by prefix")


class BurstOverLimit(Caller):
    """One client far over its limit: either 200, or a 429 that says when to come back."""

    wait_time = constant(0)

    @tag("burst")
    @task
    def burst(self) -> None:
        headers = {"x-client-id": CLIENT}
        allowance.asked(time.monotonic())
        with self.client.get("/limited", headers=headers, catch_response=True) as reply:
            if reply.status_code in (200, 429):
                allowance.told(time.monotonic(), reply.status_code == 200)
            problem = wrong_with_limited(reply)
            if problem:
                reply.failure(problem)
            else:
                note(f"limited {reply.status_code}")

    @classmethod
    def problems(cls, users: int, seconds: float) -> list[str]:
        """Some were allowed and some were not, and just as many as the limit owes."""
        found = [problem for client in limits.values() for problem in client]
        if not (seen.get("limited 200") and seen.get("limited 429")):
            found.append("the burst should see both 200 and 429")
        return found


def wrong_with_limited(reply: ResponseContextManager) -> str:
    """What is wrong with an answer of the limited route; empty when nothing is."""
    if reply.status_code == 200:
        return ""
    if reply.status_code != 429:
        return describe(reply)
    missing = [name for name in LIMITED if not field(reply, name)]
    if missing:
        return f"429 without {', '.join(missing)}"
    if field(reply, "x-meshproxy-reason") != "RL":
        return f"429 for reason {field(reply, 'x-meshproxy-reason')}, not RL"
    return ""


class FailingUpstream(Caller):
    """Retries hide a flaky endpoint; a dead service gets a 503 that names its reason."""

    @tag("failing")
    @task(4)
    def read_flaky(self) -> None:
        url = self.outbound("/any")
        self.expect("GET", url, 200, LISTED, headers={"Host": "flaky"}, name="flaky GET")

    @tag("failing")
    @task(1)
    def read_dead(self) -> None:
        url, headers = self.outbound("/any"), {"Host": "dead"}
        with self.client.get(url, headers=headers, name="dead GET", catch_response=True) as reply:
            reason = field(reply, "x-meshproxy-reason")
            if reply.status_code == 503 and reason in REASONS:
                note(f"dead {reason}")
            else:
                reply.failure(describe(reply))

    @classmethod
    def problems(cls, users: int, seconds: float) -> list[str]:
        """A dead service is tried until its breaker opens, by those on the way, and then 1/s."""
        tried = sum(times for what, times in seen.items() if what.startswith("dead"))
        tried -= seen.get("dead UO", 0)
        if not tried:
            return ["no answer of the dead service was refused with a reason"]
        most = FAILURES + users + seconds + 1
        if tried > most:
            return [f"the breaker let {tried} requests try a dead service, at most {most:.0f} may"]
        return []


class ThroughProxy(Caller):
    """An app that knows no more than HTTP_PROXY: absolute targets, to names that are services."""

    def __init__(self, environment: Environment) -> None:
        # The client reads where its proxy is while it is made.
        options: Any = environment.parsed_options
        proxy = urlsplit(options.outbound)
        self.proxy_host, self.proxy_port = proxy.hostname, proxy.port
        super().__init__(environment)

    @tag("proxied")
    @task(3)
    def read(self) -> None:
        self.expect("GET", "http://users/profile", 200, LISTED, name="proxied GET")

    @tag("proxied")
    @task(1)
    def write(self) -> None:
        self.expect(
            "POST", "http://users/profile", 201, STORED, data=b"x" * 2048, name="proxied POST"
        )


class CachedAndHelped(Caller):
    """Answers that need no upstream: from the cache, or in place of a service that is down."""

    @tag("helped")
    @task(3)
    def read_cached(self) -> None:
        url, headers = self.outbound("/catalog"), {"Host": "catalog"}
        with self.client.get(url, headers=headers, name="cached GET", catch_response=True) as reply:
            if reply.status_code == 200 and (reply.content or b"").endswith(LISTED):
                note(f"cache {field(reply, 'x-cache')}")
            else:
                reply.failure(describe(reply))

    @tag("helped")
    @task(1)
    def read_helped(self) -> None:
        url, headers = self.outbound("/any"), {"Host": "helped"}
        with self.client.get(url, headers=headers, name="helped GET", catch_response=True) as reply:
            if reply.status_code == 200 and field(reply, "x-fallback") == "static":
                note("fallback static")
            else:
                reply.failure(describe(reply))

    @classmethod
    def problems(cls, users: int, seconds: float) -> list[str]:
        """What is good for a second is fetched once a second, however many ask for it."""
        if not seen.get("cache HIT"):
            return ["nothing came from the cache"]
        fetched, due = seen.get("cache MISS", 0), seconds + 2
        return [f"the cache fetched {fetched} times, at most {due:.0f} are due"] * (fetched > due)


class ReloadUnderLoad(Caller):
    """Callers on old and on new connections, who must not notice that the file changes."""

    @tag("reload")
    @task(3)
    def read_kept(self) -> None:
        self.expect("GET", "/items", 200, LISTED, name="kept-alive GET")

    @tag("reload")
    @task(1)
    def read_fresh(self) -> None:
        self.expect("GET", "/items", 200, LISTED, headers={"Connection": "close"}, name="fresh GET")

    @tag("reload")
    @task(1)
    def write_kept(self) -> None:
        self.expect("POST", "/items", 201, STORED, data=b"x" * 2048, name="kept-alive POST")

    @classmethod
    def problems(cls, users: int, seconds: float) -> list[str]:
        """A reload leaves connections alone."""
        times = seen.get(CLOSED)
        return [f"{times} kept connections were closed"] if times else []


class Operator(User):
    """The one who edits: every second file is invalid, every other has another timeout."""

    fixed_count = 1
    wait_time = constant(REWRITE_EVERY)
    original: ClassVar[str] = ""
    edits: ClassVar[int] = 0

    @classmethod
    def problems(cls, users: int, seconds: float) -> list[str]:
        """Every edit was judged as it should be, and none was missed."""
        found = [f"{what}: {seen[what]} times" for what in seen if what.endswith("taken")]
        if seen.get("generation after", 0) < wanted_generation():
            found.append(f"reloads were missed after {Operator.edits} edits")
        return found

    def on_start(self) -> None:
        self.file = Path(self.environment.parsed_options.config_file)
        Operator.original = self.file.read_text()
        seen["generation before"] = self.metric("generation")

    @tag("reload")
    @task
    def edit(self) -> None:
        self.look_back()
        Operator.edits += 1
        wrong = "nonsense: true\n" if Operator.edits % 2 == 0 else ""
        text = Operator.original.replace("timeout: 10s", f"timeout: {10 + Operator.edits}s")
        self.replace(text + wrong)

    def on_stop(self) -> None:
        self.look_back()
        self.replace(Operator.original)
        until = time.monotonic() + PATIENCE
        while self.metric("generation") < wanted_generation() and time.monotonic() < until:
            time.sleep(0.1)
        seen["generation after"] = self.metric("generation")

    def look_back(self) -> None:
        """Count it when the sidecar did not judge the last edit as it should have."""
        valid = Operator.edits % 2 == 1
        if Operator.edits and self.metric("last_reload_successful") != valid:
            note("valid file not taken" if valid else "invalid file taken")

    def replace(self, text: str) -> None:
        """Swap the file in whole, as editors and deployments do."""
        draft = self.file.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(self.file)

    def metric(self, name: str) -> int:
        """A gauge `meshproxy_config_<name>` of the sidecar; -1 when it is not there."""
        with urllib.request.urlopen(f"{self.environment.parsed_options.metrics}/metrics") as reply:
            text = reply.read().decode()
        found = re.search(rf"^meshproxy_config_{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        return int(float(found[1])) if found else -1


def wanted_generation() -> int:
    """The least generation after all edits: one more for each valid file, and the last."""
    return seen.get("generation before", 0) + (Operator.edits + 1) // 2 + 1


# locust's hooks are untyped
events.report_to_master.add_listener(lambda client_id, data: hand_over(data))  # type: ignore[no-untyped-call]
events.worker_report.add_listener(lambda client_id, data: take_over(data))  # type: ignore[no-untyped-call]
events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
events.request.add_listener(count)  # type: ignore[no-untyped-call]
events.quitting.add_listener(judge)  # type: ignore[no-untyped-call]
