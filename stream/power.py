"""What would be found: of each unit the smallest change that is told, and how soon.

For people who choose budgets, references and floors; nothing that is decided depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.power import smallest_change, sure_delay
from stream.columns import Group
from stream.standards import Standards
from stream.unit_tilts import Terms, tilts_of
from stream.watch import Watch
from stream.watched import Watched

WITHIN = 20_000
"""Values within which a change that counts as found is told, 19 times in 20."""

_MUCH = 1.5  # loss of power worth a note
UNTOLD = "told when its reference is sealed: until then it may be the hour"
MUTE = "told when its reference is sealed: it has come and gone before"
_EDGE = 1.0 - 1e-9  # of the room between a rate and 0 or 1
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Power:
    """`smallest`: in σ on ranks, else a difference of shares or costs; not below the floor, which
    nothing is told below. None: no change is found within `WITHIN` values."""

    smallest: float | None
    values: float | None  # within which one of that size is told
    loss: float  # times as large as if values did not depend on each other


def powers(terms: Sequence[Terms]) -> list[Power]:
    """Of each unit, on its terms; of several columns, that of the one least sure. Rises and
    falls of a rate differ: it is for rises, where one is found."""
    if not terms:
        return []
    sizes, delays, found = _sizes(terms)
    bound = [i for i, of in enumerate(terms) if max(of.tau) > 1.0]
    loss = np.ones(len(terms))
    if bound:
        alone, _, _ = _sizes([replace(terms[i], tau=(1.0,)) for i in bound])
        loss[bound] = np.maximum(sizes[bound] / alone, 1.0)
    return [
        Power(float(size), float(delay), float(times)) if is_found else Power(None, None, 1.0)
        for size, delay, times, is_found in zip(sizes, delays, loss, found, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Lines:
    """What would be found in a group, at its traffic of late."""

    group: Group
    per_ms: float | None  # predictions

    def line(
        self, series: str, measure: str, power: Power, *, reference: str | None, values: int,
        tau: float, budget_share: float, floor: float, predictions: float | None, note: str | None,
    ) -> dict[str, Any]:  # fmt: skip
        """What would be found of one thing that is watched. `values` and id of its reference;
        `predictions`: until it is told."""
        model, version, role, _ = self.group
        seconds = None
        if predictions and self.per_ms:
            seconds = predictions / self.per_ms / 1_000
        return {
            "model": model,
            "version": version,
            "role": role,
            "series": series,
            "measure": measure,
            "reference": reference,
            "values": values,
            "tau": _short(tau),
            "budget_share": budget_share,
            "floor": _short(floor),
            "smallest": _short(power.smallest),
            "predictions": _short(predictions),
            "seconds": _short(seconds),
            "note": note,
        }


def shown(lines: Lines, watch: Watch, standards: Standards) -> list[dict[str, Any]]:
    """Of all units of a group."""
    found = []
    for one, power in zip(watch.watched.values(), powers(watch.terms()), strict=True):
        if one.unit.is_twin:  # it tells nothing
            continue
        reference = one.profile.reference
        predictions = None
        if power.values is not None:
            predictions = power.values * reference.count / max(_values(one), 1)
        found.append(
            lines.line(
                one.unit.name, one.unit.measure, power,
                reference=reference.id if standards.is_sealed(one.profile) else None,
                values=int(one.baseline.n.max()), tau=max(one.tau),
                budget_share=one.share, floor=one.floor,
                predictions=predictions, note=_note(one, power, standards),
            )
        )  # fmt: skip
    return found


def _values(one: Watched) -> int:
    """Of the reference's predictions, how many the unit has a value of."""
    frozen = one.profile.reference.feature(one.unit.name)
    if frozen is not None and one.unit.measure in {"shift", "shape"}:
        return int(frozen.number[0] + frozen.text[0])  # its ranks may be of a sample
    n = one.baseline.n
    return int(n.sum() if one.unit.is_split else n[0])


def _note(one: Watched, power: Power, standards: Standards) -> str | None:
    """What the reference is too short for."""
    if not standards.may_tell(one):
        return UNTOLD
    if standards.is_mute(one):
        return MUTE
    reference, name = one.profile.reference, one.unit.name
    inside = [c for c in reference.changes if c.since_ms >= reference.start_ms]
    if any(change.series == name for change in inside):
        return "it changed within its reference: take a longer one, if it comes and goes"
    return note_of(power)


def note_of(power: Power) -> str | None:
    if power.smallest is None:
        return "no change is found: too few values in the reference, for how they depend"
    if power.loss >= _MUCH:
        return f"its values depend: only changes {power.loss:.2g} times as large are found"
    return None


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _part_of_column(of: Terms) -> Floats:
    """Of the unit's values, how many are its columns': (columns,)."""
    n = of.baseline.n.astype(np.float64)
    return np.maximum(n, 1.0) / max(n.sum(), 1.0) if of.unit.is_split else np.ones(of.unit.columns)


def _are_known(of: Terms) -> NDArray[np.bool_]:
    """Columns that count: what a shape has none of in the reference, a category that is new, is
    seen at once, and says nothing of the others."""
    x: NDArray[np.bool_] = of.baseline.x > 0
    return x if of.unit.measure == "shape" else np.ones_like(x)


def _sizes(terms: Sequence[Terms]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """(units,): the smallest change, values until it is told, whether there is one."""
    columns = [of.unit.columns for of in terms]
    tilts = tilts_of(terms)
    steps = np.repeat([of.unit.steps for of in terms], columns)
    tilts = replace(tilts, gain=tilts.gain * steps[:, None])
    scale = np.where(tilts.is_rate, tilts.sd, 1.0)
    floor = np.repeat([of.floor for of in terms], columns) / scale
    part = np.concatenate([_part_of_column(of) for of in terms])
    change = smallest_change(tilts, within=WITHIN * part)
    may_fall = tilts.is_rate & ~np.repeat([of.unit.up_only for of in terms], columns)
    sign, falls = np.ones(len(change)), np.flatnonzero(np.isnan(change) & may_fall)
    if len(falls):
        sign[falls], within = -1.0, WITHIN * part[falls]
        change[falls] = smallest_change(tilts.take(falls), within=within, up=False)
    least = np.where(sign > 0.0, 1.0 - tilts.mean, tilts.mean)
    room = np.where(tilts.is_rate, least / tilts.sd * _EDGE, np.inf)
    has = np.isfinite(change) & np.concatenate([_are_known(of) for of in terms])
    change = np.minimum(np.fmax(change, floor), room)
    delay = sure_delay(tilts, sign * change) / part
    starts = np.cumsum([0, *columns[:-1]])
    sizes = np.maximum.reduceat(np.where(has, change * scale, -np.inf), starts)
    found = np.isfinite(sizes)
    unit = np.array([of.unit.scale for of in terms])
    late = np.maximum.reduceat(np.where(has, delay, -np.inf), starts)
    return np.where(found, sizes, 1.0) * unit, late, found
