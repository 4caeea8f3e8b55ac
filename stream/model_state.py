"""What stage 2 holds of one model: unmerged blocks, monitors, the maturity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream.columns import Group
from stream.experiment_watch import ExperimentWatch
from stream.grouped_rows import Piece
from stream.inputs import Inputs
from stream.maturity import MaturityRule
from stream.monitor import Monitor
from stream.monitor_state import Held
from stream.monitors import Awake, Monitors
from stream.pair_watch import PairWatch
from stream.pane_kinds import PaneKind, further_age_of
from stream.panes import PaneTable
from stream.roster import Life
from stream.rules import CHAMPION, Rules
from stream.segments import targets
from stream.shadow_watch import ShadowWatch
from stream.snapshot import must_be_the_same
from stream.traffic import NEVER, Traffic
from stream.version_watch import VersionWatch
from stream.waiting_panes import Taken, Waiting, Young
from stream.watched import WatchedUnits
from stream.watermark import BEFORE_ALL_MS
from stream.wire import DelayBlock


class ModelState:
    """All groups of one model, and its maturity."""

    def __init__(self, model_id: str, rules: Rules, awake: Awake) -> None:
        """`rules`: those that know this model; what state depends on is the same in all such."""
        self.model_id = model_id
        self._rules = rules
        self._rule = rules.of_state(model_id)
        self.reference = rules.reference_of(model_id)
        self.configured_maturity = rules.maturity_of(model_id)
        self.waiting: dict[tuple[PaneKind, Group], Waiting] = {}
        self.young: dict[tuple[PaneKind, Group], Young] = {}
        self.monitors = Monitors(awake)
        has_early = self.configured_maturity == "auto" and not rules.ages_of(model_id)
        self.maturity = MaturityRule(self.reference, rules, has_early=has_early)
        self.traffic: dict[str, Traffic] = {"": Traffic.of(model_id)}  # by segment
        # source partitions that have learned the maturity -> the cohort watermark announced since;
        # None once that is as far as they had ever announced before
        self.learned: dict[int, int | None] = {}
        self.learned_early: dict[int, int | None] = {}  # the same of an early age
        self.applied: dict[tuple[int, PaneKind, Group], int] = {}  # last pane end
        self.delays_applied: dict[int, int] = {}
        self.shadows: dict[Group, ShadowWatch] = {}
        self.versions: dict[Group, VersionWatch] = {}  # beside the one to go back to
        self.experiments: dict[str, ExperimentWatch] = {}
        self.has_subjects = rules.model(model_id).subject is not None
        self.pairs: dict[Group, PairWatch] = {}  # by shadow
        self.lives: dict[Group, list[Life]] = {}  # that are not over for both kinds, in order
        # of those whose predictions are forgotten, by their first pane end: cohorts come later
        self.past_inputs: dict[tuple[Group, int], Inputs] = {}

    def announced(self, source: int, cohort_ms: int, furthest_ms: int) -> bool:
        """A source partition has announced its cohort watermark, the furthest ever being given;
        whether that changes anything."""
        is_news = False
        for learned in (self.learned, self.learned_early):
            before = learned.get(source)
            if before is not None:
                at_ms = max(before, cohort_ms)
                learned[source] = None if at_ms >= furthest_ms else at_ms
                is_news = is_news or learned[source] != before
        return is_news

    def learn(self, source: int, *, is_early: bool) -> bool:
        """That a source partition has learned the maturity, or an early age; whether it is new."""
        learned = self.learned_early if is_early else self.learned
        is_new = source not in learned
        learned.setdefault(source, BEFORE_ALL_MS)
        return is_new

    def is_settled(self, sources: int) -> bool:
        """Whether watermarks alone say which of its cohorts are ready: all source partitions have
        learned the maturity, and announced as much as they ever had before."""
        if any(ms is not None for ms in self.learned.values()):
            return False
        is_auto = isinstance(self.configured_maturity, str)
        return not is_auto or (self.maturity.decision is not None and len(self.learned) == sources)

    @property
    def decided(self) -> tuple[int | None, int]:
        """(maturity, decided at); decided at the end of time while it is not."""
        if not isinstance(self.configured_maturity, str):
            return self.configured_maturity, BEFORE_ALL_MS
        decision = self.maturity.decision
        if decision is None:
            return None, -BEFORE_ALL_MS
        return decision.maturity_ms, decision.decided_at_ms

    def further_ages(self, maturity_ms: int) -> tuple[int, ...]:
        """At which its predictions are judged before this maturity."""
        return self._rules.ages_of(self.model_id, maturity_ms)

    def settle_inputs(self, ready_ms: int) -> None:
        """Cohorts are asked about only that have later ready times than this."""
        self.monitors.settle(ready_ms - self._rules.grace_ms)

    def inputs_of(self, group: Group, life_ms: int) -> Inputs | None:
        """Of the life that began then, whether or not predictions are past it."""
        monitor = self.monitors.get(("prediction", group))
        if monitor is not None and monitor.life_ms == life_ms:
            return monitor.inputs
        return self.past_inputs.get((group, life_ms))

    def drop_past_inputs(self) -> None:
        """Those of lives that are over for both kinds."""
        kept = {(group, life.first_end_ms) for group, of in self.lives.items() for life in of}
        self.past_inputs = {at: of for at, of in self.past_inputs.items() if at in kept}

    # -- arrivals

    def keep(
        self,
        place: tuple[int, PaneKind, Group],
        rows: Piece | None,
        table: PaneTable | None,
        reached: tuple[int, int],
    ) -> bool:
        """Whether there was anything new; `place`: whose panes, from which source partition, which
        was heard to have `reached` so far."""
        source, kind, group = place
        come_ms = self._come_ms(source, kind, reached)
        applied_ms = max(self.applied.get(place, BEFORE_ALL_MS), come_ms)
        last = -BEFORE_ALL_MS
        rows = None if rows is None else rows.between(applied_ms + 1, last)
        table = None if table is None else table.between(applied_ms + 1, last)
        ends = [p.last_end_ms for p in (rows, table) if p is not None and len(p)]
        if not ends:
            return False
        self.applied[place] = max(ends)
        segments = self._rules.segments_of(self.model_id) if group[3] else ()
        for of in targets(group, segments, is_compared=kind in {"pair", "trial"}):
            waiting = self.waiting.get((kind, of))
            if waiting is None:
                waiting = self.waiting[kind, of] = Waiting()
            waiting.add(rows, table)
        return True

    def keep_delays(self, block: DelayBlock) -> bool:
        """Whether there was anything new."""
        new = block.delays.after(self.delays_applied.get(block.source, BEFORE_ALL_MS))
        if not len(new.count):
            return False
        self.delays_applied[block.source] = int(new.outcome_pane_end.max())
        self.maturity.add(new)
        return True

    def _come_ms(self, source: int, kind: PaneKind, reached: tuple[int, int]) -> int:
        """Up to this end all panes have come from there: their ready time was announced behind
        them. A new owner of the source partition may send some again."""
        prediction_ms, cohort_ms = reached
        if kind == "prediction":
            return prediction_ms - self._rules.grace_ms
        maturity, decided_at_ms = self.decided
        early, come_ms = self.maturity.early, BEFORE_ALL_MS
        if early is not None:
            since_ms = self.learned_early.get(source, BEFORE_ALL_MS)
            come_ms = self._come_of(
                kind, cohort_ms if since_ms is None else since_ms, early.maturity_ms
            )
            come_ms = min(come_ms, early.until_ms)
        if maturity is None:
            return come_ms
        if decided_at_ms != BEFORE_ALL_MS:  # announced since it was learned, that is
            since_ms = self.learned.get(source, BEFORE_ALL_MS)
            cohort_ms = cohort_ms if since_ms is None else since_ms
        return max(come_ms, self._come_of(kind, cohort_ms, maturity))

    def _come_of(self, kind: PaneKind, cohort_ms: int, maturity_ms: int) -> int:
        age_ms = further_age_of(kind) or maturity_ms
        apart_ms = self._rules.apart_ms(maturity_ms) if kind == "pair" else 0
        return cohort_ms - self._rules.grace_ms - age_ms - apart_ms

    def forget_applied(self, reached: Mapping[int, tuple[int, int]]) -> None:
        """What was applied says nothing new of panes that have all come."""
        self.applied = {
            (source, kind, group): end_ms
            for (source, kind, group), end_ms in self.applied.items()
            if end_ms > self._come_ms(source, kind, reached[source])
        }

    def take(self, kind: PaneKind, until_ms: int) -> list[tuple[Group, Taken]]:
        """The panes of this kind that end by then, group by group."""
        taken = [
            (group, panes)
            for (of_kind, group), waiting in self.waiting.items()
            if of_kind == kind and (panes := waiting.take(until_ms)) is not None
        ]
        if taken:
            self._forget_empty()
        return taken

    @property
    def is_compared(self) -> bool:
        """Whether any role or version of it is beside another."""
        return bool(self.shadows or self.experiments or self.versions)

    def has_waiting(self, of_kind: PaneKind) -> bool:
        return any(kind == of_kind for kind, _ in self.waiting)

    def first_end_ms(self, kind: PaneKind) -> int | None:
        """No pane of this kind that waits ends before; None: none waits."""
        ends = [w.first_end_ms for (of_kind, _), w in self.waiting.items() if of_kind == kind]
        return min(ends, default=None)

    # -- the young

    def may_hold(self, kind: PaneKind, taken: Sequence[tuple[Group, Taken]], fewest: int) -> bool:
        """Whether these panes and those held are fewer rows than `fewest` of one group, and nothing
        else is known of the model: working them off could tell nothing."""
        groups = {group for group, _ in taken} | {g for of, g in self.young if of == kind}
        if len(groups) != 1 or any(of == kind for of, _ in self.monitors):
            return False
        (group,) = groups
        lives = self.lives.get(group, ())
        if len(lives) != 1 or lives[0].is_deployment or any(panes.tables for _, panes in taken):
            return False
        if self.shadows or group[2] != CHAMPION:
            return False  # it is compared with others, or others with it
        young = self.young.get((kind, group))
        held = 0 if young is None else young.count
        return held + sum(len(part) for _, panes in taken for part in panes.rows) < fewest

    def hold(self, kind: PaneKind, group: Group, rows: Sequence[Piece]) -> None:
        self.young.setdefault((kind, group), Young()).add(rows)

    def grown(
        self, kind: PaneKind, taken: Sequence[tuple[Group, Taken]]
    ) -> list[tuple[Group, Taken]]:
        """These panes with all that was held."""
        of = dict(taken)
        for place in [place for place in self.young if place[0] == kind]:
            rows, panes = self.young.pop(place).rows, of.get(place[1])
            of[place[1]] = (
                Taken(rows, []) if panes is None else Taken(rows + panes.rows, panes.tables)
            )
        return list(of.items())

    def arrivals(self) -> Callable[[], dict[str, Any]]:
        """What has arrived and is not merged, as of now; made plain when called."""
        waiting = [(*place, w.held()) for place, w in self.waiting.items() if w.rows or w.tables]
        young = [(*place, panes.held()) for place, panes in self.young.items()]
        plain = {
            "rule": self._rule,
            "maturity": self.maturity.snapshot(),
            "learned": dict(self.learned),
            **({"learned_early": dict(self.learned_early)} if self.learned_early else {}),
            "applied": [
                [s, kind, list(group), end] for (s, kind, group), end in self.applied.items()
            ],
            "delays_applied": dict(self.delays_applied),
            "traffic": [[segment, of.snapshot()] for segment, of in self.traffic.items()],
            "lives": [
                [list(group), [life.to_plain() for life in lives]]
                for group, lives in self.lives.items()
            ],
        }
        if self.past_inputs:
            plain["past_inputs"] = [
                [list(group), life_ms, of.snapshot()]
                for (group, life_ms), of in self.past_inputs.items()
            ]
        if self.shadows:
            plain["shadows"] = [[list(g), of.to_plain()] for g, of in self.shadows.items()]
        if self.versions:
            plain["versions"] = [[list(g), of.to_plain()] for g, of in self.versions.items()]
        if self.experiments:
            plain["experiments"] = [of.to_plain() for of in self.experiments.values()]
        if self.pairs:
            plain["pairs"] = [[list(g), of.to_plain()] for g, of in self.pairs.items()]
        return lambda: (
            plain
            | {"waiting": [[kind, list(group), held()] for kind, group, held in waiting]}
            | {"young": [[kind, list(group), held()] for kind, group, held in young]}
        )

    def restore(
        self, plain: dict[str, Any], monitors: list[Held], by_hash: Mapping[str, Rules]
    ) -> None:
        """Raises ChangedRulesError."""
        must_be_the_same(self.model_id, plain["rule"], self._rule)
        for kind, group, waiting in plain["waiting"]:
            self.waiting[kind, tuple(group)] = Waiting.restore(waiting)
        for kind, group, young in plain.get("young", ()):  # since 0.2
            self.young[kind, tuple(group)] = Young.restore(young)
        for held in monitors:
            in_force = held.plain.get("rules")  # 0.1.0 knew one configuration
            rules = self._rules if in_force is None else by_hash[in_force]
            is_segment = bool(held.plain["group"][3])
            own = rules.of_group(self.model_id, is_segment=is_segment)
            monitor = Monitor.restore(own, self.reference, held)
            self.monitors[monitor.kind, monitor.group] = monitor
        if "lives" in plain:
            for group, lives in plain["lives"]:
                self.lives[tuple(group)] = [Life(*life) for life in lives]
        else:
            self._lives_of_version_1()
        for group, life_ms, of in plain.get("past_inputs", ()):
            past = self.past_inputs[tuple(group), life_ms] = Inputs(self._rules.pane_ms)
            past.restore(of, WatchedUnits())
        for group, of in plain.get("shadows", ()):
            self.shadows[tuple(group)] = ShadowWatch.from_plain(self.model_id, of)
        for group, of in plain.get("versions", ()):
            self.versions[tuple(group)] = VersionWatch.from_plain(of)
        for of in plain.get("experiments", ()):
            watch = ExperimentWatch.from_plain(of)
            self.experiments[watch.rule.name] = watch
        for group, of in plain.get("pairs", ()):
            self.pairs[tuple(group)] = PairWatch.from_plain(self.model_id, of)
        self.maturity.restore(plain["maturity"])
        if "traffic" in plain:  # since 0.2
            self.traffic = {s: Traffic.restore(self.model_id, of, s) for s, of in plain["traffic"]}
        self.learned = dict(plain["learned"])
        self.learned_early = dict(plain.get("learned_early", {}))
        self.applied = {(s, kind, tuple(group)): end for s, kind, group, end in plain["applied"]}
        self.delays_applied = dict(plain["delays_applied"])

    def _lives_of_version_1(self) -> None:
        """0.1.0 forgot nothing: each group has lived since its first pane."""
        for kind, group in self.monitors:
            monitor = self.monitors[kind, group]
            if kind == "prediction" and monitor.first_end_ms is not None:
                self.lives[group] = [Life(monitor.first_end_ms, monitor.last_end_ms)]
        for kind, group in self.monitors:
            self.monitors[kind, group].life_ms = self.lives[group][0].first_end_ms

    @property
    def next_traffic_ms(self) -> int | None:
        """Before this moment nothing can be told of its traffic; None: not before panes come."""
        next_ms = min(traffic.next_ms for traffic in self.traffic.values())
        return None if next_ms == NEVER else next_ms

    @property
    def is_unwatched(self) -> bool:
        """Whether none of its groups ever found room, so that nothing needs to be remembered."""
        has_arrived = any(waiting.rows or waiting.tables for waiting in self.waiting.values())
        return not (has_arrived or self.lives or self.learned or self.maturity.has_begun)

    def _forget_empty(self) -> None:
        self.waiting = {place: w for place, w in self.waiting.items() if w.rows or w.tables}
