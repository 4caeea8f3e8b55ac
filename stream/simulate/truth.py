"""What was injected, and what a good monitor says of it: truth.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from stream.demo.events import rfc3339
from stream.simulate.fault import Fault
from stream.simulate.spec import Spec


def truth(spec: Spec, faults: list[Fault]) -> dict[str, Any]:
    """One entry for each fault and model. `expected` are the alerts that should be raised, any of
    whose kinds and actions will do; alerts of the kinds in `follows` are consequences, to be folded
    into the same incident. `affected` counts what is not as it would be without the fault."""
    return {
        "schema_version": 1,
        "seed": spec.seed,
        "start": _time(spec.start_ms),
        "end": _time(spec.end_ms),
        "models": list(spec.models),
        "versions": [version.model_dump(mode="json") for version in spec.versions],
        "rate_per_s": spec.traffic.rate * 1_000,
        "faults": [_entry(fault, faults, spec) for fault in faults],
    }


def _entry(fault: Fault, faults: list[Fault], spec: Spec) -> dict[str, Any]:
    return {
        "model": fault.model.name,
        "kind": fault.kind,
        "target": fault.text.target,
        "scope": {"segment": fault.segment},
        "intensity": fault.intensity if fault.default is not None else None,
        "onset": _time(fault.onset_ms),
        "full": _time(fault.onset_ms + fault.ramp_ms),
        "end": _time(min(fault.end_ms, spec.end_ms)),
        "what": fault.what,
        **fault.facts(),
        "affected": {
            "count": fault.touched,
            "first": _time(fault.first_ms),
            "last": _time(fault.last_ms),
        },
        # The same upstream in several models: one incident.
        "shared_with": [
            other.model.name
            for other in faults
            if other.text == fault.text and other.model is not fault.model
        ],
        "expected": [asdict(each) for each in fault.expected()],
        "follows": list(fault.follows),
    }


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else rfc3339(np.array([time_ms], dtype=np.int64))[0]
