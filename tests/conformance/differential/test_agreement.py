"""Each of five servers behind meshproxy sees exactly the requests that were meant, or none.

The server's own report is the judge, so what it makes of the bytes counts, not what we think.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loadtests.tools import MissingError
from tests.conformance.case import Case
from tests.conformance.differential import cases
from tests.conformance.taken import Taken

from .agreement import Guarded, guarded, wrong_with_refused, wrong_with_taken
from .servers import SERVERS

REFUSED = pytest.mark.parametrize("case", cases.REFUSED, ids=lambda case: case.name)
TAKEN = pytest.mark.parametrize("case", cases.TAKEN, ids=lambda case: case.name)

TOLERATED = b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"
"""A user in the Host: none of the five minds."""

EACH = [pytest.param(name, marks=pytest.mark.server(name)) for name in SERVERS]


@pytest.fixture(scope="module", params=EACH)
def server(request: pytest.FixtureRequest) -> Iterator[Guarded]:
    """meshproxy in front of one server after the other."""
    try:
        with guarded(request.param) as server:
            yield server
    except MissingError as missing:
        pytest.skip(str(missing))


@REFUSED
def test_no_server_hears_of_a_bad_request(case: Case, server: Guarded) -> None:
    assert wrong_with_refused(server.probe.send(case.data)) == ""


@TAKEN
def test_a_server_understands_what_was_meant_or_refuses(case: Taken, server: Guarded) -> None:
    trace = server.probe.send(case.data)
    assert wrong_with_taken(case, trace, server.authority) == ""


def test_without_meshproxy_a_server_does_hear_of_one(server: Guarded) -> None:
    trace = server.direct.send(TOLERATED)
    assert [each.target for each in trace.understood] == [b"/"]
    assert "understood" in wrong_with_refused(trace)
    assert wrong_with_refused(server.probe.send(TOLERATED)) == ""
