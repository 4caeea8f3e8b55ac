"""Structs made for a form and a habit, and what decodes records into them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

from stream.events import LATEST_MS, ActualValue, Label, Outcome, PredictedValue, Prediction
from stream.familiar_forms import Form, Kind
from stream.habits import Habit, Side, fields_of
from stream.known_texts import Known, places_of

_TYPES: dict[Kind, Any] = {
    "number": float,
    "number or null": float | None,
    "flag": bool,
    "flag or null": bool | None,
    "text": str,
    "text or null": str | None,
    "any": Any,
}


Decoder = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Decoders:
    """Of events of one form. `whole` takes those that have no other field, so that nothing of a
    record is skipped, and `together` many of them, see `together_in`; `part` may skip fields, and
    the parser does not look into these."""

    together: Decoder | None
    whole: Decoder | None
    part: Decoder | None


_BETWEEN = b",\nnull,"


def together_in(values: Sequence[bytes]) -> bytes:
    """An array of them, with a null between any two.

    If it parses, and has one element for each value and each null, then each value is an element by
    itself: what is between them can be nothing but that, neither in a text, which has no line
    breaks, nor in an object, where a name follows a comma; and there are no other arrays.
    """
    return b"[%b]" % _BETWEEN.join(values)


def _of_whole(struct: type[msgspec.Struct], part: Decoder | None) -> Decoders:
    return Decoders(
        msgspec.json.Decoder(list[struct | None]).decode,  # type: ignore[valid-type]
        msgspec.json.Decoder(struct).decode,
        part,
    )


def _made_anew(
    struct: type[msgspec.Struct],
    kinds: Mapping[str, Any],
    names: Iterable[str] | None = None,
    *,
    needed: Container[str] = (),
    is_whole: bool = True,
) -> type[msgspec.Struct]:
    """With these fields, in this order, and other types of some; some `needed` that were not."""
    of_name = {one.name: one for one in fields_of(struct)}
    fields: list[Any] = []
    for one in map(of_name.__getitem__, of_name if names is None else names):
        kind = kinds.get(one.name, one.type)
        is_needed = one.required or one.name in needed
        fields.append((one.name, kind) if is_needed else (one.name, kind, one.default))
    name = f"Familiar{struct.__name__}"
    return msgspec.defstruct(name, fields, forbid_unknown_fields=is_whole, gc=False, kw_only=True)


def _features(form: Form, known: Known = ()) -> type[msgspec.Struct]:
    of_known = {name: places_of(texts) for name, texts in known}
    types = [
        of_known[name] if kind == "text" and name in of_known else _TYPES[kind]
        for name, kind in zip(form.names, form.kinds, strict=True)
    ]
    return msgspec.defstruct(
        "FamiliarFeatures",
        [(form.field(i), kind) for i, kind in enumerate(types)],
        rename={form.field(i): name for i, name in enumerate(form.names)},
        forbid_unknown_fields=True,
        gc=False,
    )


@lru_cache(maxsize=16)
def of_predictions(form: Form) -> Decoders:
    kinds = {
        "predicted_at": str | int,
        "features": _features(form),
        "prediction": _made_anew(PredictedValue, {}, form.said),
    }
    part = msgspec.json.Decoder(_made_anew(Prediction, kinds, is_whole=False)).decode
    if "any" in form.kinds:
        return Decoders(None, None, part)
    return _of_whole(_made_anew(Prediction, kinds), part)


@lru_cache(maxsize=1)
def of_outcomes() -> Decoders:
    part = _made_anew(Outcome, {"observed_at": str | int}, is_whole=False)
    actual = _made_anew(ActualValue, {})
    whole = _made_anew(Outcome, {"observed_at": str | int, "actual": actual})
    return _of_whole(whole, msgspec.json.Decoder(part).decode)


@lru_cache(maxsize=4)  # with all texts that are known
def of_habit(
    side: Side, habit: Habit, form: Form | None = None, known: Known = ()
) -> Decoders | None:
    """None where nothing can be said of what it is to be."""
    if form is not None and "any" in form.kinds:
        return None
    of_label = Label if habit.label is None else habit.label
    kinds: dict[str, Any] = {name: Literal[text] for name, text in habit.same}
    kinds[side.inner] = _made_anew(side.of_inner, {"label": of_label | None}, habit.inner)
    kinds[side.time] = _time(habit)
    if form is not None:
        kinds["features"] = _features(form, known)
    return _of_whole(_made_anew(side.event, kinds, habit.fields, needed=dict(habit.same)), None)


def _time(habit: Habit) -> Any:
    if habit.time is None:
        return str | int
    if habit.time:
        return Annotated[str, msgspec.Meta(min_length=habit.time, max_length=habit.time)]
    return Annotated[int, msgspec.Meta(ge=0, lt=LATEST_MS)]
