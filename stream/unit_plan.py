"""Which units are watched against which reference, each for its part of the budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from detectors.shape import split
from stream.budget import late_share, shares
from stream.estimated_error import ESTIMATE, SCORE, is_probability, largest_of
from stream.judged_units import judged_units
from stream.pane_kinds import PaneKind, further_age_of, is_judged
from stream.profile import Profile
from stream.rules import Rules
from stream.units import OF_NUMBERS, OF_TEXTS, SHAPED, Measure, Unit, is_fault
from stream.watched import Ground, Key, Watched, watched


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature, or a measure of the predictions or outcomes."""

    name: str
    numeric: bool
    profile: Profile  # of the reference that knows it
    late: int | None = None  # it came when the others had their reference, in this place


def units_of(feature: Feature, kind: PaneKind, rules: Rules, model_id: str) -> list[Unit]:
    name, profile = feature.name, feature.profile
    if is_judged(kind):
        judged = judged_units(
            name, profile, rules.model(model_id), proven=rules.is_proven(model_id)
        )
        return [u for u in judged if not u.is_twin or further_age_of(kind) is None]
    numbers = profile.number(name) if feature.numeric else None
    of_features = name.startswith("feature:")
    units: list[Unit] = []
    if numbers is not None:
        units.append(Unit.of(name, "shift"))
    if name == SCORE and is_probability(profile.reference):
        units.append(Unit.of(ESTIMATE, "estimate", 1, largest_of(profile.reference)))
    shape = numbers if feature.numeric else profile.text(name)
    if shape is not None and (of_features or name in SHAPED):
        units.append(Unit.of(name, "shape", len(shape.bins)))
    if of_features and rules.rates.enabled:
        faults: tuple[Measure, ...] = OF_NUMBERS if feature.numeric else OF_TEXTS
        units += [Unit.of(name, fault) for fault in faults if _is_known(feature, fault)]
    return units


def _is_known(feature: Feature, fault: Measure) -> bool:
    frozen = feature.profile.reference.feature(feature.name)
    assert frozen is not None
    if fault == "out_of_range":
        return feature.profile.number(feature.name) is not None
    return fault != "unseen" or bool(frozen.text[0])


def plan(
    wanted: Sequence[tuple[Feature, Unit]],
    kind: PaneKind,
    rules: Rules,
    model_id: str,
    *,
    ground: Ground,
    keep: Callable[[Key, Feature], Watched | None],
    tau: Callable[[Feature, Unit], tuple[float, ...]],
) -> list[Watched]:
    """What is to be watched, in order, of what there may be. `keep`: a unit that may go on as it is
    watched now, unless it has more than its share; `tau`: how much the values of its columns
    depend."""
    judged = is_judged(kind)
    sources = rules.sources * (rules.judgements_of(model_id) if judged else 1)
    each = [(feature, unit, unit.item) for feature, unit in wanted]
    items = list(dict.fromkeys(item for f, _, item in each if f.late is None))
    if not judged:  # what is watched across models is paid by each of them
        items += [("features", f"feature:{n}", "shared") for n in rules.shared_of(model_id)]
    share = dict(zip(items, shares(item[0] for item in items), strict=True))
    both = {(f.name, item) for f, unit, item in each if unit.measure == "shape"}
    both &= {(f.name, item) for f, unit, item in each if unit.measure == "shift"}
    planned: list[Watched] = []
    for feature, unit, item in each:
        late = feature.late
        part = share[item] if late is None else late_share(late, judged=judged)
        part /= sources
        if (feature.name, item) in both and not is_fault(unit.measure):
            split_up = split(part, bins=1, numeric=True)
            part = split_up.mean if unit.measure == "shift" else split_up.per_bin
        kept = keep((unit.name, unit.measure), feature)
        if kept is not None and kept.share <= part:
            planned.append(kept)
            continue
        of = tau(feature, unit)
        planned.append(
            watched(unit, feature.profile, ground, numeric=feature.numeric, share=part, tau=of)
        )
    return planned
