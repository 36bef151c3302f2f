"""How a sidecar leaves: what it still accepts, and when it may go.

Three things end at different times. New callers come for a moment longer, because those who send
them here hear of it late. Their answers are finished. And the app's own calls go out until the
app is gone, which may need them to the last (a job that reports its end, a flush of metrics).
All of it within one setting, `shutdown.drain`. Pure arithmetic over a `now` in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

MOMENT = 5.0
"""Seconds for which new callers are still let in: kube-proxy and balancers learn of a pod's end
only then (semantics of Kubernetes; Linkerd's and Istio's own waits are of this size)."""

SHARE = 0.25
"""Of the whole time, at most so much; and so much is kept for the app to end in."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is at this moment: requests in flight, connections, and the app.

    `app_gone` is None where there is no app, or nobody can tell.
    """

    inbound: int
    outbound: int
    app_gone: bool | None


@dataclass(frozen=True, slots=True)
class Drain:
    """Begun at `began`, over at `ends`. `in_haste` for somebody who waits at a terminal;
    `has_callers` if there is a side at which any may come."""

    began: float
    seconds: float
    in_haste: bool = False
    has_callers: bool = True

    @property
    def ends(self) -> float:
        """When whatever is left is cut off."""
        return self.began + self.seconds

    @property
    def welcomes_until(self) -> float:
        """Until then new callers are let in."""
        at_once = self.in_haste or not self.has_callers
        return self.began + (0.0 if at_once else self._moment)

    @property
    def dismisses_at(self) -> float:
        """When an app that is ours to stop is told to end, whoever still waits for an answer of
        it: a socket that stays open for hours must not cost it its own end."""
        return self.ends - self._moment

    @property
    def _moment(self) -> float:
        return min(MOMENT, self.seconds * SHARE)

    def may_leave(self, scene: Scene, now: float) -> bool:
        """Whether nothing is left to do, or no time."""
        if now >= self.ends:
            return True
        if now < self.welcomes_until or scene.inbound or scene.outbound:
            return False
        return self.in_haste or scene.app_gone is not False
