"""Stage 2's watch over one group (model, version, role, segment) and one kind of panes.

Merged panes come in, ends ascending; findings come out. Panes are worked off in runs within which
nothing structural changes (no new series, no other reference), all series of a run in one call;
a run ends at a pane, never at a batch, so the batching of the panes does not show. A provisional
reference is made when panes come that are compared with it, or somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stream.columns import Group
from stream.detection import Detection
from stream.event_columns import FEATURE_SET
from stream.feature_sets import FeatureSetWatch
from stream.feature_types import FeatureTypes
from stream.findings import Findings
from stream.gathering import Gathering
from stream.inputs import Inputs
from stream.label_counts import LabelCounts
from stream.limit_account import declared
from stream.limit_watch import LimitWatch
from stream.monitor_state import Held, fired_in_version_1
from stream.monitor_told import LabelStatus, MonitorFinding, MonitorStatus, SeriesStatus
from stream.objectives import ObjectiveCounts
from stream.pane_kinds import PaneKind, is_judged
from stream.panes import PaneTable
from stream.profile import Profile
from stream.recent_rows import RecentRows
from stream.reference import Reference
from stream.rules import ReferenceRule, Rules
from stream.screening import Taus
from stream.watermark import BEFORE_ALL_MS


class Monitor:
    def __init__(
        self,
        rules: Rules,
        group: Group,
        kind: PaneKind,
        reference: ReferenceRule,
        inherited: Reference | None = None,
        *,
        taus: Taus | None = None,
    ) -> None:
        """`taus`: how much the values of the inherited one depend."""
        self.rules = rules
        self.group = group
        self.kind = kind
        self.first_end_ms: int | None = None
        self.life_ms = BEFORE_ALL_MS  # first pane end of the life that this watches
        self.references = [] if inherited is None else [inherited]  # all that were in force
        self.renewed_at: int | None = None  # the offset of the last renewal in force
        self.deployed_ms: int | None = None  # the first pane that a deployed reference held for
        self._rule = reference
        self._types = FeatureTypes()
        self._begin_anew()
        self._taus: dict[str, Taus] = {}  # of references by id, where any are more than 1
        if inherited is not None:
            self._detection.standards.seal(inherited, rules)
            self._inherit(inherited, taus or {})
        self._recent = RecentRows(rules.window_rows)
        self._sets = FeatureSetWatch()
        self._ended: list[tuple[str, str]] = []  # what fires and is watched no more
        self._labels = LabelCounts()
        self._objectives = ObjectiveCounts()
        if inherited is not None:
            self._know(inherited)
            self._arrange()

    def _inherit(self, law: Reference, taus: Taus) -> None:
        """It depends as its predecessor's values do, until it has a reference of its own."""
        if taus:
            self._taus[law.id] = self._detection.watch.inherited = taus

    def taus_of(self, reference: Reference) -> Taus:
        """As they were when it was sealed."""
        return self._taus.get(reference.id, {})

    def _know(self, law: Reference) -> None:
        """Its features, if they are new here."""
        for name, feature in law.table.features.items():
            if name not in self._types and feature.number[0] + feature.text[0]:
                numeric = bool(feature.number[0] >= feature.text[0])
                self._give_birth(name, numeric=numeric, settled=True)

    def _begin_anew(self) -> None:
        """With nothing to compare with."""
        self._gathering = Gathering(self._rule, self.rules, self.group, self.kind)
        enough = self._rule.predictions
        self._detection = Detection(self.rules, self.group, self.kind, self._types, enough)

    @property
    def reference(self) -> Reference | None:
        """In force."""
        return self._detection.law

    # -- the walk

    def update(
        self, table: PaneTable, rules: Rules | None = None
    ) -> tuple[list[MonitorFinding], list[Reference]]:
        """Findings, and the reference that these panes completed, if they did.

        `rules`: those in force from these panes on; None: as before."""
        ended, self._ended = self._ended, []
        because = "it is watched no more"
        findings = [self._words.quiet(*one, table.first_end_ms, because) for one in ended]
        findings += self._catch_up()
        if not (rules is None or rules is self.rules or rules == self.rules):
            findings += self._use(rules, table.first_end_ms)
        if self.first_end_ms is None:
            self.first_end_ms = int(table.pane_end[0])
        if self.deployed_ms is None and self._detection.standards.is_deployed:
            self.deployed_ms = int(table.pane_end[0])
        if FEATURE_SET in table.features:
            findings += self._new_sets(table)
            table = table.without({FEATURE_SET})
        table = self._types.admit(table, self.rules.max_features)
        self._recent.add(table)
        first = self.rules.minimum_values
        births = self._types.births(table)
        settlings = self._types.settlings(table, first)
        closings = self._detection.watch.learning.closings(table, self.rules.pane_ms)
        ends = sorted({len(table), *births, *settlings, *(pane + 1 for pane in closings)})
        sealed: list[Reference] = []
        start = 0
        for end in ends:
            while start < end:
                findings += self._catch_up()
                new = births.get(start, ()), settlings.get(start, ())
                findings += self._begin(table, start, *new)
                stop = self._gathering.next_stop(table, start, first)
                stop = end if stop is None else min(stop + 1, end)
                run = table.between(int(table.pane_end[start]), int(table.pane_end[stop - 1]))
                findings += self._run(run)
                self._types.count(run)
                self._detection.watch.learning.count(run, self.rules.pane_ms)
                if stop - 1 in closings:
                    self._detection.watch.learn()
                findings += self._gather(run, sealed)
                start = stop
        if self._gathering.due_ms is not None and self._detection.firing:  # it may end some of it
            findings += self._catch_up()
        self._recent.trim()
        return findings, sealed

    def _new_sets(self, table: PaneTable) -> list[MonitorFinding]:
        new = [self._words.of_feature_set(one) for one in self._sets.run(table, self.rules.pane_ms)]
        return new if self.rules.watches_feature_sets(self.group[0]) else []

    def renew(
        self,
        renewed_at: int | None,
        end_ms: int,
        law: Reference | None = None,
        because: str = "a new reference was accepted",
    ) -> list[MonitorFinding]:
        """The old reference ends before the pane that ends then, and what fires with it: the owner
        accepts how things are, and a new one is gathered; or `law` is deployed."""
        self._catch_up()
        limits = self._detection.limits  # what is acceptable does not follow a reference
        self._detection.limits = LimitWatch()
        quiet = self.quiets(end_ms, because if law is None else "a new reference was deployed")
        inputs = self.inputs
        self._begin_anew()
        self._detection.limits = limits
        if inputs is not None:  # cohorts that are ready before may still ask
            inputs.end(end_ms - self.rules.pane_ms)
            self._detection.watch.inputs = inputs
        for name in self._types:
            self._detection.means.watch(name)
        self.renewed_at = renewed_at
        if law is not None:
            self.references.append(law)
            self._detection.standards.seal(law, self.rules)
            self._know(law)
            self._arrange(end_ms)
        return quiet

    def _begin(
        self, table: PaneTable, start: int, births: Sequence[str], settlings: Sequence[str]
    ) -> list[MonitorFinding]:
        """What is new at this pane: features, and their types."""
        numeric = self._types.numeric_at(table, start) if births else {}
        for name in births:
            self._give_birth(name, numeric=numeric[name])
            if self._gathering.is_done or self._detection.standards.may_bridge:
                self._gathering.begin_late(name)
        changed = [name for name in settlings if self._settle_type(name)]
        findings = self._arrange(int(table.pane_end[start])) if births or changed else []
        self._detection.share(self.rules)
        return findings

    def _use(self, rules: Rules, end_ms: int) -> list[MonitorFinding]:
        """Change to these rules before the pane that ends then; what tells and is ended by them is
        quiet from there on."""
        self.rules = rules
        ended = self._detection.use(rules)
        self._gathering.use(rules)
        quiet = [self._words.quiet(name, detector, end_ms) for name, detector in ended]
        return quiet + self._arrange(end_ms, anew=True)

    def quiets(self, end_ms: int, because: str) -> list[MonitorFinding]:
        """The end of everything that fires, as of a pane that ends then."""
        words, firing = self._words, self._detection.firing
        return [words.quiet(name, detector, end_ms, because) for name, detector in firing]

    @property
    def refused_features(self) -> int:
        """Panes of features for which there was no room."""
        return self._types.refused

    @property
    def last_end_ms(self) -> int:
        return self._recent.last_end_ms

    @property
    def _words(self) -> Findings:
        standards = self._detection.standards
        asked = standards.is_early, standards.was_so, standards.knows
        return Findings(self.rules, self.group, self.kind, self._recent, *asked)

    # -- what is watched

    def _give_birth(self, name: str, *, numeric: bool, settled: bool = False) -> None:
        self._types.add(name, numeric=numeric, settled=settled)
        self._detection.means.watch(name)

    def _settle_type(self, name: str) -> bool:
        """The majority of its first values decides; the first pane had decided until then."""
        if not self._types.settle(name):
            return False
        self._detection.means.change_type(name)
        return True

    def _arrange(self, end_ms: int = 0, *, anew: bool = False) -> list[MonitorFinding]:
        """Watch from the next pane on what references there are for; what fires and is watched no
        more is quiet. `anew`: the terms of all have changed."""
        ended = self._detection.arrange(
            self._numeric,
            self.rules,
            self._recent,
            end_ms,
            is_gathering=not self._gathering.is_done,
            anew=anew,
        )
        return [self._words.quiet(name, measure, end_ms) for name, measure in ended]

    @property
    def _numeric(self) -> dict[str, bool]:
        return {name: self._types[name].numeric for name in self._types}

    # -- runs

    def _run(self, run: PaneTable) -> list[MonitorFinding]:
        findings = self._detection.run(
            run, self.rules, self._recent, self._words, self._gathering.course,
            is_gathering=not self._gathering.is_done,
        )  # fmt: skip
        if is_judged(self.kind):
            self._labels.count(run, findings)
        if self.kind == "cohort" and self.rules.model(self.group[0]).objectives:
            self._objectives.count(run, findings, declared(self.rules, self.group))
        return findings

    # -- references

    def _gather(self, run: PaneTable, sealed: list[Reference]) -> list[MonitorFinding]:
        """What a run has completed, and `sealed` with it."""
        is_new, standards = False, self._detection.standards
        for found in self._gathering.add(run, self.rules.minimum_values):
            name, is_sealed = found.feature, found.is_sealed
            if name is not None and not (is_sealed or self._gathering.gathers(name)):
                continue  # all that were sealed in the same run know it
            gathered = self._detection.with_runs(found)
            if not standards.take(gathered, self.rules):
                continue
            is_new = True
            self._detection.watch.measured(gathered.taus, is_spare=gathered.is_spare)
            if not is_sealed:
                if name is not None:
                    frame = standards.late_frame(name, self._numeric, self.rules)
                    self._gathering.frame_late(name, *frame)
                continue
            sealed.append(gathered.reference)
            if gathered.feature is None:
                self.references.append(gathered.reference)
                self._recent.keep(self.rules.kept_rows)
                standards.bridged(self.rules)
                self._gathering.end_late(self._types)
                for name in self._types:
                    if standards.lacks(name, self.rules):
                        self._gathering.begin_late(name)
        self._look_anew()
        if not is_new:
            return []
        own = next((one for one in sealed if one is self.reference), None)
        if own is not None:
            self._detection.watch.inherited = {}
        ended = self._arrange(run.last_end_ms)
        taus = self._detection.taus_of_law() if own is not None else {}
        if own is not None and taus:
            self._taus[own.id] = taus
        return ended

    def _look_anew(self) -> None:
        """Where a reference is gathered anew."""
        self._detection.standards.unsettled.add_restless(self._gathering.moved())
        if self._gathering.begun_anew():
            self._detection.forget_runs()

    def _catch_up(self) -> list[MonitorFinding]:
        """Compare with the provisional reference that is due: the same whenever it is made."""
        end_ms, standards = self._gathering.due_ms, self._detection.standards
        if end_ms is None:
            return []
        standards.take(self._detection.with_runs(self._gathering.so_far()), self.rules)
        self._gathering.end_late(standards.bridged(self.rules))
        findings = self._arrange(end_ms)
        of_all = standards.frame(self._numeric, self.rules)
        if of_all is not None:
            self._gathering.frame(*of_all)
        return findings

    # -- what judged predictions are told beside

    @property
    def inputs(self) -> Inputs | None:
        return self._detection.watch.inputs

    # -- reading

    def labels(self) -> LabelStatus:
        """Of the cohorts judged so far."""
        return self._labels.status(self._recent)

    def told(self) -> MonitorStatus:
        series = list(self.status())
        labels = self.labels() if is_judged(self.kind) else None
        return MonitorStatus(self.group, self.kind, self.refused_features, series, labels)

    def status(self) -> Iterator[SeriesStatus]:
        self._catch_up()
        return self._detection.status()

    def powers(self) -> list[dict[str, Any]]:
        """The smallest change of each thing watched that would be found, and how soon."""
        self._catch_up()
        return self._detection.powers(self.rules, self._recent)

    # -- state

    def snapshot(self) -> Held:
        self._catch_up()
        plain = {
            "group": list(self.group),
            "rules": self.rules.config_hash(),
            "kind": self.kind,
            "first_end_ms": self.first_end_ms,
            "life_ms": self.life_ms,
            "sealed_own": self._gathering.is_done,
            "renewed_at": self.renewed_at,
            **({} if self.deployed_ms is None else {"deployed_ms": self.deployed_ms}),
            "gathering": self._gathering.snapshot(),
            "types": self._types.snapshot(),
            "admissions": self._types.admissions(),
            "ended": self._ended,
            **self._detection.snapshot(),
            **self._labels.snapshot(),
        }
        if self._sets.known or self._sets.crowded_ms is not None:
            plain["sets"] = self._sets.snapshot()
        if self._taus:
            plain["taus_of"] = [
                [name, [[*key, list(tau)] for key, tau in taus.items()]]
                for name, taus in self._taus.items()
            ]
        spent = self._objectives.snapshot()
        if spent:
            plain["spent"] = spent
        bases = [*self._detection.bases(), *self._gathering.bases]
        building = self._gathering.building()
        return Held(plain, list(self.references), bases, building, *self._recent.snapshot())

    @classmethod
    def restore(cls, rules: Rules, reference: ReferenceRule, held: Held) -> Monitor:
        """Of 0.1.0 all but the detectors, which begin anew."""
        plain = held.plain
        model_id, version, role, segment = plain["group"]
        made = cls(rules, (model_id, version, role, segment), plain["kind"], reference)
        made.first_end_ms = plain["first_end_ms"]
        made.life_ms = plain.get("life_ms", BEFORE_ALL_MS)  # 0.1.0 knew no lives
        made.references = held.references
        made._types.restore(plain["types"], plain.get("admissions", [[], 0]))  # since 0.2
        made._recent.restore(held.stretches, held.newest)
        made._labels = LabelCounts(plain["labelled"], plain["rows"])
        made._objectives = ObjectiveCounts.restore(plain.get("spent", {}))
        made._sets = FeatureSetWatch.restore(plain.get("sets", {}))
        made.renewed_at, made.deployed_ms = plain.get("renewed_at"), plain.get("deployed_ms")
        made._detection.restore_law(held.references, plain, rules)
        for name, taus in plain.get("taus_of", ()):
            made._taus[name] = {(series, measure): tuple(tau) for series, measure, tau in taus}
        law = made.reference
        if law is not None and not plain["sealed_own"]:
            made._inherit(law, made.taus_of(law))
        profiles: dict[str, Profile] = {}
        if "watch" in plain:
            profiles = made._detection.restore(held.bases, plain, rules)
        gathering, is_done = plain.get("gathering", {}), plain["sealed_own"]
        made._gathering.restore(held.building, gathering, profiles, is_done=is_done)
        if is_done:
            made._recent.keep(rules.kept_rows)
        if "watch" in plain:
            made._ended = [(name, detector) for name, detector in plain["ended"]]
        else:
            made._ended = fired_in_version_1(plain)
            for name in made._types:
                made._detection.means.watch(name)
            made._arrange()
        return made
