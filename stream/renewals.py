"""Renewals: the owner of a model accepts how things are, and a new reference is gathered; or a
version is given one that was made before (`stream.deployment`).

Announced on `leeway.control` for an event time. The owner of the model's partition of stage 2
journals from which ready time on it holds: the announced one, or the first that it has not
released yet. The old reference ends before the first pane of that ready time or later, and what
fires with it. A reference that is deployed is there for a version that has not begun as well.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from stream.columns import Group
from stream.deployment import Deployment
from stream.pane_kinds import PaneKind
from stream.reference import Reference
from stream.rules import Rules
from stream.snapshot import Part, pack, unpack

_MAGIC, _VERSION = b"Y", 1


@dataclass(frozen=True, slots=True)
class Renewal:
    """An announcement: of this model, or of one version of it, from then on."""

    effective_at_ms: int
    model_id: str
    version: str | None = None  # None: of all versions
    references: tuple[bytes, ...] = ()  # sealed ones that are deployed; none: gather one
    built: dict[str, Any] = field(default_factory=dict)  # under which terms they were built

    def encode(self) -> bytes:
        plain: dict[str, Any] = {
            "type": "reference",
            "effective_at": self.effective_at_ms,
            "model_id": self.model_id,
            "model_version": self.version,
        }
        if self.references:
            plain |= {"references": self.references, "built": self.built}
            if not self.effective_at_ms:  # as soon as the version answers
                del plain["effective_at"]
        return msgspec.json.encode(plain)

    def misfits(self, rules: Rules) -> list[str]:
        """Why what is deployed cannot be compared with under these rules; empty: it can."""
        if not self.references:
            return []
        return Deployment(self.references).misfits(self.built, self.model_id, rules)


@dataclass(frozen=True, slots=True, order=True)
class InForce:
    """From this ready time on."""

    at_ms: int
    announced_at: int  # offset of the control record
    model_id: str
    version: str  # empty: of all versions
    deployment: Deployment | None = field(default=None, compare=False)

    def is_of(self, group: Group, kind: PaneKind) -> bool:
        if self.model_id != group[0] or self.version not in {"", group[1]}:
            return False
        return self.deployment is None or (kind, group[3]) in self.deployment.references

    def reference(self, group: Group, kind: PaneKind) -> Reference | None:
        """That is deployed; None: one is to be gathered."""
        return None if self.deployment is None else self.deployment.references[kind, group[3]]


class Renewals:
    """Of the models of one partition of stage 2, by ready time."""

    def __init__(self) -> None:
        self._all: list[InForce] = []
        self._of: dict[str, list[InForce]] = {}  # the same by model
        self._announced: set[int] = set()

    def add(
        self,
        at_ms: int,
        announced_at: int,
        model_id: str,
        version: str | None,
        references: Iterable[bytes] = (),
    ) -> None:
        """Each comes into force once."""
        if not self.has(announced_at):
            given = tuple(references)
            deployment = Deployment(given) if given else None
            one = InForce(at_ms, announced_at, model_id, version or "", deployment)
            self._announced.add(announced_at)
            insort(self._all, one)
            insort(self._of.setdefault(model_id, []), one)

    def has(self, announced_at: int) -> bool:
        return announced_at in self._announced

    def deploys(self, model_id: str) -> bool:
        """Whether a version of this model is given a reference at some time."""
        return any(one.deployment is not None for one in self._of.get(model_id, ()))

    def deployed(self) -> Iterator[InForce]:
        """By when they are in force."""
        return (one for one in self._all if one.deployment is not None)

    def latest(self, group: Group, kind: PaneKind, ready_ms: int) -> InForce | None:
        """The last that holds for a pane of this ready time."""
        of = self._of.get(group[0], ())
        held = [one for one in of if one.at_ms <= ready_ms and one.is_of(group, kind)]
        return held[-1] if held else None

    def accepted(self, group: Group, ready_ms: int) -> InForce | None:
        """The last that holds for its traffic: nothing that is deployed knows any."""
        held = [
            one
            for one in self._of.get(group[0], ())
            if one.deployment is None and one.at_ms <= ready_ms and one.is_of(group, "prediction")
        ]
        return held[-1] if held else None

    def within(self, group: Group, kind: PaneKind, first_ms: int, last_ms: int) -> list[int]:
        """Ready times in (first_ms, last_ms] at which one comes into force, rising."""
        times = [one.at_ms for one in self._of.get(group[0], ()) if one.is_of(group, kind)]
        return [at_ms for at_ms in times if first_ms < at_ms <= last_ms]

    # -- state

    def snapshot(self) -> list[Any]:
        return [[one.at_ms, one.announced_at, one.model_id, one.version] for one in self._all]

    def parts(self) -> list[Part]:
        """The references themselves: they never change."""
        return [
            Part(_name(one.announced_at), 0, partial(pack, _MAGIC, _VERSION, [*of.sealed]))
            for one in self._all
            if (of := one.deployment) is not None
        ]

    @classmethod
    def restore(cls, plain: Iterable[Any], state: Mapping[str, bytes]) -> Renewals:
        """Of a snapshot and the parts among which its references are."""
        renewals = cls()
        for at_ms, announced_at, model_id, version in plain:
            part = state.get(_name(announced_at))
            references = () if part is None else unpack(_MAGIC, _VERSION, part)
            renewals.add(at_ms, announced_at, model_id, version, references)
        return renewals


def _name(announced_at: int) -> str:
    return f"deployed/{announced_at}"
