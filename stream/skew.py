"""Offline/online skew: the features that a model was given, beside those that its training code
computes for the same predictions, value by value.

Pure and exact: counts, and sums of fractions; the order of either side does not show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeGuard, TypeVar

import msgspec

from stream.events import Prediction

Of = TypeVar("Of")
NEAR = 1e-9  # numbers so near are equal: two languages print a sum differently


class OfflineValues(msgspec.Struct):
    """One line: a prediction event will do, too."""

    prediction_id: str
    features: dict[str, Any]
    model_id: str | None = None  # None: of whichever model has the id


class Refused:
    """Records of a side that are none of it, counted; the first one's fault is kept."""

    def __init__(self) -> None:
        self.count = 0
        self.why = ""

    def note(self, error: Exception) -> None:
        self.count += 1
        self.why = self.why or str(error)


@dataclass(slots=True)
class FeatureSkew:
    name: str
    compared: int = 0  # values that offline has, of predictions that online has
    differing: int = 0
    not_online: int = 0  # of the differing: online it is absent
    not_offline: int = 0  # predictions for which offline lacks it
    numbers: int = 0  # of the differing: both are numbers
    total: Fraction = Fraction(0)  # online less offline, of these
    example: tuple[str, Any, Any] | None = None  # least id that differs, online, offline

    @property
    def share(self) -> float:
        return self.differing / self.compared if self.compared else 0.0

    @property
    def mean_difference(self) -> float | None:
        """Online less offline, of the numbers that differ; None also beyond all doubles."""
        try:
            return float(self.total / self.numbers) if self.numbers else None
        except OverflowError:
            return None

    def facts(self) -> dict[str, Any]:
        example = None
        if self.example is not None:
            example = dict(zip(("prediction_id", "online", "offline"), self.example, strict=True))
        return {
            "feature": self.name,
            "compared": self.compared,
            "differing": self.differing,
            "share": float(f"{self.share:.6g}"),
            "mean_difference": self.mean_difference,
            "not_online": self.not_online,
            "not_offline": self.not_offline,
            "example": example,
        }


@dataclass(frozen=True, slots=True)
class Skew:
    matched: int  # predictions that both sides have
    only_offline: int
    only_online: int
    twice: int  # predictions of an id that was compared already
    features: list[FeatureSkew]  # the most skewed first

    def beyond(self, share: float) -> list[FeatureSkew]:
        """Of which more than this share differs."""
        return [feature for feature in self.features if feature.share > share]


Key = tuple[str | None, str]


def offline_of(lines: Iterable[bytes], refused: Refused) -> dict[Key, dict[str, Any]]:
    """By model (None where none is named) and id; of an id that comes twice the first."""
    found: dict[Key, dict[str, Any]] = {}
    for one in _decoded(lines, msgspec.json.Decoder(OfflineValues), refused):
        found.setdefault((one.model_id, one.prediction_id), one.features)
    return found


def predictions_of(lines: Iterable[bytes], refused: Refused) -> Iterator[Prediction]:
    return _decoded(lines, msgspec.json.Decoder(Prediction), refused)


def _decoded(
    lines: Iterable[bytes], decoder: msgspec.json.Decoder[Of], refused: Refused
) -> Iterator[Of]:
    for line in lines:
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            refused.note(error)


def compare(
    predictions: Iterable[Prediction],
    offline: Mapping[Key, Mapping[str, Any]],
    *,
    role: str = "champion",
    near: float = NEAR,
) -> Skew:
    """Of predictions in this role, each id of a model once."""
    seen: set[Key] = set()
    features: dict[str, FeatureSkew] = {}
    only_online = twice = 0
    for event in predictions:
        if event.role != role:
            continue
        keys: tuple[Key, ...] = (
            (event.model_id, event.prediction_id),
            (None, event.prediction_id),
        )
        key = next((key for key in keys if key in offline), None)
        if key is None:
            only_online += 1
            continue
        if key in seen:
            twice += 1
            continue
        seen.add(key)
        for name, value in offline[key].items():
            feature = features.setdefault(name, FeatureSkew(name))
            _compare(feature, event, value, near)
    for feature in features.values():
        feature.not_offline = len(seen) - feature.compared
    ranked = sorted(features.values(), key=lambda f: (-f.share, f.name))
    return Skew(len(seen), len(offline) - len(seen), only_online, twice, ranked)


def _compare(feature: FeatureSkew, event: Prediction, offline: Any, near: float) -> None:
    feature.compared += 1
    is_there = feature.name in event.features
    online = event.features.get(feature.name)
    if is_there and _is_equal(online, offline, near):
        return
    feature.differing += 1
    feature.not_online += not is_there
    if is_there and _is_number(online) and _is_number(offline):
        feature.numbers += 1
        feature.total += Fraction(online) - Fraction(offline)
    example = (event.prediction_id, online, offline)
    if feature.example is None or example[0] < feature.example[0]:
        feature.example = example


def _is_equal(online: Any, offline: Any, near: float) -> bool:
    if _is_number(online) and _is_number(offline):
        if online == offline:
            return True
        apart = abs(Fraction(online) - Fraction(offline))
        return apart <= Fraction(near) * max(abs(Fraction(online)), abs(Fraction(offline)))
    return type(online) is type(offline) and bool(online == offline)


def _is_number(value: Any) -> TypeGuard[int | float]:
    """Booleans are watched as 1 and 0."""
    return isinstance(value, int | float)


def lines(skew: Skew, share: float) -> Iterator[str]:
    """For people."""
    yield (
        f"{skew.matched:,} predictions compared, {skew.only_offline:,} are offline only, "
        f"{skew.only_online:,} online only, {skew.twice:,} came twice"
    )
    for feature in skew.features:
        if not feature.differing:
            continue
        mark = "SKEW" if feature.share > share else "    "
        mean = feature.mean_difference
        more = "" if mean is None else f", online {mean:+.4g} on average"
        more += f", {feature.not_online:,} absent online" if feature.not_online else ""
        assert feature.example is not None
        name, online, offline = feature.example
        yield (
            f"{mark} {feature.name}: {100 * feature.share:.3g} % of {feature.compared:,} values "
            f"differ{more}; {name} has {_text(online)} online, {_text(offline)} offline"
        )
    same = sum(not feature.differing for feature in skew.features)
    yield f"{same} of {len(skew.features)} features are the same"


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:64]
