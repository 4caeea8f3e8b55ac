"""What there is to choose from: models and kinds of faults."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from stream.simulate import faults_data, faults_service, faults_version, faults_world
from stream.simulate.deployment import Deployment
from stream.simulate.fault import Fault
from stream.simulate.fault_text import FaultText
from stream.simulate.fraud import FRAUD
from stream.simulate.model import Model
from stream.simulate.population import segment_code
from stream.simulate.pricing import PRICING

MODELS = {model.name: model for model in (FRAUD, PRICING)}
FAULTS: dict[str, type[Fault]] = {
    kind.kind: kind
    for kind in (
        *faults_data.KINDS,
        *faults_world.KINDS,
        *faults_service.KINDS,
        *faults_version.KINDS,
    )
}


def faults_of(
    texts: Sequence[FaultText], champions: dict[str, Deployment], start_ms: int
) -> dict[str, list[Fault]]:
    """The faults of each model; one that names no model is of all that have its target.

    Raises ValueError for one that is of none of them.
    """
    found: dict[str, list[Fault]] = {name: [] for name in champions}
    for text in texts:
        kind = FAULTS.get(text.kind)
        if kind is None:
            raise ValueError(f"no fault {text.kind!r}{_near(text.kind, FAULTS)}")
        named = text.options.get("model")
        if named is not None and named not in champions:
            raise ValueError(
                f"{text.kind}: no model {named!r} here: there is {', '.join(champions)}"
            )
        refused: list[str] = []
        for name in champions if named is None else [named]:
            try:
                check_target(kind, text, MODELS[name])
                key = _key(text, [fault.key for fault in found[name]])
                fault = kind(text, MODELS[name], champions[name], start_ms, key)
            except ValueError as error:
                refused.append(str(error))
            else:
                found[name].append(fault)
        if len(refused) == (len(champions) if named is None else 1):
            raise ValueError("; ".join(dict.fromkeys(refused)))
    return found


def _key(text: FaultText, taken: Sequence[str]) -> str:
    """Kind and target, so that the others can change without it; numbered among its likes."""
    key = "-".join(filter(None, (text.kind, text.target)))
    twins = sum(each.partition("#")[0] == key for each in taken)
    return f"{key}#{twins}" if twins else key


_NUMBERS = ("number", "integer")
_FEATURES = {
    "number": _NUMBERS,
    "pair": _NUMBERS,
    "category": ("category",),
    "feature": (*_NUMBERS, "category", "flag"),
}
"""Target of a fault to the kinds of features that it may be."""


def check_target(kind: type[Fault], text: FaultText, model: Model) -> None:
    """Raises ValueError, saying which targets there are."""
    target = text.target
    if kind.target in _FEATURES:
        _check_features(kind, target, model)
    elif kind.target == "nothing" and target is not None:
        raise ValueError(f"{kind.kind} has no target")
    elif kind.target == "segment" and target is not None:
        segment_code(target)
    elif kind.target == "way" and target not in {None, *kind.ways}:
        raise ValueError(f"{kind.kind}: no {target!r}: there is {', '.join(kind.ways)}")


def _check_features(kind: type[Fault], target: str | None, model: Model) -> None:
    allowed = _FEATURES[kind.target]
    names = [feature.name for feature in model.features if feature.kind in allowed]
    if target is None:
        if kind.is_target_free:
            return
        example = "+".join(names[:2]) if kind.target == "pair" else names[0]
        raise ValueError(f"{kind.kind} needs a target: {kind.kind}:{example}")
    given = target.split("+") if kind.target == "pair" else [target]
    if kind.target == "pair" and len(set(given)) != 2:
        raise ValueError(f"{kind.kind} needs two features: {kind.kind}:{'+'.join(names[:2])}")
    for name in given:
        feature = model.feature(name)
        if feature is None:
            raise ValueError(
                f"{kind.kind}: {model.name} has no feature {name!r}{_near(name, names)}"
            )
        if feature.kind not in allowed:
            raise ValueError(
                f"{kind.kind}: {name} of {model.name} is a {feature.kind}; "
                f"possible: {', '.join(names)}"
            )


def _near(name: str, names: Sequence[str] | dict[str, type[Fault]]) -> str:
    near = get_close_matches(name, names, n=1)
    return f" (did you mean {near[0]}?)" if near else f": there is {', '.join(names)}"


def described() -> str:
    """Models and faults, for people."""
    lines = ["models"]
    for model in MODELS.values():
        lines.append(f"  {model.name}: {model.what} ({model.task}, {model.feature_set})")
        lines += [
            f"    {feature.name:<20}{feature.kind:<10}{feature.what}" for feature in model.features
        ]
    lines.append("faults: KIND[:TARGET]@ONSET[..END][,INTENSITY][,OPTION=VALUE]...")
    for kind in FAULTS.values():
        targets = {"nothing": "", "way": ":" + "|".join(kind.ways), "pair": ":A+B"}
        intensity = "" if kind.default is None else f"; intensity: {kind.unit} ({kind.default:g})"
        options = "".join(f"; {name}=" for name in (*kind.options, "model", "where"))
        lines.append(f"  {kind.kind}{targets.get(kind.target, f':{kind.target.upper()}')}")
        lines.append(f"    {kind.what}{intensity}{options}")
    return "\n".join(lines)
