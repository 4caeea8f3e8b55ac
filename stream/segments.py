"""Segments of a model by configuration: single ones (channel) and crossed ones (channel, region).

In stage 1 a prediction belongs to the group of all its segment values together, so that its row
travels once; stage 2 adds the panes of such a group to the model as a whole and to each segment
that is configured, which merges exactly. Where a model has no segments, nothing happens here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from stream.columns import Group
from stream.event_columns import PredictionColumns
from stream.rules import Rules, SegmentRule

OTHER, NONE = "(other)", "(none)"
_LONGEST = 64  # of a value


class SegmentValues:
    """Of a source partition: as many values of each segment as there is room for, the first by
    offset; the others are one more."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], dict[str, None]] = {}

    def split(self, columns: PredictionColumns, rules: Rules) -> PredictionColumns:
        """The same rows, in the groups of their segments."""
        segments = columns.segments
        if segments is None:
            return columns
        names = [_names(rules.segments_of(group[0])) for group in columns.groups]
        if not any(names):
            return columns
        groups = list(columns.groups)
        known: dict[tuple[int, str], int] = {}
        pairs = columns.group * (len(segments.given) + 1) + segments.code + 1
        of_pair, first, pair = np.unique(pairs, return_index=True, return_inverse=True)
        codes = columns.group[first]
        for at in np.argsort(first).tolist():  # by offset
            code, said = divmod(int(of_pair[at]), len(segments.given) + 1)
            if not names[code]:
                continue
            given = segments.given[said - 1] if said else {}
            model, version, role, _ = columns.groups[code]
            taken = [self._take(model, n, given.get(n), rules.max_segments) for n in names[code]]
            text = msgspec.json.encode(taken).decode()
            if (code, text) not in known:
                known[code, text] = len(groups)
                groups.append((model, version, role, text))
            codes[at] = known[code, text]
        used, place = np.unique(codes[pair], return_inverse=True)
        made = [groups[code] for code in used.tolist()]
        return replace(columns, group=place.astype(np.int64), groups=made)

    def _take(self, model: str, name: str, value: str | None, limit: int) -> str:
        if value is None:
            return NONE
        taken, shown = self._taken.setdefault((model, name), {}), value[:_LONGEST]
        if shown in taken:
            return shown
        if len(taken) >= limit:
            return OTHER
        taken[shown] = None
        return shown

    def snapshot(self) -> list[Any]:
        return [[*key, list(taken)] for key, taken in self._taken.items()]

    def restore(self, plain: Sequence[Any]) -> None:
        self._taken = {(model, name): dict.fromkeys(taken) for model, name, taken in plain}


def _names(segments: Sequence[SegmentRule]) -> list[str]:
    return sorted({name for names in segments for name in names})


def of_whole(group: Group) -> Group:
    """The model, without its segments."""
    return (*group[:3], "")


def targets(group: Group, segments: Sequence[SegmentRule], *, is_compared: bool) -> list[Group]:
    """What the panes of a group of stage 1 belong to: the model, and each segment configured."""
    if not group[3]:
        return [group]
    whole = of_whole(group)
    if is_compared:
        return [whole]
    values: Mapping[str, str] = dict(
        zip(_names(segments), msgspec.json.decode(group[3], type=list[str]), strict=True)
    )
    return [whole, *((*group[:3], shown_segment(names, values)) for names in segments)]


def shown_segment(names: SegmentRule, values: Mapping[str, str]) -> str:
    """As groups and alerts have it."""
    return ",".join(f"{name}={_plain(values[name])}" for name in names)


def _plain(value: str) -> str:
    """So that no two values are one text."""
    return value.replace("%", "%25").replace(",", "%2C").replace("=", "%3D")
