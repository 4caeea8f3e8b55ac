"""What was asked for already, by fingerprint of the request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from stream.columns import Group
from stream.events import Request


class RequestBook:
    def __init__(self) -> None:
        self._asked: dict[str, tuple[int, str | None]] = {}  # ready time, and the incident
        self._retrain: dict[tuple[str, str], int] = {}  # model and role -> ready time

    def add(self, request: Request, at_ms: int) -> bool:
        """Whether it is the first of its cause."""
        if request.fingerprint in self._asked:
            return False
        self._asked[request.fingerprint] = at_ms, request.incident_id
        if request.type == "retrain":
            self._retrain[request.model.id, request.model.role] = at_ms
        return True

    def asked_ms(self, fingerprint: str) -> int | None:
        asked = self._asked.get(fingerprint)
        return None if asked is None else asked[0]

    def retrain_ms(self, group: Group) -> int | None:
        """When retraining of this model and role was last asked for."""
        return self._retrain.get((group[0], group[2]))

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._asked

    def forget(self, before_ms: int, fires: Collection[str]) -> None:
        """What was asked for before this ready time, unless its incident has alerts that fire."""
        gone = [
            fingerprint
            for fingerprint, (at_ms, incident_id) in self._asked.items()
            if at_ms < before_ms and incident_id is not None and incident_id not in fires
        ]
        for fingerprint in gone:
            del self._asked[fingerprint]

    def snapshot(self) -> dict[str, list[Any]]:
        return {
            "asked": [[name, *asked] for name, asked in self._asked.items()],
            "retrain": [[*of, at_ms] for of, at_ms in self._retrain.items()],
        }

    def restore(self, plain: Mapping[str, list[Any]]) -> None:
        self._asked = {name: (at_ms, incident_id) for name, at_ms, incident_id in plain["asked"]}
        self._retrain = {(model_id, role): at_ms for model_id, role, at_ms in plain["retrain"]}
