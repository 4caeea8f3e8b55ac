"""What was asked for already, by fingerprint of the request, as long as it may be asked again:

- of an incident, or of an alert alone, while alerts of it are known;
- of a business event, until that is forgotten;
- of a comparison, which stage 2 asks for once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from stream.columns import Group
from stream.events import Request

_EVENT, _COMPARISON = "business_event", "comparison"


class RequestBook:
    def __init__(self) -> None:
        # ready time, and what it is of: an incident, an alert, or one of the above; None: one of
        # those, from a state that did not say which
        self._asked: dict[str, tuple[int, str | None]] = {}
        self._retrain: dict[tuple[str, str], int] = {}  # model and role -> ready time

    def add(self, request: Request, at_ms: int) -> bool:
        """Whether it is the first of its cause."""
        if request.fingerprint in self._asked:
            return False
        self._asked[request.fingerprint] = at_ms, _of(request)
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

    def forget(self, before_ms: int, known: Collection[str]) -> None:
        """What was asked for before this ready time, unless its incident, or its alert, is known
        yet: no alert that is judged later can be of another one."""
        gone = [
            fingerprint
            for fingerprint, (at_ms, of) in self._asked.items()
            if at_ms < before_ms and of not in {None, _EVENT} and of not in known
        ]
        for fingerprint in gone:
            del self._asked[fingerprint]

    def forget_one(self, fingerprint: str) -> None:
        """Of an event that counts no more."""
        self._asked.pop(fingerprint, None)

    def snapshot(self) -> dict[str, list[Any]]:
        return {
            "asked": [[name, *asked] for name, asked in self._asked.items()],
            "retrain": [[*of, at_ms] for of, at_ms in self._retrain.items()],
        }

    def restore(self, plain: Mapping[str, list[Any]]) -> None:
        self._asked = {name: (at_ms, of) for name, at_ms, of in plain["asked"]}
        self._retrain = {(model_id, role): at_ms for model_id, role, at_ms in plain["retrain"]}


def _of(request: Request) -> str:
    if request.incident_id is not None:
        return request.incident_id
    for said in request.reasons:
        if said.get("trigger") == "business_event":
            return _EVENT
        if said.get("trigger") == "cadence":
            return str(said["alert_id"])
    return _COMPARISON
