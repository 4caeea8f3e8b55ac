"""The notices that stage 3 knows, and what they mean to an alert.

Forgotten is what can count for nothing any more, whenever that is looked at: an acknowledgement of
an alert or incident that `kept_ms` later is not known any more, a retraining behind which there is
another one of the same, a business event that is older than `kept_ms` and the cooldown in force
when it came.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from stream.alert_forms import alert_ids
from stream.columns import Group
from stream.events import Alert
from stream.members import Member
from stream.notices import Notice


class NoticeBook:
    """By offset of the control record, and by the ready time from which on they hold."""

    def __init__(self, kept_ms: int, cooldown_ms: Callable[[str, int], int]) -> None:
        """`cooldown_ms`: of a model at a ready time."""
        self._kept_ms, self._cooldown_ms = kept_ms, cooldown_ms
        self.changes = 0  # rises as there are others
        self._forgot = 0  # all notices of before this offset were known
        self._all: dict[int, tuple[int, Notice]] = {}  # by offset of the control record
        self._acknowledged: dict[str, list[int]] = {}  # what is named -> ready times
        self._of_model: dict[str, list[tuple[int, int, Notice]]] = {}  # of models, by ready time

    def __len__(self) -> int:
        return len(self._all)

    def add(self, announced_at: int, at_ms: int, notice: Notice) -> None:
        """Each comes into force once."""
        if self.has(announced_at):
            return
        self.changes += 1
        self._all[announced_at] = at_ms, notice
        if notice.type != "acknowledgement":
            insort(
                self._of_model.setdefault(notice.model_id, []),
                (at_ms, announced_at, notice),
                key=lambda told: told[:2],
            )
            return
        self._acknowledged.setdefault(_named(notice), []).append(at_ms)

    def has(self, announced_at: int) -> bool:
        return announced_at in self._all or announced_at < self._forgot

    def acknowledged_ms(self, member: Member, alert: Alert) -> int | None:
        """When somebody first took this alert, or its incident, in hand."""
        if not self._acknowledged:
            return None
        of_it = [at for name in alert_ids(alert) for at in self._acknowledged.get(name, ())]
        of_it += [
            max(at, since_ms)
            for name, since_ms in member.incidents()
            for at in self._acknowledged.get(name, ())
        ]
        since_ms = member.fired_ms  # an earlier one was of an earlier alert
        of_it += [at for at in self._acknowledged.get(member.fingerprint, ()) if at >= since_ms]
        return min(of_it, default=None)

    # -- models

    def models(self) -> list[str]:
        return list(self._of_model)

    def of_model(self, model_id: str) -> list[tuple[int, Notice]]:
        return [(at_ms, said) for at_ms, _, said in self._of_model.get(model_id, ())]

    def retrained_ms(self, group: Group, at_ms: int) -> int:
        """When this version was last retrained, as is known then; -1: never."""
        times = [
            held_ms
            for held_ms, said in self.of_model(group[0])
            if said.type == "retrained" and held_ms <= at_ms
            if said.model_version in {"", group[1]}
        ]
        return max(times, default=-1)

    def events(self, model_id: str, at_ms: int) -> list[tuple[int, int, Notice]]:
        """Business events that count then, or will: (offset of the record, ready time, what was
        told)."""
        return [
            (announced_at, held_ms, said)
            for held_ms, announced_at, said in self._of_model.get(model_id, ())
            if said.type == "business_event" and not self._is_past(held_ms, said, at_ms)
        ]

    def _is_past(self, held_ms: int, event: Notice, at_ms: int) -> bool:
        cooldown_ms = self._cooldown_ms(event.model_id, held_ms)
        return held_ms + self._kept_ms + cooldown_ms < at_ms

    # -- forgetting

    def forget(self, reached_ms: int, names: Collection[str]) -> list[tuple[int, Notice]]:
        """What can count no more once everything has come to this ready time: events among it.
        `names`: of alerts and incidents that are known."""
        seen: set[tuple[str, str]] = set()
        gone: list[tuple[int, Notice]] = []
        for announced_at, (at_ms, said) in sorted(self._all.items(), key=_latest_first):
            if said.type == "acknowledgement":
                is_gone = at_ms + self._kept_ms < reached_ms and _named(said) not in names
            elif said.type == "business_event":
                is_gone = self._is_past(at_ms, said, reached_ms)
            else:
                of = said.model_id, said.model_version
                is_gone = of in seen
                seen |= {of} if at_ms <= reached_ms else set()
            if is_gone:
                gone.append((announced_at, said))
        if gone:
            past = {at for at, _ in gone}
            left = {at: one for at, one in self._all.items() if at not in past}
            forgot = max(self._forgot, 1 + max(past))
            self._all, self._acknowledged, self._of_model, self._forgot = {}, {}, {}, 0
            for announced_at, (at_ms, said) in left.items():
                self.add(announced_at, at_ms, said)
            self._forgot, self.changes = forgot, self.changes + 1
        return [(at, said) for at, said in gone if said.type == "business_event"]

    # -- state

    def snapshot(self) -> list[Any]:
        return [[at, ms, msgspec.to_builtins(said)] for at, (ms, said) in self._all.items()]

    @property
    def forgot(self) -> int:
        """Belongs to the snapshot."""
        return self._forgot

    def restore(self, plain: Iterable[tuple[int, int, Mapping[str, Any]]], forgot: int) -> None:
        for announced_at, at_ms, said in plain:
            self.add(announced_at, at_ms, msgspec.convert(said, Notice))
        self._forgot = forgot


def _named(acknowledgement: Notice) -> str:
    told = acknowledgement
    return told.alert_id or told.incident_id or told.fingerprint


def _latest_first(of: tuple[int, tuple[int, Notice]]) -> tuple[int, int]:
    announced_at, (at_ms, _) = of
    return -at_ms, -announced_at
