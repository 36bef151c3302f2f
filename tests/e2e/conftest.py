"""One origin and one sidecar per module, from the module's CONFIG; a clean origin for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .harness import Origin, Sidecar


@pytest.fixture(scope="module")
def app() -> Iterator[Origin]:
    """The origin behind the sidecar; `<app>` in the module's CONFIG."""
    with Origin.running() as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(request: pytest.FixtureRequest, app: Origin) -> Iterator[Sidecar]:
    """A sidecar that runs the module's CONFIG."""
    with Sidecar.running(request.module.CONFIG, app=app.address) as running:
        yield running


@pytest.fixture
def origin(sidecar: Sidecar, app: Origin) -> Iterator[Origin]:
    """The module's origin, once the last test's connections are gone on both sides."""
    app.forget()
    yield app
    app.forget()
