"""Texts of features that come again and again: these are decoded into their places among them.

A feature of few texts soon has had them all. Then no text is made of what a record says, and none
is looked for: the parser itself finds which one it is. A new one makes that a wrong guess (the
record is read the general way); so it is guessed again only after batches without any, and after
ever more of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Any, Self

_MOST_TEXTS, _LONGEST = 64, 128  # of a feature; characters
_MOST_FEATURES, _MOST_NAMES = 64, 4_096
_FIRST_STEADY, _MOST_STEADY = 2, 64  # batches

Known = tuple[tuple[str, tuple[str, ...]], ...]
"""Of features, by their names: the texts they have."""


class Place(float, Enum):
    """The place of a text: it packs as a double, beside numbers."""

    def __new__(cls, text: str, place: int) -> Self:
        made = float.__new__(cls, place)
        made._value_ = text
        return made


def places_of(texts: Collection[str]) -> Any:
    """A type: what one of these texts is decoded into, and no other is."""
    return Place("Place", {f"of_{i}": (text, i) for i, text in enumerate(texts)})  # type: ignore[arg-type]


class KnownTexts:
    """What the features of the batches before had."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, None]] = {}
        self._too_many: set[str] = set()
        self._guessed: dict[str, tuple[str, ...]] = {}
        self._steady, self._needed = 0, _FIRST_STEADY  # batches without a new text

    def among(self, names: Iterable[str]) -> Known:
        """What is to be guessed of these features."""
        if not self._guessed:
            return ()
        found = [(name, self._guessed[name]) for name in names if name in self._guessed]
        return tuple(found[:_MOST_FEATURES])

    def meet(
        self, guessed: Known, seen: Mapping[str, Collection[str]], *, were_so: bool = True
    ) -> None:
        """A batch of which this was guessed, and where other features had these texts; or not all
        records were as guessed."""
        if guessed and (not were_so or seen.keys() & dict(guessed).keys()):
            self._guessed = {}
            self._steady, self._needed = 0, min(2 * self._needed, _MOST_STEADY)
            return
        if len(self._of) + len(self._too_many) > _MOST_NAMES:
            self._of, self._too_many = {}, set()
        is_new = False
        for name in seen.keys() - self._too_many:
            known = self._of.setdefault(name, {})
            count = len(known)
            known.update(dict.fromkeys(seen[name]))
            if len(known) > _MOST_TEXTS or any(len(text) > _LONGEST for text in known):
                self._too_many.add(name)
                del self._of[name]
            else:
                is_new |= len(known) > count
        self._steady = 0 if is_new else self._steady + 1
        if self._steady == self._needed:
            self._guessed = {name: tuple(known) for name, known in self._of.items()}
