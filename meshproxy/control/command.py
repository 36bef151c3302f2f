"""The app as a child of its sidecar: started when the sidecar is ready, stopped after it drained.

`meshproxy run -- CMD ...` makes one. When it is signalled is for others to decide; here stand
how a process is started, told, waited for and reaped, and which number its end becomes.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from meshproxy.control.terminal import Scaling, let_go

FORWARDED = (
    signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT, signal.SIGWINCH,
)  # fmt: skip
"""Signals that mean nothing to a sidecar with a command, and so are the command's.

SIGTTIN and SIGTTOU are as well, and have a way of their own: `terminal`.
"""

PR_SET_PDEATHSIG = 1
"""Of prctl: the signal that the kernel sends to a process when its parent has ended."""

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a command that cannot be started, as shells have them."""


class CommandError(Exception):
    """The command cannot be started; `code` is the exit code for that."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__(why)
        self.code = code


class Command:
    """One process. Two descriptors can be waited for by any selector: `pidfd` is readable when it
    has ended, `scaling` when there is a signal for it that is to be passed on."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._argv = list(argv)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._scaling: Scaling | None = None
        self.pidfd = -1
        self.code: int | None = None

    @property
    def name(self) -> str:
        return self._argv[0]

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def scaling(self) -> int:
        return self._scaling.fd if self._scaling is not None else -1

    @property
    def runs(self) -> bool:
        return self._process is not None and self.code is None

    def start(self) -> None:
        """Start it, in this process's group: what is typed at a terminal reaches both.

        From the main thread: for the kernel, the end of the thread that starts it is ours.
        Raises CommandError.
        """
        scaling = Scaling()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # it is what was asked for
                self._argv, env=self._environment, preexec_fn=_tied(os.getpid())
            )
        except FileNotFoundError as error:
            scaling.close()
            raise CommandError(f"{self.name}: not found", NOT_FOUND) from error
        except OSError as error:
            scaling.close()
            raise CommandError(f"{self.name}: {error.strerror}", NOT_EXECUTABLE) from error
        self._scaling = scaling
        self.pidfd = os.pidfd_open(self._process.pid)

    def signal(self, number: int) -> None:
        """Tell it, unless it has ended already."""
        if self.runs:
            signal.pidfd_send_signal(self.pidfd, number)

    def scale(self) -> None:
        """Pass on what `scaling` has for it."""
        if self._scaling is not None:
            for number in self._scaling.sent():
                self.signal(number)

    def ended(self) -> bool:
        """Whether it has; its `code` is then 128 and the signal's number if one ended it."""
        if self._process is None or self.code is not None:
            return self.code is not None
        status = self._process.poll()
        if status is None:
            return False
        self.code = 128 - status if status < 0 else status
        os.close(self.pidfd)
        self.pidfd = -1
        if self._scaling is not None:
            self._scaling.close()
        return True


def _tied(parent: int) -> Callable[[], None]:
    """What the new process does before it becomes the command: have the kernel end it with us.

    Who is killed cannot tell it, and it would keep its port from those that are started next.
    All that could take a lock that a thread of ours holds is done here, before the fork. Where a
    list of system calls forbids it, or the command changes its user, it is on its own.
    """
    import ctypes  # only who has a command needs it

    control = ctypes.CDLL(None).prctl

    def tie() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # our handler would be all that heard it
        control(PR_SET_PDEATHSIG, signal.SIGTERM.value, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)  # it came too late for that
        let_go()

    return tie


def reap(known: frozenset[int]) -> None:
    """As PID 1: take leave of orphans that were handed to us. Those `known` are waited for
    elsewhere, and one of them at the front keeps the rest for the next time."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in known:
            return
        os.waitpid(found.si_pid, os.WNOHANG)


def environment_with(
    environment: Mapping[str, str], outbound: str, services: Mapping[str, str]
) -> dict[str, str]:
    """The environment with the way through the sidecar: `outbound` and `services` are URLs.

    NO_PROXY keeps the app's calls to itself and to this machine direct; a service's variable is
    its name in capitals with _URL behind it. What the app was given already wins.
    """
    ours = {f"{_word(name)}_URL": url for name, url in services.items()}
    if outbound:
        ours |= dict.fromkeys(("HTTP_PROXY", "http_proxy", "MESHPROXY_OUTBOUND"), outbound)
        ours |= dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1")
    return {**ours, **environment}


def _word(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name).upper()
