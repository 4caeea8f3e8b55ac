"""All stages in one process, without Kafka: the backtest's and the tests' worker.

Effects are carried to their stage at once; what would go to public topics is collected.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from stream.alert_stage import AlertStage
from stream.events import (
    Effect,
    Records,
    ToActions,
    ToAlerts,
    ToDeadLetters,
    ToFindings,
    ToJournal,
    ToPanes,
    ToReferences,
)
from stream.model_release import Observer
from stream.model_stage import ModelStage
from stream.monitors import AWAKE
from stream.partitioning import partition_of
from stream.renewals import Renewal
from stream.rules import Rules
from stream.shedding import Wish
from stream.source_stage import Side, SourceStage
from stream.wire import MaturityDecision, Renewed, Shed, decode_journal, encode_journal

Ledger = dict[str, dict[str, int]]
_AWAKE = 8 * AWAKE  # of a partition: a backtest is soon over, and has a machine to itself
RELEASE_EVERY = 64_000  # records, where nobody waits for alerts


class Pipeline:
    def __init__(
        self,
        rules: Rules,
        partitions: int,
        *,
        include_payload: bool = False,
        observe: Observer | None = None,
        release_every: int = 1,
        awake: int = _AWAKE,
    ) -> None:
        """`release_every`: records after which stage 2 hears of the watermarks. What comes out
        does not depend on it; merging many small panes at once is cheaper than one by one."""
        self._options = (partitions, include_payload, observe, awake)
        self._release_every = release_every
        self.asks_power = False
        self._powers: list[dict[str, Any]] | None = None
        self._versions: list[dict[str, Any]] | None = None
        self.decides_caps = True  # else what is shed is decided by a journal alone
        self._unreleased = 0  # records since stage 2 last heard
        self._held: list[ToPanes] = []
        self.found(rules)
        self.alerts: list[ToAlerts] = []
        self.actions: list[ToActions] = []
        self.dead_letters: list[ToDeadLetters] = []
        self.references: list[ToReferences] = []
        self.journal: list[bytes] = []
        self._next_offset: dict[tuple[int, Side], int] = {}

    def found(self, rules: Rules) -> None:
        """Begin under these rules; nothing has been fed yet."""
        partitions, include_payload, observe, awake = self._options
        self.rules = rules
        self.sources = [
            SourceStage(rules, p, partitions, include_payload=include_payload)
            for p in range(partitions)
        ]
        self.models = [
            ModelStage(rules, q, partitions, observe=observe, awake=awake)
            for q in range(partitions)
        ]
        self.alert_stage = AlertStage(rules, partitions)

    def predictions(self, records: Records) -> None:
        self._fed(records, "predictions", self.sources[records.partition].predictions(records))

    def outcomes(self, records: Records) -> None:
        self._fed(records, "outcomes", self.sources[records.partition].outcomes(records))

    def _fed(self, records: Records, side: Side, effects: list[Effect]) -> None:
        if records.offsets:
            self._next_offset[records.partition, side] = records.offsets[-1] + 1
        self._perform(effects)
        if self.decides_caps:
            self._shed_as_wished(records.partition)
        self._unreleased += len(records.values)
        self._release_if_due()

    def _shed_as_wished(self, partition: int) -> None:
        source = self.sources[partition]
        for wish in source.wishes():
            at_offset = self._next_offset.get((partition, wish.side), 0)
            place = (partition, source.epoch, wish.side, at_offset)
            self.journal.append(encode_journal(Shed(1, *place, wish.what, wish.level)))
            self.shed(partition, wish)

    def shed(self, partition: int, wish: Wish) -> None:
        """A journaled decision: from the next record on."""
        self.sources[partition].shed(wish)

    def _release_if_due(self) -> None:
        if self._unreleased >= self._release_every or self._release_every == 1:
            self.release()

    def release(self) -> None:
        """Stage 2 hears of all that was said so far. Nothing is closed by it."""
        self._unreleased = 0
        while self._held:
            held, self._held = self._held, []
            moved = [
                self.models[e.partition] for e in held if self.models[e.partition].hear(e.value)
            ]
            for model in dict.fromkeys(moved):
                self._perform(model.release())

    def deploy(self, renewals: Sequence[Renewal]) -> None:
        """References that come with versions, beside any decision of a live run. Raises ValueError
        where they cannot be compared with."""
        for n, one in enumerate(renewals, 1):
            misfits = one.misfits(self.rules)
            if misfits:
                named = f"{one.model_id} v{one.version}"
                raise ValueError(f"the reference of {named}: {'; '.join(misfits)}")
            partition = partition_of(one.model_id.encode(), len(self.models))
            place = (2, partition, 0, -n, one.effective_at_ms)
            of = (one.model_id, one.version, list(one.references))
            self.models[partition].renew(Renewed(*place, *of))

    def advance(self, partition: int, side: Side, watermark_ms: int) -> None:
        """A journaled decision: idleness or a tick."""
        self._perform(self.sources[partition].advance(side, watermark_ms))
        self._release_if_due()

    def accept(self, partition: int, side: Side, rules: Rules, announced_at: int) -> None:
        """A journaled decision: from here on the models of these rules are taken."""
        self.sources[partition].accept(side, rules, announced_at)

    def end_of_input(self, event_time_ms: int | None) -> None:
        """Close everything up to the greatest event time; None: of what was fed."""
        if self.asks_power:
            self.release()
            self._note_powers()
        if event_time_ms is None:
            times = [s.watermark_ms(side) for s in self.sources for side in _SIDES]
            seen = [t for t in times if t is not None]
            if not seen:
                return
            event_time_ms = max(seen)
        for partition in range(len(self.sources)):
            self.end_of_source(partition, event_time_ms)
        self.release()

    def take_over(
        self, epoch: int, findings: Sequence[bytes], panes: Mapping[int, Sequence[bytes]]
    ) -> None:
        """As the new owner of stages that were restored: hear what their predecessors had said
        (`panes` by stage-2 partition), then speak under the new epoch."""
        self.alert_stage.epoch = epoch
        for source in self.sources:
            source.epoch = epoch
        for model in self.models:
            model.epoch = epoch
        for value in findings:
            self._perform(self.alert_stage.handle(value))
        effects: list[Effect] = []  # nothing new is heard before all that is old
        for partition, values in panes.items():
            for value in values:
                effects += self.models[partition].handle(value)
        for model in self.models:
            effects += model.announce()
        decided = [one for model in self.models for one in model.decisions()]
        for source in self.sources:
            for of in decided:
                effects += source.learn(of.model_id, of.maturity_ms, of.until_ms)
            effects += source.announce()
        self._perform(effects)
        self.release()

    def end_of_source(self, partition: int, event_time_ms: int) -> None:
        """Close everything of one source partition up to an event time."""
        self._perform(self.sources[partition].end_of_input(event_time_ms))

    def _perform(self, effects: list[Effect]) -> None:
        waiting = deque(effects)  # first in, first out, as topics are
        while waiting:
            effect = waiting.popleft()
            match effect:
                case ToPanes():
                    self._held.append(effect)
                case ToFindings():
                    waiting.extend(self.alert_stage.handle(effect.value))
                case ToJournal():
                    waiting.extend(self._journaled(effect))
                case ToAlerts():
                    self.alerts.append(effect)
                case ToActions():
                    self.actions.append(effect)
                case ToDeadLetters():
                    self.dead_letters.append(effect)
                case ToReferences():
                    self.references.append(effect)

    def _journaled(self, effect: ToJournal) -> list[Effect]:
        self.journal.append(effect.value)
        entry = decode_journal(effect.value)
        if not isinstance(entry, MaturityDecision):
            return []
        return [
            told
            for source in self.sources
            for told in [
                *source.learn(entry.model_id, entry.maturity_ms, entry.until_ms),
                *source.announce(),
            ]
        ]

    # -- reading

    def _note_powers(self) -> None:
        if self.asks_power and self._powers is None:
            self._versions = self.versions()
            self._powers = [power for model in self.models for power in model.powers()]

    def versions(self) -> list[dict[str, Any]]:
        """First and last seen, and traffic: as `powers`, before the silent are forgotten."""
        if self._versions is not None:
            return self._versions
        return [one for model in self.models for one in model.versions()]

    def powers(self) -> list[dict[str, Any]]:
        """Of every unit the smallest change that would be found: before the end of the input, at
        which the silent may be forgotten, if that has come. Where it is asked for."""
        self._note_powers()
        return self._powers or []

    def sorted_alerts(self) -> list[ToAlerts]:
        """In event-time order: the same list, however the input was batched."""
        return sorted(self.alerts, key=lambda alert: alert.order)

    def sorted_actions(self) -> list[ToActions]:
        """By when they were asked for."""
        return sorted(self.actions, key=lambda action: action.order)

    def watermark_ms(self, partition: int, side: Side) -> int | None:
        return self.sources[partition].watermark_ms(side)

    def ledger(self) -> dict[str, Any]:
        partitions = [source.ledger() for source in self.sources]
        return {"total": add_ledgers(partitions), "partitions": partitions}

    def summary(self) -> dict[str, Any]:
        """The ledger, and what people ask first."""
        ledger = self.ledger()
        total = ledger["total"]
        judged = (
            total["predictions"]["matured_labelled"] + total["predictions"]["matured_unlabelled"]
        )
        coverage = total["predictions"]["matured_labelled"] / judged if judged else None
        experiments = [of for model in self.models for of in model.experiments()]
        shadows = [shadow for model in self.models for shadow in model.shadows()]
        deployed = [one for model in self.models for one in model.deployed()]
        return {
            "ledger": ledger,
            "alerts": len(self.alerts),
            "actions": len(self.actions),
            "firing": len(self.alert_stage.active()),
            "joined": total["outcomes"]["joined"],
            "label_coverage": coverage,
            "late": total["predictions"]["late"],
            "dead_lettered": len(self.dead_letters),
            "models": [
                {"model": group[0], "version": group[1], "role": group[2]}
                | {"labelled": labels.labelled, "judged": labels.judged}
                | {"delay_p50_ms": labels.delay_p50_ms, "delay_p90_ms": labels.delay_p90_ms}
                for model in self.models
                for group, labels in sorted(model.labels().items())
            ],
            **({"shadows": shadows} if shadows else {}),
            **({"experiments": experiments} if experiments else {}),
            **({"deployed": deployed} if deployed else {}),
            "versions": self.versions(),
            "config_hash": self.rules.config_hash(),
        }


_SIDES: tuple[Side, Side] = ("predictions", "outcomes")


def add_ledgers(ledgers: list[Ledger]) -> Ledger:
    """Term by term."""
    total: dict[str, Counter[str]] = {}
    for ledger in ledgers:
        for side, terms in ledger.items():
            total.setdefault(side, Counter()).update(terms)
    return {side: dict(terms) for side, terms in total.items()}


def imbalance(ledger: Ledger) -> list[str]:
    """What does not add up; empty when the ledger balances."""
    wrong = []
    for side, t in ledger.items():
        kept = ("applied", "duplicate", "late", "future", "dead_lettered", "shed")
        parts: dict[str, tuple[str, ...]] = {"consumed": kept}
        if side == "predictions":
            parts["applied"] = ("matured_labelled", "matured_unlabelled", "pending", "unjoined")
        else:
            parts["applied"] = (
                "joined",
                "superseded",
                "retracted",
                "orphan_waiting",
                "orphan_expired",
            )
        for whole, terms in parts.items():
            if t[whole] != sum(t[term] for term in terms):
                wrong.append(f"{side}: {whole} {t[whole]} != " + " + ".join(terms))
    return wrong
