"""Renewals: the owner of a model accepts how things are, and a new reference is gathered.

Announced on `leeway.control` for an event time. The owner of the model's partition of stage 2
journals from which ready time on it holds: the announced one, or the first that it has not
released yet. The old reference ends before the first pane of that ready time or later, and what
fires with it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from stream.columns import Group


@dataclass(frozen=True, slots=True)
class Renewal:
    """An announcement: of this model, or of one version of it, from then on."""

    effective_at_ms: int
    model_id: str
    version: str | None = None  # None: of all versions

    def encode(self) -> bytes:
        return msgspec.json.encode(
            {
                "type": "reference",
                "effective_at": self.effective_at_ms,
                "model_id": self.model_id,
                "model_version": self.version,
            }
        )


@dataclass(frozen=True, slots=True, order=True)
class InForce:
    """From this ready time on."""

    at_ms: int
    announced_at: int  # offset of the control record
    model_id: str
    version: str  # empty: of all versions

    def is_of(self, group: Group) -> bool:
        return self.model_id == group[0] and self.version in {"", group[1]}


class Renewals:
    """Of the models of one partition of stage 2, by ready time."""

    def __init__(self) -> None:
        self._all: list[InForce] = []

    def add(self, at_ms: int, announced_at: int, model_id: str, version: str | None) -> None:
        """Each comes into force once."""
        if not self.has(announced_at):
            insort(self._all, InForce(at_ms, announced_at, model_id, version or ""))

    def has(self, announced_at: int) -> bool:
        return any(one.announced_at == announced_at for one in self._all)

    def latest(self, group: Group, ready_ms: int) -> InForce | None:
        """The last that holds for a pane of this ready time."""
        held = [one for one in self._all if one.at_ms <= ready_ms and one.is_of(group)]
        return held[-1] if held else None

    def within(self, group: Group, first_ms: int, last_ms: int) -> list[int]:
        """Ready times in (first_ms, last_ms] at which one comes into force, rising."""
        times = [one.at_ms for one in self._all if one.is_of(group)]
        return [at_ms for at_ms in times if first_ms < at_ms <= last_ms]

    def snapshot(self) -> list[Any]:
        return [[one.at_ms, one.announced_at, one.model_id, one.version] for one in self._all]

    @classmethod
    def restore(cls, plain: Iterable[Any]) -> Renewals:
        renewals = cls()
        for one in plain:
            renewals.add(*one)
        return renewals
