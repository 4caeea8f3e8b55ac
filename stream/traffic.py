"""How many predictions of a model come, all versions together, and whether any do.

A model has the traffic that its callers have: a version that takes over from another one changes
nothing of it, and shadows, which get the same requests once more, do not count. Traffic is counted
in slots of ten minutes; the hour that ends with a slot is compared with the hours of the reference:
with the fewest and the most of them, or, with a season, with what is usual at that hour.
It is told when it is beyond these by the owner's share and by more than chance, or when that many
fewer come for long enough to be more than chance. Silence is told
when no prediction has come for longer than three times as long as ever before, or than chance lets
expect. Everything happens at moments of event time, in their order, never at the end of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

from detectors.poisson_fall import PoissonFall
from detectors.poisson_rate import surprise
from stream.columns import Group
from stream.panes import Ints
from stream.rules import DAY_MS, HOUR_MS, Rules
from stream.usual_hours import Usual, UsualHours

SLOT_MS = 600_000
SLOTS = HOUR_MS // SLOT_MS
LONGER = 3  # times the longest silence so far
NEVER = 2**62

What = Literal["throughput", "silence"]
Came = Sequence[tuple[Group, Ints, Ints]]
"""Pane ends and predictions, by group."""

At = Callable[[int], Rules]
"""The rules that hold of a pane that ends then."""

Renewed = Callable[[Group, int], int | None]
"""The renewal that does, by its offset."""


@dataclass(frozen=True, slots=True)
class TrafficTold:
    what: What
    at_ms: int  # as of the end of a pane, of a slot
    group: Group
    verdict: Literal["drift", "quiet", "lasting"]
    since_ms: int = 0
    up: bool = False
    count: int = 0
    hours: float = 1.0  # in which they came
    bounds: tuple[float, float] = (0.0, 0.0)  # fewest and most that are usual
    usual: Usual | None = None
    statistic: float = 0.0
    threshold: float = 0.0
    because: str = ""
    is_muted: bool = False

    @property
    def an_hour(self) -> int:
        return round(self.count / self.hours)


@dataclass(slots=True)
class Fires:
    group: Group
    up: bool
    ask_ms: int
    is_muted: bool = False  # the model as a whole says the same


Holds = Callable[["What", int], bool]
"""Whether something is told of the model as a whole then."""


@dataclass(slots=True)
class TrafficSaid:
    """What is told of the model as a whole, while its segments are looked at."""

    before: frozenset[What]
    changes: list[tuple[int, What, bool]]

    @classmethod
    def of(cls, whole: Traffic) -> Self:
        return cls(frozenset(whole.firing), [])

    def note(self, told: TrafficTold) -> None:
        if told.verdict != "lasting":
            self.changes.append((told.at_ms, told.what, told.verdict == "drift"))

    def holds(self, what: What, at_ms: int) -> bool:
        said = [fires for ms, of, fires in self.changes if of == what and ms <= at_ms]
        return said[-1] if said else what in self.before


@dataclass(slots=True)
class Traffic:
    """Of one model. `count` and `advance`, moments rising."""

    hours: UsualHours
    next_slot: int | None = None  # that is to be judged; none: it was never heard of
    slots: dict[int, dict[Group, int]] = field(default_factory=dict)  # from there on
    recent: list[int] = field(default_factory=list)  # of the last slots, an hour at most
    fall: PoissonFall = field(default_factory=PoissonFall)  # below the fewest that are usual
    main: Group | None = None  # of which most predictions were, in the last slot that had any
    last_end_ms: int = 0  # of the last pane
    longest_ms: int = 0  # without a pane, but for what was told
    resumed_ms: int = 0  # end of the last silence that was told
    renewed_at: int | None = None
    next_ms: int = NEVER  # before this moment nothing can be told
    firing: dict[What, Fires] = field(default_factory=dict)
    patience: int = (
        1  # times as long a silence is told; of a segment, that the model is asked first
    )

    @classmethod
    def of(cls, model_id: str, segment: str = "") -> Self:
        return cls(UsualHours(model_id), patience=2 if segment else 1)

    @property
    def is_forgotten(self) -> bool:
        return self.next_slot is None

    # -- the walk

    def walk(
        self,
        panes: Came,
        upto_ms: int,
        rules_at: At,
        renewed_at: Renewed,
        holds: Holds | None = None,
    ) -> Iterator[TrafficTold]:
        """What is no shadow's; no other pane ends by `upto_ms`. `holds`: of a segment, which tells
        nothing that holds of the model as a whole."""
        for told in self._walk(panes, upto_ms, rules_at, renewed_at):
            is_muted = told.is_muted
            if told.verdict == "drift" and holds is not None:
                is_muted = self.firing[told.what].is_muted = holds(told.what, told.at_ms)
            if not is_muted:
                yield told

    def _walk(
        self, panes: Came, upto_ms: int, rules_at: At, renewed_at: Renewed
    ) -> Iterator[TrafficTold]:
        if panes:
            ends, rows, groups = _in_order(panes)
            # slot by slot: what is judged between two panes must not know of the second
            slots = (ends - 1) // SLOT_MS
            cuts = np.flatnonzero((np.diff(ends) > SLOT_MS) | (np.diff(slots) > 0)) + 1
            for first, last in zip([0, *cuts], [*cuts, len(ends)], strict=True):
                yield from self._advance(int(ends[first]) - 1, rules_at, renewed_at)
                yield from self._heard(int(ends[first]), rules_at)
                pane_ms = rules_at(int(ends[first])).pane_ms
                self._count(ends[first:last], rows[first:last], groups, first, pane_ms)
            self.plan(rules_at)
        if upto_ms >= self.next_ms:
            yield from self._advance(upto_ms, rules_at, renewed_at)

    def _heard(self, end_ms: int, rules_at: At) -> Iterator[TrafficTold]:
        """A prediction, after some time."""
        if self.next_slot is None:  # the first ever; an hour that is cut short is no measure
            self.next_slot = ((end_ms - 1) // HOUR_MS + 1) * SLOTS
            self.hours.begin(end_ms)
            return
        fires = self.firing.pop("silence", None)
        if fires is not None:
            self._break_off()
            self.resumed_ms = end_ms
            yield _quiet("silence", end_ms, fires)
        else:
            gap_ms = end_ms - rules_at(end_ms).pane_ms - self.last_end_ms
            self.longest_ms = max(self.longest_ms, gap_ms)

    def _count(self, ends: Ints, rows: Ints, groups: list[Group], first: int, pane_ms: int) -> None:
        if len(ends) > 1:
            self.longest_ms = max(self.longest_ms, int(np.diff(ends).max()) - pane_ms)
        self.last_end_ms = int(ends[-1])
        slots = ((ends - 1) // SLOT_MS).tolist()
        for slot, n, group in zip(slots, rows.tolist(), groups[first:], strict=False):
            if self.next_slot is not None and slot >= self.next_slot:
                of = self.slots.setdefault(slot, {})
                of[group] = of.get(group, 0) + n

    def _advance(
        self,
        upto_ms: int,
        rules_at: At,
        renewed_at: Renewed,
    ) -> Iterator[TrafficTold]:
        while self.next_slot is not None:
            slot_ms = (self.next_slot + 1) * SLOT_MS
            rules = rules_at(slot_ms)
            over_ms = self.last_end_ms + rules.forget_ms
            at_ms, is_belated = self._next(slot_ms, rules)
            if at_ms > upto_ms:
                break
            if at_ms == over_ms:
                days = f"{rules.forget_ms / DAY_MS:.3g}"
                yield from self._end(at_ms, f"no predictions for {days} days")
                self._clear(at_ms)
                self.next_slot, self.main, self.slots = None, None, {}
                break
            if self.main is not None:
                renewed = renewed_at(self.main, at_ms)
                if renewed != self.renewed_at:
                    yield from self._end(at_ms, "a new reference was accepted")
                    self._clear(at_ms)
                    self.renewed_at = renewed
                    continue
            if at_ms < slot_ms or is_belated:
                yield self._is_silent(at_ms, rules)
            else:
                yield from self._judge(slot_ms, rules)
        self.plan(rules_at)

    def plan(self, rules_at: At) -> None:
        """When there may be something to tell, if no prediction comes before."""
        self.next_ms = NEVER
        if self.next_slot is not None:
            slot_ms = (self.next_slot + 1) * SLOT_MS
            self.next_ms, _ = self._next(slot_ms, rules_at(slot_ms))

    def _next(self, slot_ms: int, rules: Rules) -> tuple[int, bool]:
        """When there may be something to tell, and whether a silence was to be told before."""
        silent_ms, over_ms = self._silent_at(rules, slot_ms), self.last_end_ms + rules.forget_ms
        is_belated = silent_ms < slot_ms - SLOT_MS  # other rules say so, or other hours
        return min(slot_ms, slot_ms if is_belated else silent_ms, over_ms), is_belated

    def skip(self, until_ms: int, rules: Rules) -> None:
        """The input has ended: nobody knows how many would have come until then."""
        if self.next_slot is None or until_ms <= self.last_end_ms:
            return
        self.last_end_ms = self.resumed_ms = until_ms
        self._break_off()
        self.next_slot = max(self.next_slot, until_ms // SLOT_MS)
        self.slots = {slot: of for slot, of in self.slots.items() if slot >= self.next_slot}
        while self.hours.next_end_ms <= self.next_slot * SLOT_MS:
            self.hours.close(None, rules)
        self.plan(lambda _: rules)

    def _end(self, at_ms: int, because: str) -> Iterator[TrafficTold]:
        for what, fires in sorted(self.firing.items()):
            yield _quiet(what, at_ms, fires, because)
        self.firing = {}

    def _clear(self, at_ms: int) -> None:
        """Nothing is known of the time before."""
        self.hours.begin(at_ms)
        self._break_off()
        self.longest_ms = 0

    def _break_off(self) -> None:
        """The next slot does not go on from the last one."""
        self.recent = []
        self.fall.clear()

    # -- silence

    def _silent_at(self, rules: Rules, slot_ms: int) -> int:
        """When it will be told, if no prediction comes before; not looked for behind the slot."""
        rule = rules.traffic_of(self.hours.model_id)
        is_watched = rule.enabled and rule.silence is not None
        if not is_watched or self.main is None or "silence" in self.firing:
            return NEVER
        least_ms = self.patience * max(SLOT_MS, LONGER * self.longest_ms)
        if not isinstance(rule.silence, int) and self.last_end_ms + least_ms >= slot_ms:
            return NEVER
        wait_ms = self.silence_ms(rules)
        if wait_ms is None:
            return NEVER
        return -(-(self.last_end_ms + wait_ms) // rules.pane_ms) * rules.pane_ms

    def silence_ms(self, rules: Rules) -> int | None:
        """So long without a prediction is told; None: none is."""
        rule = rules.traffic_of(self.hours.model_id)
        if not rule.enabled or rule.silence is None:
            return None
        if isinstance(rule.silence, int):
            return self.patience * rule.silence
        if not self.hours.known:
            return None
        least_ms = max(SLOT_MS, LONGER * self.longest_ms)
        return self.patience * max(least_ms, math.ceil(self.hours.too_long_ms(rules)))

    def _is_silent(self, at_ms: int, rules: Rules) -> TrafficTold:
        assert self.main is not None
        self.firing["silence"] = Fires(self.main, False, at_ms + rules.ask_after_ms)
        self.hours.unlearn(self.last_end_ms)
        usual, waited_ms = self.hours.usual(rules), at_ms - self.last_end_ms
        missing = usual.mean * waited_ms / HOUR_MS
        return TrafficTold(
            "silence",
            at_ms,
            self.main,
            "drift",
            self.last_end_ms,
            bounds=self.hours.bounds,
            usual=usual,
            statistic=missing / usual.dispersion,
            threshold=self.hours.threshold(rules),
        )

    # -- throughput

    def _judge(self, end_ms: int, rules: Rules) -> Iterator[TrafficTold]:
        """The hour that ends with the next slot; and the slot is over."""
        assert self.next_slot is not None
        slot, self.next_slot = self.next_slot, self.next_slot + 1
        of = self.slots.pop(slot, {})
        if of:
            self.main = max(of, key=lambda group: (of[group], group))
        if end_ms - SLOT_MS >= self.resumed_ms:
            self.recent = [*self.recent[1 - SLOTS :], sum(of.values())]
        if self.hours.known and len(self.recent) == SLOTS and "silence" not in self.firing:
            yield from self._compare(end_ms, sum(self.recent), rules)
        if end_ms == self.hours.next_end_ms:
            is_calm = len(self.recent) == SLOTS and not self.firing
            self.hours.close(sum(self.recent) if is_calm else None, rules)
        for what, fires in self.firing.items():
            if end_ms >= fires.ask_ms:
                fires.ask_ms = NEVER
                yield TrafficTold(what, end_ms, fires.group, "lasting", is_muted=fires.is_muted)

    def _compare(self, end_ms: int, count: int, rules: Rules) -> Iterator[TrafficTold]:
        rule, fires = rules.traffic_of(self.hours.model_id), self.firing.get("throughput")
        change, fall, hours = rule.change, self.fall, 1.0
        if not rule.enabled:
            fall.clear()
            if fires is not None:
                del self.firing["throughput"]
                because = "it is watched no more"
                yield _quiet("throughput", end_ms, fires, because)
            return
        lowest, highest = self.hours.expected(end_ms, rules)
        usual, threshold = self.hours.usual(rules), self.hours.threshold(rules)
        fewest = self.hours.fewest(end_ms, rules) / SLOTS
        fall.update(self.recent[-1], fewest, ratio=1.0 - change, dispersion=usual.dispersion)
        if fires is not None:
            fall.nats = min(fall.nats, threshold)  # what is told is known
            lower, upper = (1.0 - change / 2.0) * lowest, (1.0 + change / 2.0) * highest
            is_back = fires.up or 2.0 * fall.nats <= threshold  # one hour of few may be chance
            if lower <= count <= upper and is_back:
                del self.firing["throughput"]
                yield _quiet("throughput", end_ms, fires)
                return
        up = count > highest
        bound = highest if up else lowest
        is_beyond = not (1.0 - change) * lowest <= count <= (1.0 + change) * highest
        statistic = surprise(count, bound, usual.dispersion) if is_beyond else 0.0
        if statistic < threshold:
            if fall.slots < SLOTS or fall.nats < threshold:
                return
            if fall.count > (1.0 - change) * fall.expected:
                fall.clear()  # it is less than the owner is told of
                return
            up, statistic = False, fall.nats
            count, hours = fall.count, fall.slots / SLOTS
        if self.main is None or (fires is not None and fires.up == up):
            return
        group = self.main if fires is None else fires.group
        ask_ms = end_ms + rules.ask_after_ms if fires is None else fires.ask_ms
        self.firing["throughput"] = Fires(group, up, ask_ms)
        if hours > 1.0:
            since_ms = end_ms - fall.slots * SLOT_MS
        else:
            part = (1.0 + change / 2.0) * highest if up else (1.0 - change / 2.0) * lowest
            since_ms = self._onset(end_ms, part / SLOTS, up=up)
        self.hours.unlearn(since_ms)
        bounds = (lowest, highest)
        yield TrafficTold(
            "throughput", end_ms, group, "drift", since_ms, up, count, hours, bounds, usual,
            statistic, threshold,
        )  # fmt: skip

    def _onset(self, end_ms: int, bound: float, *, up: bool) -> int:
        """Start of the last slots beyond it."""
        beyond = 0
        for n in reversed(self.recent):
            if not (n > bound if up else n < bound):
                break
            beyond += 1
        return end_ms - (beyond or SLOTS) * SLOT_MS

    # -- state

    def snapshot(self) -> list[Any]:
        return [
            self.hours.snapshot(),
            self.next_slot,
            [[slot, [[list(g), n] for g, n in of.items()]] for slot, of in self.slots.items()],
            list(self.recent),
            None if self.main is None else list(self.main),
            [self.last_end_ms, self.longest_ms, self.resumed_ms, self.renewed_at, self.next_ms],
            [
                [what, list(f.group), f.up, f.ask_ms, f.is_muted]
                for what, f in sorted(self.firing.items())
            ],
            *self.fall.snapshot(),
        ]

    @classmethod
    def restore(cls, model_id: str, plain: Sequence[Any], segment: str = "") -> Self:
        hours, next_slot, slots, recent, main, times, firing, *fall = plain
        made = cls.of(model_id, segment)
        made.fall = PoissonFall.restore(fall)
        made.hours, made.next_slot = UsualHours.restore(model_id, hours), next_slot
        made.slots = {slot: {tuple(g): n for g, n in of} for slot, of in slots}
        made.recent, made.main = list(recent), None if main is None else tuple(main)
        made.last_end_ms, made.longest_ms, made.resumed_ms, made.renewed_at, made.next_ms = times
        made.firing = {what: Fires(tuple(group), *of) for what, group, *of in firing}
        return made


def _quiet(what: What, at_ms: int, fires: Fires, because: str = "") -> TrafficTold:
    muted = fires.is_muted
    return TrafficTold(what, at_ms, fires.group, "quiet", because=because, is_muted=muted)


def _in_order(panes: Came) -> tuple[Ints, Ints, list[Group]]:
    """Panes of all groups by their ends."""
    ends = np.concatenate([of for _, of, _ in panes])
    rows = np.concatenate([of for _, _, of in panes])
    groups = [group for group, of, _ in panes for _ in range(len(of))]
    if len(panes) > 1:
        order = np.argsort(ends, kind="stable")
        return ends[order], rows[order], [groups[place] for place in order.tolist()]
    return ends, rows, groups
