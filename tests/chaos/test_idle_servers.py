"""gunicorn and uvicorn with their defaults: no request meets a connection that they are closing.

Requests are spaced around the times after which they close idle connections (2 s and 5 s) and
after which the sidecar does so first. `make resilience` sends ten thousand.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from . import idle

PAUSES = {"gunicorn": (1.95, 1.4, 2.0, 1.55, 2.05), "uvicorn": (4.95, 1.5, 1.9)}
LANES = {"gunicorn": 60, "uvicorn": 60}


@pytest.mark.slow
def test_no_request_meets_a_server_that_closes_its_connection(tmp_path: Path) -> None:
    for name in PAUSES:
        pytest.importorskip(name)
    for kind, run in idle.idle_servers(tmp_path, PAUSES, LANES).items():
        sent = run.ledger.sent
        assert len(sent) == LANES[kind] * (1 + len(PAUSES[kind]))
        assert run.ledger.outcomes() == {"200": len(sent)}, kind
        assert run.broken == []
        posts = [one.id for one in sent if one.method == "POST"]
        assert sorted(key for method, key in run.seen if method == "POST") == sorted(posts)
