"""What /explain and the command of that name are asked, and their answer as plain data.

Reads the question and writes the answer down; what would happen is found out by whoever walks
the data plane. Values of fields and queries may be credentials: of those that the
asker gave, only names are told again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from meshproxy.core.explanation import Choice, Step
from meshproxy.core.foretold import Explanation, Outcome, Prospect, Question, Rewrites
from meshproxy.core.route import Plan, Route
from meshproxy.core.verdict import Hold, Refusal, Reset, Served

Asked = Sequence[tuple[str, str]]
"""The parameters: `method`, `url`, `header` as often as need be, `listener`, `client`."""

PARAMETERS = ("method", "url", "header", "listener", "client")
HIDDEN = "***"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_URL = re.compile(r"[!-~]{1,65536}")
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})


class BadQuestionError(ValueError):
    """What was asked is not a request, or there is nobody to ask; in words for people."""


# The question


def read(asked: Asked, plans: Mapping[str, Plan]) -> tuple[Plan, Question]:
    """The listener that would get this request, and the request. Raises BadQuestionError."""
    given: dict[str, list[str]] = {}
    for name, value in asked:
        if name not in PARAMETERS:
            raise BadQuestionError(f"{name}: /explain takes {', '.join(PARAMETERS)}")
        given.setdefault(name, []).append(value)
    twice = [name for name, values in given.items() if name != "header" and len(values) > 1]
    if twice:
        raise BadQuestionError(f"{twice[0]}: say it once")
    one = {name: values[0] for name, values in given.items()}
    method = one.get("method", "GET")
    if not _TOKEN.fullmatch(method):
        raise BadQuestionError(f"method: {method[:80]!r} is none, write GET")
    host, target = _split(method, one.get("url", ""))
    fields = tuple(_field(text) for text in given.get("header", ()))
    plan = _plan(plans, one.get("listener", ""), host)
    question = Question(method, target, fields, _client(one.get("client", "127.0.0.1")))
    return plan, _with_host(question, host or "localhost", bool(host))


def _split(method: str, url: str) -> tuple[str, str]:
    """The host, empty where a path alone was given, and the target."""
    if not _URL.fullmatch(url):
        word = "percent-encode what is not plain ASCII" if url else "missing"
        raise BadQuestionError(f"url: {word}, write /v1/x or http://users/v1/x")
    if method == "CONNECT":
        return url, url
    if url.startswith("/") or url == "*":
        return "", url
    scheme, colon, rest = url.partition("://")
    if colon and scheme.lower() == "https":
        raise BadQuestionError("url: https passes in a tunnel: ask for CONNECT and host:443")
    if not colon or scheme.lower() != "http":
        raise BadQuestionError(f"url: write a path or http://..., not {url[:80]!r}")
    try:
        host = urlsplit(url).netloc
    except ValueError as error:
        raise BadQuestionError(f"url: {error}") from None
    if "@" in host:
        raise BadQuestionError("url: leave user and password out of it")
    target = rest[len(host) :].partition("#")[0]
    return host, target if target.startswith("/") else f"/{target}"


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
        raise BadQuestionError("header: write 'Name: value', in one line")
    return name, value


def _client(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise BadQuestionError(f"client: write an IP address, not {text[:80]!r}") from None


def _plan(plans: Mapping[str, Plan], listener: str, host: str) -> Plan:
    """A URL with a host is asked for by the app, a path alone by its callers."""
    if not plans:
        raise BadQuestionError("there is no listener in this config")
    key = listener or ("outbound" if host else "inbound")
    found = plans.get(key) or (None if listener else next(iter(plans.values())))
    if found is None:
        known = ", ".join(plans)
        raise BadQuestionError(f"listener: {listener[:80]!r} is none, there are: {known}")
    return found


def _with_host(question: Question, host: str, absolute: bool) -> Question:
    """A client of a proxy that says another Host gives the URL whole: its host is what counts."""
    fields, target = question.fields, question.target
    if not any(name.lower() == "host" for name, _ in fields):
        fields = (("Host", host), *fields)
    elif absolute and question.method != "CONNECT":
        target = f"http://{host}{target}"
    return Question(question.method, target, fields, question.client)


# The answer


def shown(explanation: Explanation) -> dict[str, Any]:
    """All of it as plain data."""
    route, worst = explanation.route, explanation.worst
    return {
        "says": sentence(explanation),
        "request": _request(explanation),
        "listener": {
            "name": explanation.plan.key,
            "address": _address(explanation.plan),
            "direction": explanation.plan.direction,
            "rule": explanation.plan.rule,
        },
        "route": {
            **_route(route),
            "fallback": _route(explanation.elsewhere) if explanation.elsewhere else None,
        },
        "verdict": _outcome(explanation.outcome),
        "rewrites": _rewrites(explanation.rewrites),
        "limits": [
            {**step.data, "rule": step.rule}
            for step in explanation.steps
            if step.policy == "rate_limits"
        ],
        "endpoints": [_endpoint(each, explanation.choice) for each in explanation.prospects],
        "pick": _pick(explanation.choice),
        "timeouts": [
            {"what": clock.what, "seconds": clock.seconds or None, "rule": clock.rule}
            for clock in explanation.clocks
        ],
        "worst_case": None
        if worst is None
        else {"attempts": worst.attempts, "seconds": worst.seconds, "says": worst.says},
        "steps": [_step(step) for step in explanation.steps],
    }


def sentence(explanation: Explanation) -> str:
    """What it comes to, in one line."""
    outcome, route = explanation.outcome, explanation.elsewhere or explanation.route
    chance = f" (chance {outcome.chance:.1%})" if outcome.chance < 1.0 else ""
    where = route.cluster.name if route.cluster is not None else ""
    if outcome.action == "refuse":
        return f"refused with {outcome.status} {outcome.reason}: {outcome.detail}{chance}"
    if outcome.action == "serve":
        return f"answered here with {outcome.status}: {outcome.detail}{chance}"
    if outcome.action == "reset":
        return f"cut off, as if the connection had been lost{chance}"
    choice = explanation.choice
    if outcome.status:
        return f"waits first; as things stand, then {outcome.status}: {outcome.detail}{chance}"
    count = len(choice.candidates) if choice is not None else 0
    first = choice.candidates[0][0].name if choice is not None else ""
    to = f"{first} of {where}" if count == 1 else f"one of {count} endpoints of {where}"
    after = f" after {outcome.waits:g} s" if outcome.waits else " once there is room"
    return f"forwarded to {to}{after if outcome.action == 'hold' else ''}{chance}"


def _route(route: Route) -> dict[str, Any]:
    upstream = route.cluster.name if route.cluster is not None else None
    return {"name": route.name, "rule": route.rule, "upstream": upstream}


def _request(explanation: Explanation) -> dict[str, Any]:
    question, exchange = explanation.question, explanation.exchange
    return {
        "method": question.method,
        "target": _without_query(question.target),
        "host": exchange.host.decode("latin-1"),
        "path": exchange.path.decode("latin-1"),
        "fields": [name for name, _ in question.fields],
        "client": question.client,
        "trusted": exchange.peer.trusted,
    }


def _without_query(target: str) -> str:
    path, mark, _ = target.partition("?")
    return f"{path}?{HIDDEN}" if mark else path


def _address(plan: Plan) -> str:
    return f"[{plan.host}]:{plan.port}" if ":" in plan.host else f"{plan.host}:{plan.port}"


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "action": outcome.action,
        "status": outcome.status or None,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "rule": outcome.rule,
        "chance": round(outcome.chance, 6),
        "waits_seconds": outcome.waits,
        "retry_after": outcome.retry_after or None,
    }


def _rewrites(rewrites: Rewrites | None) -> dict[str, Any] | None:
    if rewrites is None:
        return None
    return {
        "canonical": _without_query(rewrites.canonical),
        "target": _without_query(rewrites.sent),
        "added": [{"name": name, "value": value} for name, value in rewrites.added],
        "changed": [
            {"name": name, "value": HIDDEN if name in _CREDENTIALS else value}
            for name, value in rewrites.changed
        ],
        "dropped": list(rewrites.dropped),
    }


def _endpoint(prospect: Prospect, choice: Choice | None) -> dict[str, Any]:
    endpoint = prospect.endpoint
    candidates = dict(choice.candidates) if choice is not None else {}
    return {
        "upstream": prospect.upstream,
        "address": endpoint.name,
        "tier": endpoint.tier,
        "weight": endpoint.weight,
        "version": endpoint.version or None,
        "healthy": endpoint.healthy,
        "circuit": prospect.data.get("circuit"),
        "eligible": prospect.may,
        "why": "; ".join(prospect.why),
        "in_flight": endpoint.load,
        "cost": round(endpoint.cost, 6),
        "chance": _chance(candidates[endpoint]) if endpoint in candidates else 0.0,
    }


def _pick(choice: Choice | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    return {
        "kind": "certain" if choice.is_certain else "random",
        "says": choice.says,
        "candidates": [
            {"address": endpoint.name, "chance": _chance(chance)}
            for endpoint, chance in choice.candidates
        ],
    }


def _chance(chance: float | None) -> float | None:
    return None if chance is None else round(chance, 6)


def _step(step: Step) -> dict[str, Any]:
    said: dict[str, Any] = {"policy": step.policy, "says": step.says, "rule": step.rule}
    if step.data and step.policy != "rate_limits":
        said["data"] = dict(step.data)
    if step.verdict is not None:
        said |= {"verdict": _word(step), "chance": step.chance}
    return said


def _word(step: Step) -> str:
    words = {Refusal: "refuse", Hold: "hold", Served: "serve", Reset: "reset"}
    return words[type(step.verdict)]
