"""What probably is behind a feature's alert: named from the rows of the window and the reference's.

Asked only when something is told, so it costs nothing before. A feature that comes under another
name, as another type, in another unit or in the place of another feature, or that stays what it
was, is a fault of the pipeline, whichever of its units told it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.distance import ks
from detectors.ordered import median
from detectors.unit_maps import decimals_of, is_alike, on_grid, unit_of
from stream.alert_fields import short
from stream.columns import ABSENT, FEATURE, NUMBER, OTHER, TEXT, Column, Rows
from stream.constant import constant_of
from stream.events import Kind
from stream.reference import Reference
from stream.repeated import repeated_of
from stream.usual_runs import is_usual

MOST_PARTNERS = 256  # features that another one is compared with
_FEWEST_ROWS = 2  # on which a fault is told
_FEWEST_VALUES = 4
_TOLD_APART = 3  # values
_NEARLY = 0.95  # of rows, for all
_RARE = 0.01  # share of the reference's rows that a new name may be in
_DIFFERS = 1e-3  # p at which values are not the reference's
_APART = 0.3  # of two features (Kolmogorov-Smirnov): others may drift to each other's place
_FITS = 0.01  # p from which on they may be those of another feature
_SHOWN = 5
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Cause:
    what: str
    kind: Kind
    because: str  # for the summary
    facts: dict[str, Any] = field(default_factory=dict)
    is_certain: bool = False  # a fault, whatever told it; else it explains a fault that was told

    def shown(self) -> dict[str, Any]:
        return {"what": self.what, **self.facts}


class Known:
    """What was found for the features of a window, by a reference, and what is looked at for each
    of them again."""

    def __init__(self, window: Rows, reference: Reference) -> None:
        self.window, self.reference = window, reference
        self.of_values: dict[str, Cause | None] = {}  # what is behind the values of a feature
        self._usual: dict[str, NDArray[np.float64]] = {}

    @cached_property
    def parts(self) -> list[Rows]:
        """The whole and its later half: an onset is an estimate, and may be too early."""
        window = self.window
        ends = np.sort(window.pane_end)
        middle = int(ends[len(ends) // 2])
        return [window, window.between(middle, int(ends[-1]))] if middle > ends[0] else [window]

    def usual(self, name: str) -> NDArray[np.float64]:
        """Sampled values of the reference, ascending."""
        if name not in self._usual:
            column = self.reference.table.sample.columns.get(name)
            self._usual[name] = np.zeros(0) if column is None else np.sort(column.numbers()[1])
        return self._usual[name]


Look = Callable[[Rows, str, Known], Cause | None]


def cause_of(
    window: Rows | None,
    name: str,
    measure: str,
    reference: Reference,
    taus: Sequence[float] = (1.0,),
    *,
    known: Known | None = None,
) -> Cause | None:
    """Of what a feature's unit told; `name`: feature:<name>; `taus`: how many values are worth one
    in each of its accounts, infinite where nobody knows; `known`: of the same window and reference,
    what was found for others, and what is found now."""
    if window is None or not len(window) or not reference.knows(name):
        return None
    known = known or Known(window, reference)

    def first_of(*looks: Look) -> Cause | None:
        found = (look(rows, name, known) for look in looks for rows in known.parts)
        return next((cause for cause in found if cause is not None), None)

    looks = _LOOKS.get(measure, ())
    if looks is not _OF_VALUES:
        return first_of(*looks)
    found = first_of(partial(_stale, tau=max(taus)))
    if found is None:
        if name not in known.of_values:
            known.of_values[name] = first_of(*looks)
        found = known.of_values[name]
    # of bins some seem to depend; sessions, in which values repeat themselves, show in most
    return found or first_of(partial(_stuck, tau=median(taus)))


# -- the single causes


def _renamed(rows: Rows, name: str, known: Known) -> Cause | None:
    """It is gone where a feature that the reference does not know has come, with its values."""
    kinds = _kinds(rows, name)
    gone = kinds == ABSENT
    if int(gone.sum()) < _FEWEST_ROWS:
        return None
    heirs: list[tuple[float, str]] = []
    for other, column in sorted(rows.columns.items()):
        if other == name or not other.startswith(FEATURE) or not _is_new(known.reference, other):
            continue
        there = column.kind != ABSENT
        if there[gone].mean() < _NEARLY or there[~gone].sum() > (1 - _NEARLY) * (~gone).sum():
            continue
        if _is_like(column.take(np.flatnonzero(gone)), name, known):
            heirs.append((SequenceMatcher(None, name, other).ratio(), other))
    if not heirs:
        return None
    heirs.sort(key=lambda heir: (-heir[0], heir[1]))
    now = heirs[0][1].removeprefix(FEATURE)
    because = f"probably renamed: {now} has come in its place, with its values"
    facts: dict[str, Any] = {"from": name.removeprefix(FEATURE), "to": now}
    if len(heirs) > 1:
        facts["others"] = [other.removeprefix(FEATURE) for _, other in heirs[1 : 1 + _SHOWN]]
    return Cause("renamed", "schema", because, facts)


def _retyped(rows: Rows, name: str, known: Known) -> Cause | None:  # noqa: ARG001
    column = rows.columns.get(name)
    if column is None:
        return None
    kind = column.kind
    texts = [rows.texts[code] for code in column.texts()[1].tolist()]
    if (kind == OTHER).sum() > max((kind == TEXT).sum(), (kind == NUMBER).sum()):
        return Cause("retyped", "schema", "lists or objects have come", {"to": "list or object"})
    forms = [_NUMBER.fullmatch(text.strip()) for text in texts]
    if texts and all(forms):
        comma = any("," in text for text in texts)
        now = "number as text" + (", decimal comma" if comma else "")
        because = f"probably retyped: numbers have come as texts, such as {texts[0]!r}"
        return Cause("retyped", "schema", because, {"to": now, "example": texts[0]})
    if texts and len(texts) < int((kind == NUMBER).sum()):
        return Cause("retyped", "schema", "some values are texts", {"example": texts[0]})
    if texts:
        because = f"probably retyped: texts have come, such as {texts[0]!r}"
        return Cause("retyped", "schema", because, {"to": "text", "example": texts[0]})
    return None


def _new_categories(rows: Rows, name: str, known: Known) -> Cause | None:
    """Which, and whether they are known ones that are spelled otherwise."""
    reference = known.reference
    column, frozen = rows.columns.get(name), reference.feature(name)
    if column is None or frozen is None:
        return None
    old, codes = frozen.categories.key, column.texts()[1]
    is_new = ~np.isin(codes, old)
    if len(old) and int(frozen.categories.count.sum()) < int(frozen.text[0]):
        is_new &= codes <= old.max()  # of those behind, the reference has kept none
    new, counts = np.unique(codes[is_new], return_counts=True)
    if not len(new):
        return None
    order = np.lexsort((new, -counts))[:_SHOWN]
    shares = {rows.texts[int(new[i])]: float(f"{counts[i] / len(codes):.4g}") for i in order}
    spelled = {_plainly(reference.table.texts.get(int(code), "")) for code in old} - {""}
    names = ", ".join(shares)
    if all(_plainly(text) in spelled for text in shares):
        because = f"probably spelled otherwise: {names}"
        return Cause("respelled", "data_quality", because, {"values": shares})
    return Cause("new_category", "data_quality", f"new: {names}", {"values": shares})


def _stale(rows: Rows, name: str, known: Known, tau: float) -> Cause | None:
    reference = known.reference
    found, runs = constant_of(rows, name, reference, tau), reference.runs.get(name)
    if found is None:
        return None
    if is_usual(runs, found, int(rows.pane_end[-1])):
        return None
    because = f"it is {found.shown} in all of its last {found.count} values: it has stopped varying"
    facts = {"value": found.shown, "values": found.count}
    return Cause("stale", "data_quality", because, facts, is_certain=True)


def _stuck(rows: Rows, name: str, known: Known, tau: float) -> Cause | None:
    found = repeated_of(rows, name, known.reference, tau)
    if found is None:
        return None
    percent = f"{100 * found.share:.3g} %"
    because = f"probably stuck: it is {found.shown} in {percent} of predictions"
    facts = {
        "value": found.shown,
        "share": short(found.share),
        "before_at_most": short(found.before),
    }
    return Cause("stuck", "data_quality", because, facts, is_certain=True)


def _swapped(rows: Rows, name: str, known: Known) -> Cause | None:
    """Another feature has this one's values, and this one has that one's."""
    mine, usual = _numbers(rows, name), known.usual(name)
    if len(mine) < _FEWEST_VALUES or len(usual) < _FEWEST_VALUES or is_alike(usual, mine, _DIFFERS):
        return None
    names = [other for other in sorted(rows.columns) if other.startswith(FEATURE)]
    for other in [each for each in names if each != name][:MOST_PARTNERS]:
        its_usual = known.usual(other)
        if len(its_usual) < _FEWEST_VALUES or not is_alike(its_usual, mine, _FITS):
            continue
        its = _numbers(rows, other)
        if len(its) < _FEWEST_VALUES or not is_alike(usual, its, _FITS):
            continue
        if is_alike(its_usual, its, _DIFFERS):
            continue
        if ks(usual, its_usual) < _APART:
            continue
        if _fits_grid(mine, its_usual) and _fits_grid(its, usual):
            with_ = other.removeprefix(FEATURE)
            because = f"probably swapped with {with_}: each has the values of the other"
            return Cause("swapped", "schema", because, {"with": with_}, is_certain=True)
    return None


def _other_unit(rows: Rows, name: str, known: Known) -> Cause | None:
    usual = known.usual(name)
    mine = _numbers(_since_finer(rows, name, usual), name)
    fit = unit_of(usual, mine) if len(mine) and len(usual) else None
    if fit is None:
        return None
    facts = {
        "unit": fit.map.name,
        "factor": short(fit.map.factor),
        "offset": short(fit.map.offset),
        "residual": short(fit.residual),
    }
    because = f"probably another unit: {fit.map.name}"
    return Cause("other_unit", "data_quality", because, facts, is_certain=True)


_OF_VALUES: tuple[Look, ...] = (_swapped, _other_unit)  # behind whether there are any
_LOOKS: Mapping[str, tuple[Look, ...]] = {
    "absent": (_renamed,),
    "type_error": (_retyped,),
    "unseen": (_new_categories,),
    "out_of_range": _OF_VALUES,
    "shift": _OF_VALUES,
    "shape": _OF_VALUES,
}

# -- reading


def _kinds(rows: Rows, name: str) -> NDArray[np.uint8]:
    column = rows.columns.get(name)
    return np.full(len(rows), ABSENT, np.uint8) if column is None else column.kind


def _numbers(rows: Rows, name: str) -> NDArray[np.float64]:
    column = rows.columns.get(name)
    return np.zeros(0) if column is None else column.numbers()[1]


def _is_new(reference: Reference, name: str) -> bool:
    frozen = reference.feature(name)
    return frozen is None or int(frozen.present[0]) <= _RARE * reference.count


def _is_like(column: Column, name: str, known: Known) -> bool:
    """Whether these cells have the values that the feature had."""
    numbers, usual = column.numbers()[1], known.usual(name)
    if len(numbers) and len(usual):
        # two values differ from no distribution by more than chance
        is_within = usual[0] <= numbers.min() and numbers.max() <= usual[-1]
        is_like = is_within if len(numbers) < _TOLD_APART else is_alike(usual, numbers, _FITS)
        return bool(is_like) and _fits_grid(numbers, usual)
    frozen, codes = known.reference.feature(name), column.texts()[1]
    if frozen is None or not len(codes) or len(usual):
        return False
    return bool(np.isin(codes, frozen.categories.key).mean() >= _NEARLY)


def _fits_grid(values: NDArray[np.float64], usual: NDArray[np.float64]) -> bool:
    """Whether values have no more decimals than usual."""
    most, now = decimals_of(usual), decimals_of(values)
    return most is None or (now is not None and now <= most)


def _since_finer(rows: Rows, name: str, usual: NDArray[np.float64]) -> Rows:
    """From the first pane with a value of more decimals than usual: there another unit began."""
    most, column = decimals_of(usual), rows.columns.get(name)
    if most is None or column is None:
        return rows
    of, values = column.numbers()
    finer = rows.pane_end[of[~on_grid(values, most)]]
    return rows.between(int(finer.min()), rows.last_end_ms) if len(finer) else rows


def _plainly(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text).casefold()
