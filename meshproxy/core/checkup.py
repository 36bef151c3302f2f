"""What the prober asks servers, and who wants to know: active checks as both sides see them.

Policies make the checks and judge the answers; control sends the questions on connections of
its own. Neither knows more of the other than this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Question:
    """One request to one server: where, the bytes of its head, seconds until it has failed."""

    host: str
    port: int
    head: bytes
    timeout: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of it: the status, or 0 and the word for why there is none."""

    status: int
    trouble: str = ""


@runtime_checkable
class Checked(Protocol):
    """A check of one server, in the ledger as long as the file asks for just this one."""

    @property
    def question(self) -> Question: ...

    def taken_up(self) -> None:
        """From now on it is asked."""

    def heard(self, heard: Heard, began: float, now: float) -> None:
        """The question that went out at `began` is answered, or has failed."""

    def pause(self) -> float:
        """Seconds until the next question."""

    def given_up(self) -> None:
        """The file does not ask for it any more."""
