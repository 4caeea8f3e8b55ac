"""Which features of a group a source partition takes: the first so many names, by offset.

As with lateness only the partition's own prefix counts, so neither batches nor other partitions
show. A name that is taken is not displaced: a flood of new names cannot blind what is watched of
those that were there before. A group begins anew when nothing of it can be open any more: this
bounds what is open; which of the names are watched for good is stage 2's to say (`FeatureTypes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.columns import Group
from stream.rules import Rules
from stream.snapshot import Part, pack, unpack

Features = dict[str, Any]
_PART = "features"
_VERSION = 1


class FeatureNames:
    def __init__(self, rules: Rules) -> None:
        self._limit = rules.max_features
        self._silence_ms = rules.pane_ms + rules.grace_ms
        self._taken: dict[Group, set[str]] = {}
        self._last_ms: dict[Group, int] = {}  # the watermark behind the last record of each
        self._version = 0  # of what is taken
        self.refused = 0  # values of names for which there was no room

    def take(
        self,
        group: Group,
        features: Sequence[Features],
        before_ms: NDArray[np.int64],
        after_ms: NDArray[np.int64],
    ) -> list[Features]:
        """The features of a group's records, in their order, without those that are refused.

        `before_ms`, `after_ms`: the partition's watermark before and behind each record, rising.
        O(features)."""
        last_ms = self._last_ms.get(group, int(before_ms[0]))
        silent = before_ms - np.concatenate([[last_ms], after_ms[:-1]]) > self._silence_ms
        self._last_ms[group] = int(after_ms[-1])
        kept: list[Features] = []
        for start, end in pairwise(sorted({0, *np.flatnonzero(silent).tolist(), len(features)})):
            if silent[start]:
                self._forget(group)
            kept += self._known(group, features[start:end])
        return kept

    def width(self, group: Group) -> int:
        """How many names of the group are taken."""
        return len(self._taken.get(group, ()))

    def purge(self, watermark_ms: int) -> None:
        """Forget groups that begin anew with their next record, whenever that comes."""
        since_ms = watermark_ms - self._silence_ms
        for group in [g for g, last_ms in self._last_ms.items() if last_ms < since_ms]:
            del self._last_ms[group]
            self._forget(group)

    def _forget(self, group: Group) -> None:
        if self._taken.pop(group, None) is not None:
            self._version += 1

    def _known(self, group: Group, features: Sequence[Features]) -> Sequence[Features]:
        taken = self._taken.setdefault(group, set())
        if all(map(taken.issuperset, features)):
            return features
        before = len(taken)
        new = set().union(*features) - taken
        if before + len(new) <= self._limit:
            taken |= new
        else:
            features = [*self._chosen(taken, features)]
        self._version += len(taken) > before
        return features

    def _chosen(self, taken: set[str], features: Sequence[Features]) -> Iterator[Features]:
        for record in features:
            room = self._limit - len(taken)
            if room:
                taken.update([name for name in record if name not in taken][:room])
            kept = {name: value for name, value in record.items() if name in taken}
            self.refused += len(record) - len(kept)
            yield kept

    # -- state

    def snapshot(self) -> dict[str, Any]:
        last = [[list(group), at_ms] for group, at_ms in self._last_ms.items()]
        return {"last": last, "refused": self.refused, "version": self._version}

    def parts(self) -> list[Part]:
        """The names: they rarely change."""
        names = [[list(group), sorted(taken)] for group, taken in self._taken.items()]
        return [Part(_PART, self._version, partial(pack, b"1", _VERSION, names))] if names else []

    def restore(self, plain: Mapping[str, Any], state: Mapping[str, bytes]) -> None:
        self.refused, self._version = plain["refused"], plain["version"]
        self._last_ms = {(m, v, r, s): at_ms for (m, v, r, s), at_ms in plain["last"]}
        names = unpack(b"1", _VERSION, state[_PART]) if _PART in state else []
        self._taken = {(m, v, r, s): set(taken) for (m, v, r, s), taken in names}
