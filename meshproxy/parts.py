"""The parts of a running sidecar, made and wired to each other: once, in the order of need.

Nothing runs yet and nothing is bound. `app` gives the parts their life, `shown` tells of them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from meshproxy.control.export import Clocks, Exporter
from meshproxy.control.health import Prober
from meshproxy.control.history import History
from meshproxy.control.lag import Watchdog, stack_of_this_thread
from meshproxy.control.memory import Memory, trim
from meshproxy.control.strain import Strain
from meshproxy.core.ledger import Ledger
from meshproxy.dataplane.conductor import Conductor
from meshproxy.dataplane.dial import Dialer
from meshproxy.dataplane.front import Front
from meshproxy.dataplane.listener import Bind
from meshproxy.dataplane.pool import Pool
from meshproxy.dataplane.room import Room, descriptors
from meshproxy.telemetry.access_log import AccessLog
from meshproxy.telemetry.bugs import Bugs
from meshproxy.telemetry.figures import Readings
from meshproxy.telemetry.log import Log
from meshproxy.telemetry.metrics import Telemetry
from meshproxy.telemetry.recent import Recent
from meshproxy.telemetry.tap import Tap


class Parts:
    """`bind` makes listening sockets; the clock of all of them is the monotonic one.

    `counted` is what is shown of the counts: those of other workers are added to ours there, so
    they are what came since the sidecar `began`, which may be long before this worker did.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log, bind: Bind, began: float) -> None:
        clock = time.monotonic
        self.loop = loop
        self.log = log
        self.began = began
        self.ledger = Ledger()
        self.telemetry = Telemetry()
        self.counted: Callable[[], Telemetry] = lambda: self.telemetry
        self.readings = Readings(lambda: self.counted(), self.began)
        self.recent = Recent()
        self.history = History()
        # Ids and jitter need to be unlike each other, not secret; the system seeds it.
        self.random = random.Random()  # noqa: S311
        draw = self.random.random
        self.access = AccessLog(log.write, draw, time.time, log.fixed_form, self.recent.add)
        self.bugs = Bugs(log.tell, time.time, clock)
        self.dialer = Dialer(loop, tell_bug=self.bugs.caught)
        self.pool = Pool(self.dialer, clock)
        self.conductor = Conductor(clock, loop.call_later, self.pool, self.bugs.caught)
        self.dialer.settle = self.pool.dialled
        self.pool.conductor = self.conductor
        self.conductor.record_by(self.access.record)
        self.tap = Tap(self.access, self.conductor.record_by, draw, clock)
        self.room = Room(descriptors())
        self.front = Front(loop, self.conductor, clock, self.room, log.tell, bind)
        self.prober = Prober(clock)
        self.exporter = Exporter(log.tell, Clocks(clock, time.time_ns, draw))
        self.watchdog = Watchdog(log.tell_now, stack_of_this_thread())
        self.memory = Memory()
        self.strain = Strain(self.memory.used, trim, self._relieve, clock())
        self.conductor.intake.look = lambda: self.strain.look_at_memory(clock())

    def _relieve(self, share: float, tell: Callable[[str, str], None]) -> int:
        """End exchanges until so much of the memory is free."""
        return self.front.relieve(int(share * self.memory.limit), time.monotonic(), tell)
