"""The notices that stage 3 knows, and what they mean to an alert."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from stream.alert_forms import alert_ids
from stream.columns import Group
from stream.events import Alert
from stream.members import Member
from stream.notices import Notice


class NoticeBook:
    """By offset of the control record, and by the ready time from which on they hold."""

    def __init__(self) -> None:
        self._all: dict[int, tuple[int, Notice]] = {}  # by offset of the control record
        self._acknowledged: dict[str, list[int]] = {}  # what is named -> ready times
        self._of_model: dict[str, list[tuple[int, int, Notice]]] = {}  # of models, by ready time

    def __len__(self) -> int:
        return len(self._all)

    def add(self, announced_at: int, at_ms: int, notice: Notice) -> None:
        """Each comes into force once."""
        if announced_at in self._all:
            return
        self._all[announced_at] = at_ms, notice
        if notice.type != "acknowledgement":
            insort(
                self._of_model.setdefault(notice.model_id, []),
                (at_ms, announced_at, notice),
                key=lambda told: told[:2],
            )
            return
        named = notice.alert_id or notice.incident_id or notice.fingerprint
        self._acknowledged.setdefault(named, []).append(at_ms)

    def has(self, announced_at: int) -> bool:
        return announced_at in self._all

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

    def events(self, model_id: str) -> list[tuple[int, int, Notice]]:
        """Business events: (offset of the record, ready time, what was told)."""
        return [
            (announced_at, at_ms, said)
            for at_ms, announced_at, said in self._of_model.get(model_id, ())
            if said.type == "business_event"
        ]

    # -- state

    def snapshot(self) -> list[Any]:
        return [[at, ms, msgspec.to_builtins(said)] for at, (ms, said) in self._all.items()]

    def restore(self, plain: Iterable[tuple[int, int, Mapping[str, Any]]]) -> None:
        for announced_at, at_ms, said in plain:
            self.add(announced_at, at_ms, msgspec.convert(said, Notice))
