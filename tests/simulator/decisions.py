"""What is journaled before it holds: caps and configurations, as `stream.worker_shed` and
`stream.worker_configs` have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.control import decode
from stream.notices import Notice
from stream.partitioning import partition_of
from stream.renewals import Renewal
from stream.rule_book import ConfigChange
from stream.shedding import Wish
from stream.wire import Accepted, Activation, Idle, Noticed, Renewed, Shed
from tests.simulator.slot import ALERTS, CONTROL, MODELS, SIDES, SOURCES, Slot, Steps, Task

if TYPE_CHECKING:
    from tests.simulator.worker import Worker

_AHEAD, _FAR_AHEAD = 12, 1_000  # offsets between what is journaled of a cap and where it holds


Announced = ConfigChange | Renewal | Notice
Decided = Idle | Shed | Accepted | Activation | Renewed | Noticed


class Decisions:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._control = worker.log.part((CONTROL, 0))
        self._changes: list[tuple[int, Announced]] = []  # as far as read
        self.sheds = self.activations = self.accepted = self.renewals = 0
        self.is_looking = False
        is_crowded = worker.rules.max_ids < _FAR_AHEAD
        self._ahead = _AHEAD if is_crowded else _FAR_AHEAD

    # -- caps

    def room(self, slot: Slot, topic: str) -> int:
        """How many offsets more may be applied before the next checkpoint."""
        return slot.sealed[topic] + self._ahead - slot.positions[topic]

    def shed(self, slot: Slot) -> None:
        """Behind a batch, and before the next one."""
        wishes = slot.core.wishes()
        if wishes:
            task = Task(self._journal_wishes(slot, wishes))
            task.step()
            self._worker.tasks.append(task)

    def _journal_wishes(self, slot: Slot, wishes: list[Wish]) -> Steps:
        for wish in wishes:
            at_offset = slot.offsets[SIDES[wish.side]] + self._ahead
            place = (SOURCES, slot.partition, slot.core.epoch, wish.side, at_offset)
            if not (yield from self._worker.decide(slot, Shed(*place, wish.what, wish.level))):
                return
            slot.core.shed(wish, at_offset)
            slot.is_dirty = True
            self.sheds += 1

    # -- configurations

    def changes(self) -> list[tuple[int, Announced]]:
        """All that are announced by now, with their offsets."""
        for entry in self._control[len(self._changes) :]:
            assert entry.value is not None
            change = decode(entry.value)
            assert isinstance(change, ConfigChange | Renewal | Notice)
            self._changes.append((entry.offset, change))
        return self._changes

    @property
    def has_to_look(self) -> bool:
        """Whether there is a change that has not come into force in what is owned."""
        if self.is_looking or not self._control:
            return False
        return any(
            self._may_activate(slot) and not slot.core.has_activated(offset)
            if slot.stage != SOURCES
            else self._sides_to_accept(slot, offset, change)
            for offset, change in self.changes()
            for slot in self._worker.slots.values()
            if self._is_of(slot, change)
        )

    def _is_of(self, slot: Slot, change: Announced) -> bool:
        """A renewal is a matter of the partition of stage 2 that has the model, a notice of
        stage 3."""
        if isinstance(change, ConfigChange):
            return True
        if isinstance(change, Notice):
            return slot.stage == ALERTS
        partition = partition_of(change.model_id.encode(), self._worker.scenario.partitions)
        return (slot.stage, slot.partition) == (MODELS, partition)

    def look(self) -> None:
        self.is_looking = True
        self._worker.tasks.append(Task(self._look()))

    def _look(self) -> Steps:
        for offset, change in self.changes():
            for slot in list(self._worker.slots.values()):
                if self._worker.slots.get(slot.key) is not slot or slot.is_locked:
                    continue
                if not self._is_of(slot, change):
                    continue
                if isinstance(change, Renewal):
                    yield from self._renew(slot, offset, change)
                    continue
                if isinstance(change, Notice):
                    yield from self._notice(slot, offset, change)
                    continue
                if slot.stage != SOURCES:
                    yield from self._activate(slot, offset, change)
                for side in self._sides_to_accept(slot, offset, change):
                    yield from self._accept(slot, side, offset, change)
        self.is_looking = False

    def _may_activate(self, slot: Slot) -> bool:
        """What a former owner has released must not be judged again by other rules."""
        return slot.has_caught_up or not self._worker.protocol.activates_caught_up

    def _activate(self, slot: Slot, offset: int, change: ConfigChange) -> Steps:
        if slot.core.has_activated(offset) or not self._may_activate(slot):
            return
        entry = Activation(
            stage=slot.stage,
            partition=slot.partition,
            epoch=slot.core.epoch,
            announced_at=offset,
            config_hash=change.rules.config_hash(),
            at_ms=max(change.effective_at_ms, slot.core.next_ready_ms()),
            rules=change.rules.to_plain() if slot.stage == ALERTS else None,
        )
        if (yield from self._worker.decide(slot, entry)):
            slot.core.activate(entry.at_ms, change.rules, offset)
            slot.is_dirty = True
            self.activations += 1

    def _renew(self, slot: Slot, offset: int, renewal: Renewal) -> Steps:
        if slot.core.has_activated(offset) or not self._may_activate(slot):
            return
        entry = Renewed(
            stage=slot.stage,
            partition=slot.partition,
            epoch=slot.core.epoch,
            announced_at=offset,
            at_ms=max(renewal.effective_at_ms, slot.core.next_ready_ms()),
            model_id=renewal.model_id,
            version=renewal.version,
            references=list(renewal.references),
        )
        if (yield from self._worker.decide(slot, entry)):
            slot.core.renew(entry)
            slot.is_dirty = True
            self.renewals += 1

    def _notice(self, slot: Slot, offset: int, notice: Notice) -> Steps:
        if slot.core.has_activated(offset) or not self._may_activate(slot):
            return
        next_ms = slot.core.next_ready_ms()
        at_ms = max(notice.effective_at_ms or next_ms, next_ms)
        place = slot.stage, slot.partition, slot.core.epoch
        entry = Noticed(*place, announced_at=offset, at_ms=at_ms, notice=notice)
        if (yield from self._worker.decide(slot, entry)):
            slot.core.notice(entry)
            slot.is_dirty = True

    def _sides_to_accept(self, slot: Slot, offset: int, change: Announced) -> list[str]:
        is_in_force = self._worker.journal.is_in_force_everywhere(
            offset, self._worker.scenario.partitions
        )
        if slot.stage != SOURCES or not is_in_force or not isinstance(change, ConfigChange):
            return []
        return [side for side in SIDES if self._is_time(slot, side, offset, change)]

    @staticmethod
    def _is_time(slot: Slot, side: str, offset: int, change: ConfigChange) -> bool:
        is_due = any(entry.announced_at == offset for entry, _ in slot.due_accepted.get(side, ()))
        if is_due or slot.core.has_accepted(side, offset):
            return False
        reached_ms = slot.core.watermark_ms(side)
        return reached_ms is None or reached_ms >= change.effective_at_ms

    def _accept(self, slot: Slot, side: str, offset: int, change: ConfigChange) -> Steps:
        """A former owner may have applied, and told others of, all that is in the log by now."""
        place = SIDES[side], slot.partition
        at_offset = slot.offsets[place[0]]
        if self._worker.protocol.accepts_behind_the_log:
            at_offset = max(at_offset, self._worker.log.end(place))
        entry = Accepted(
            stage=SOURCES,
            partition=slot.partition,
            epoch=slot.core.epoch,
            side=side,  # type: ignore[arg-type]
            at_offset=at_offset,
            announced_at=offset,
            config_hash=change.rules.config_hash(),
        )
        if (yield from self._worker.decide(slot, entry)):
            slot.due_accepted.setdefault(side, []).append((entry, change.rules))
            self._worker.apply_idle(slot, side, slot.offsets[place[0]])
            slot.is_dirty = True
            self.accepted += 1

    # -- taking over

    def unsealed(self, slot: Slot) -> list[Decided]:
        """What counts in the journal and the restored state does not know."""
        journal, partition = self._worker.journal, slot.partition
        if slot.stage != SOURCES:
            decided: list[Decided]
            decided = [*journal.activations_of(slot.stage, partition)]
            decided += journal.renewed_of(partition) if slot.stage == MODELS else []
            decided += journal.noticed_of(partition) if slot.stage == ALERTS else []
            return [said for said in decided if not slot.core.has_activated(said.announced_at)]
        said = [
            *journal.idle_of(partition),
            *journal.sheds_of(partition),
            *journal.accepted_of(partition),
        ]
        due = [entry for entry in said if entry.at_offset >= slot.offsets[SIDES[entry.side]]]
        return sorted(due, key=lambda entry: entry.at_offset)

    def restore(self, slot: Slot) -> None:
        """What the journal says of a partition, and the state that was restored may not know."""
        journal = self._worker.journal
        changes = [c for _, c in self.changes() if isinstance(c, ConfigChange)]
        rules = {change.rules.config_hash(): change.rules for change in changes}
        for said in journal.activations_of(slot.stage, slot.partition):
            slot.core.activate(said.at_ms, rules[said.config_hash], said.announced_at)
        if slot.stage == MODELS:
            for renewed in journal.renewed_of(slot.partition):
                slot.core.renew(renewed)
        if slot.stage == ALERTS:
            for noticed in journal.noticed_of(slot.partition):
                slot.core.notice(noticed)
        if slot.stage != SOURCES:
            return
        for entry in journal.sheds_of(slot.partition):
            if entry.at_offset >= slot.offsets[SIDES[entry.side]]:
                slot.core.shed(Wish(entry.side, entry.what, entry.level), entry.at_offset)
        for taken in journal.accepted_of(slot.partition):
            if taken.at_offset >= slot.offsets[SIDES[taken.side]]:
                due = slot.due_accepted.setdefault(taken.side, [])
                due.append((taken, rules[taken.config_hash]))
                due.sort(key=lambda accepted: accepted[0].at_offset)
