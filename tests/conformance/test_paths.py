"""One form of a path decides its route, its limit and what goes on: no spelling gets around a rule.

What servers make of a path differs. Whatever any of the usual readings would serve as `/admin`
or below it must meet the rule for `/admin`, or be refused. 3986 5.2.4 and 6.2.2; T41.
"""

from __future__ import annotations

import itertools
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.path import canonical
from tests.conformance.stage import Sidecar, Talk

FILE = """
inbound:
  app: http://127.0.0.1:8080
  routes:
    - {match: /admin, rate_limits: [{limit: 1/h, burst: 1}]}
    - {match: /admin/*, rate_limits: [{limit: 1/h, burst: 1}]}
    - {match: /users/*/orders, rate_limits: [{limit: 1/h, burst: 1}]}
"""
PROTECTED = [b"/admin", b"/admin/", b"/admin/x", b"/users/7/orders"]
REFUSED, LIMITED, SERVED = 400, 429, 200


@pytest.fixture(scope="module")
def sidecar() -> Sidecar:
    """One whose limits on the protected routes are used up."""
    sidecar = Sidecar(FILE)
    for path in (b"/admin", b"/admin/x", b"/users/7/orders"):
        assert [answer.status for answer in ask(sidecar, path).answers] == [SERVED]
    return sidecar


def ask(sidecar: Sidecar, target: bytes) -> Talk:
    return sidecar.converse([b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"])


def status(sidecar: Sidecar, target: bytes) -> int:
    talk = ask(sidecar, target)
    assert len(talk.answers) == 1
    assert len(talk.requests) == (talk.answers[0].status == SERVED)
    return talk.answers[0].status


# What servers do to a path before they look it up, in whatever order.
def _without_parameters(path: bytes) -> bytes:
    return re.sub(rb";[^/]*", b"", path)


def _merge_slashes(path: bytes) -> bytes:
    return re.sub(rb"/+", b"/", path)


def _turn_backslashes(path: bytes) -> bytes:
    return path.replace(b"\\", b"/")


def _end_at_nul(path: bytes) -> bytes:
    return path.partition(b"\x00")[0]


def _resolve(path: bytes) -> bytes:
    kept: list[bytes] = []
    for segment in path.split(b"/")[1:]:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    return b"/" + b"/".join(kept)


_STEPS = (_without_parameters, _merge_slashes, _turn_backslashes, _end_at_nul, _resolve)


def readings(target: bytes) -> set[bytes]:
    """Every path that some server may take this target for: any steps in any order.

    Escapes are decoded at most once; whoever decodes twice can be told nothing.
    """
    start = (target.partition(b"?")[0], False)
    found, left = {start}, [start]
    while left:
        path, decoded = left.pop()
        ways = {(step(path), decoded) for step in _STEPS}
        if not decoded:
            ways.add((unquote_to_bytes(path), True))
        left += ways - found
        found |= ways
    return {path for path, _ in found}


def is_protected(path: bytes) -> bool:
    return path == b"/admin" or re.match(rb"/admin/|/users/[^/]+/orders$", path) is not None


def spelled(letter: int) -> list[bytes]:
    """A byte as itself and in escapes."""
    return sorted({b"%c" % letter, b"%%%02x" % letter, b"%%%02X" % letter})


PREFIXES = [b"", b"/", b"//", b"/.", b"/%2e", b"/x/..", b"/x/%2E%2e", b"/;", b"/;a=b", b"/%3b"]
NAMES = [b"".join(letters) for letters in itertools.product(*map(spelled, b"admin"))]
ENDS = [b"", b";", b";x=1", b"%3Bx", b"/", b"//", b"/.", b"/x/..", b"?x", b"/;x"]
ENCODINGS = [
    *(prefix + b"/" + name for prefix, name in itertools.product(PREFIXES, NAMES[::2])),
    *(prefix + b"/admin" + end for prefix, end in itertools.product(PREFIXES, ENDS)),
]


def test_there_are_enough_encodings() -> None:
    assert len(set(ENCODINGS)) >= 200


@pytest.mark.parametrize("target", ENCODINGS, ids=bytes.decode)
def test_no_encoding_gets_around_a_rule(target: bytes, sidecar: Sidecar) -> None:
    assert status(sidecar, target) in (LIMITED, REFUSED)


PIECES = st.sampled_from(
    [b"/", b"//", b".", b"..", b"admin", b"a", b"%61", b"dmin", b"x", b"users", b"orders", b"7",
     b";", b";v=1", b"%3b", b"%2e", b"%2E", b"%2f", b"%5c", b"\\", b"%00", b"%25", b"%2561", b"?"]
)  # fmt: skip
TARGETS = st.lists(PIECES, max_size=10).map(lambda pieces: b"/" + b"".join(pieces))
DETOURS = st.lists(
    st.sampled_from([b"/", b"/.", b"/x/..", b"/;v", b"/%2e", b"/y/%2E.", b"/.;", b"/..", b"/%3B"]),
    max_size=4,
)
HIDDEN = st.builds(
    lambda before, path, after: b"".join(before) + path + b"".join(after),
    DETOURS, st.sampled_from(PROTECTED), DETOURS,
)  # fmt: skip


@given(target=st.one_of(TARGETS, HIDDEN))
def test_what_any_server_may_take_for_a_protected_path_meets_its_rule(
    target: bytes, sidecar: Sidecar
) -> None:
    talk = ask(sidecar, target)
    (answer,) = talk.answers
    if answer.status == SERVED:
        (request,) = talk.requests
        served = readings(request.target.encode())
        assert not any(is_protected(path) for path in served), (target, request.target)


@given(target=st.one_of(TARGETS, HIDDEN))
def test_what_goes_on_is_judged_the_same_when_it_comes_again(
    target: bytes, sidecar: Sidecar
) -> None:
    talk = ask(sidecar, target)
    if talk.answers[0].status == SERVED:
        (request,) = talk.requests
        forwarded = request.target.encode()
        assert canonical(forwarded) == forwarded
        again = ask(sidecar, forwarded)
        assert again.answers[0].status == SERVED
        assert again.requests[0].target == request.target


@pytest.mark.parametrize(
    "target", [b"/x", b"/administrator", b"/x/admin", b"/adm", b"/", b"/x?/admin"]
)
def test_other_paths_are_served(target: bytes, sidecar: Sidecar) -> None:
    assert status(sidecar, target) == SERVED
