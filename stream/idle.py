"""Idleness: when a silent partition stops holding the others back. A state machine without I/O.

Processing time and what the consumer sees enter as arguments; out come the advances to journal.
Only the journal gives them effect, so a replay never asks what was idle when.

| side | idle when | advances to |
|---|---|---|
| predictions | at its end, uninterrupted, for `idle_s` | the minimum of the active partitions |
| predictions, all partitions idle | as above | the last watermark plus the time since |
| outcomes | as above | its own predictions partition |

One entry on becoming idle (other workers learn of it so), then at most one per pane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Side = Literal["predictions", "outcomes"]
SIDES: tuple[Side, Side] = ("predictions", "outcomes")


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source partition as this worker knows it now; watermarks in event time."""

    partition: int
    is_local: bool
    predictions_ms: int | None
    outcomes_ms: int | None = None
    predictions_at_end: bool = False  # at the high watermark, polled, not paused
    outcomes_at_end: bool = False
    is_idle_elsewhere: bool = False  # its owner journaled it, and it has not moved since


_OUTCOMES_STEP_MS = 60_000  # labels come in batches: they are silent nearly always, and
# a cohort that is days old may wait for a minute


@dataclass(frozen=True, slots=True)
class Advance:
    partition: int
    side: Side
    watermark_ms: int


class Idleness:
    def __init__(self, *, idle_s: float, pane_ms: int) -> None:
        self._idle_s = idle_s
        self._pane_ms = pane_ms
        self._at_end_since_s: dict[tuple[int, Side], float] = {}
        self._entered: set[tuple[int, Side]] = set()
        self._all_idle: tuple[float, int] | None = None  # since when, and the watermark then

    def forget(self) -> None:
        """The assignment changed: polling was interrupted."""
        self._at_end_since_s.clear()
        self._entered.clear()
        self._all_idle = None

    def decide(self, now_s: float, views: Sequence[SourceView]) -> list[Advance]:
        """The advances due at this processing time, predictions before outcomes. O(partitions)."""
        idle = {view.partition: self._is_idle(view, now_s) for view in views}
        target_ms = self._target_ms(now_s, views, idle)
        advances: list[Advance] = []
        for view in views:
            reached_ms = view.predictions_ms
            if view.is_local and idle[view.partition]:
                reached_ms = self._advance(
                    view.partition, "predictions", reached_ms, target_ms, advances
                )
            if self._at_end(
                view.partition, "outcomes", view.is_local and view.outcomes_at_end, now_s
            ):
                self._advance(view.partition, "outcomes", view.outcomes_ms, reached_ms, advances)
        return advances

    def _is_idle(self, view: SourceView, now_s: float) -> bool:
        if not view.is_local:
            return view.is_idle_elsewhere
        return self._at_end(view.partition, "predictions", view.predictions_at_end, now_s)

    def _at_end(self, partition: int, side: Side, is_at_end: bool, now_s: float) -> bool:
        """Whether a partition has been at its end, uninterrupted, for long enough."""
        key = (partition, side)
        if not is_at_end:
            self._at_end_since_s.pop(key, None)
            self._entered.discard(key)
            return False
        return now_s - self._at_end_since_s.setdefault(key, now_s) >= self._idle_s

    def _target_ms(
        self, now_s: float, views: Sequence[SourceView], idle: dict[int, bool]
    ) -> int | None:
        known_ms = [v.predictions_ms for v in views if v.predictions_ms is not None]
        if not known_ms or not all(idle.values()):
            self._all_idle = None
            active_ms = [
                v.predictions_ms
                for v in views
                if not idle[v.partition] and v.predictions_ms is not None
            ]
            return min(active_ms, default=None)
        if self._all_idle is None:
            self._all_idle = (now_s, max(known_ms))
        since_s, last_ms = self._all_idle
        return last_ms + int((now_s - since_s) * 1000)

    def _advance(
        self,
        partition: int,
        side: Side,
        at_ms: int | None,
        target_ms: int | None,
        advances: list[Advance],
    ) -> int | None:
        """The watermark afterwards; nothing is journaled while nothing is known."""
        if at_ms is None and target_ms is None:
            return None
        reached_ms = max(ms for ms in (at_ms, target_ms) if ms is not None)
        is_new = (partition, side) not in self._entered
        step_ms = self._pane_ms if side == "predictions" else max(self._pane_ms, _OUTCOMES_STEP_MS)
        is_next = at_ms is None or reached_ms // step_ms > at_ms // step_ms
        if not (is_new or is_next):
            return at_ms
        self._entered.add((partition, side))
        advances.append(Advance(partition, side, reached_ms))
        return reached_ms
