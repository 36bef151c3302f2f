"""What the metrics port and the admin port may ask of the running sidecar, and tell it.

The app is one; tests have another. Everything is as it is at the moment of the question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from meshproxy.control.history import Entry
from meshproxy.control.reload import Outcome, Reason, Standing
from meshproxy.core.report import Sample
from meshproxy.core.route import Plan, Snapshot
from meshproxy.telemetry.bugs import Bugs
from meshproxy.telemetry.figures import Readings
from meshproxy.telemetry.recent import Recent
from meshproxy.telemetry.tap import Tap

if TYPE_CHECKING:
    from meshproxy.core.foretold import Explanation, Question


@dataclass(frozen=True, slots=True)
class Identity:
    """The service that this sidecar stands in front of, as the file names it."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Listening:
    """One address of the config: the key that says it, where, and whether it is bound."""

    key: str
    address: str
    bound: bool


class Company(Protocol):
    """The other workers of this sidecar, if it has any."""

    @property
    def pid(self) -> int:
        """Of the process that leads them, to which signals for the sidecar go."""

    def workers(self) -> Sequence[int]:
        """The pids of all who serve, this one among them."""

    async def gather(self) -> None:
        """Hear from all of them what is shown next; whoever does not answer soon is left out."""

    def samples(self) -> Iterable[Iterable[Sample]]:
        """Their numbers, to be rendered with ours."""

    def added(self, page: str, ours: Any) -> Any:
        """What a page of ours says, with their counts added to it."""

    async def listen(
        self, words: Mapping[str, str], put: Callable[[bytes], None]
    ) -> Callable[[], None]:
        """Have their taps' lines put here too; what is returned ends it."""

    async def spread(self, order: str, words: Mapping[str, str]) -> None:
        """Have them do what was done here (`control.orders`)."""


class View(Protocol):
    """The running sidecar from outside of it."""

    @property
    def company(self) -> Company: ...

    @property
    def identity(self) -> Identity: ...

    @property
    def source(self) -> str:
        """The name of the file, for people."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The config in force; None until the first was adopted."""

    @property
    def standing(self) -> Standing:
        """How the latest reload went."""

    @property
    def history(self) -> Iterable[Entry]:
        """The last reloads, the newest last."""

    @property
    def pending(self) -> str:
        """What of the config in force needs a restart; empty if nothing does."""

    @property
    def draining(self) -> bool: ...

    @property
    def tap(self) -> Tap:
        """Where one can listen to every request that ends."""

    @property
    def readings(self) -> Readings:
        """The counters of traffic."""

    @property
    def recent(self) -> Recent:
        """The latest exchanges that did not go well."""

    def loop_lag(self) -> float:
        """Seconds that the event loop was late at worst, of late."""

    @property
    def bugs(self) -> Bugs:
        """Errors of the proxy itself."""

    def uptime(self) -> float:
        """Seconds since the start of the sidecar, however young the process that answers."""

    def now(self) -> float:
        """The monotonic clock that state is kept by, in seconds."""

    def cells(self) -> Iterable[Any]:
        """The state that policies keep; some of it is `core.report.Reported`."""

    def listeners(self) -> Sequence[Listening]: ...

    def metrics(self, openmetrics: bool) -> Iterator[bytes]:
        """The text of a scrape, in pieces: each is made when it is asked for, and quickly."""

    def stats(self) -> Mapping[str, Any]:
        """Numbers of the process and its connections, as plain data."""

    def explain(self, plan: Plan, question: Question) -> Explanation:
        """What would become of this request; nothing does."""

    async def reload(self, reason: Reason) -> Outcome: ...

    @property
    def upgrade(self) -> Callable[[], Awaitable[str]]:
        """Have a new process take over; why it did not, empty if it did."""

    def begin_drain(self) -> None:
        """Stop being ready, finish what is in flight, then end; again is nothing new."""

    def drain_inbound(self) -> None:
        """Stop being ready and tell callers to come no more; all else goes on until the end."""

    def tell(
        self, event: str, /, *, level: str = "info", once_per: float = 0.0, **fields: Any
    ) -> None:
        """Write a line to the log."""

    def set_level(self, level: str) -> None:
        """Write log lines of `level` and above; it is one of LEVELS."""


LEVELS = ("debug", "info", "warning", "error")
