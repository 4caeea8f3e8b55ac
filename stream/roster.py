"""Which groups a partition of stage 2 watches: at most so many at a time.

A group's *life* begins with its first pane for which there is room, and is over once no pane has
come for longer than `forget_ms`; whatever is held of it is forgotten then. Room is given in
(pane end, hash of the group) order, and a group without it asks again with its next pane, so that
what is watched depends on the panes only, not on the batches in which they are released. The lives
are those of prediction panes; a cohort belongs to the life that its predictions belong to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

import msgspec
import numpy as np
import xxhash

from stream.columns import Group
from stream.panes import Ints


@dataclass(slots=True, eq=False)
class Life:
    first_end_ms: int
    last_end_ms: int
    is_over: bool = False
    predictions: int = 0  # so far
    told_ms: int = -1  # pane end at which stage 3 was last told of it, or would have been
    is_deployment: bool = False  # of a version that came when another one was there
    lacks: bool = False  # something that it must have, or may lack it, as last told

    def to_plain(self) -> list[Any]:
        plain = [self.first_end_ms, self.last_end_ms, self.is_over, self.predictions, self.told_ms]
        of_late = [self.is_deployment, self.lacks]
        return [*plain, *of_late] if any(of_late) else plain


class Roster:
    def __init__(self, limit: int, forget_ms: int) -> None:
        self._limit = limit
        self.forget_ms = forget_ms
        self._alive: dict[Group, Life] = {}
        self.refused = 0  # panes of groups for which there was no room
        self.ended: list[Group] = []  # of the last call

    def __len__(self) -> int:
        return len(self._alive)

    def enter(self, group: Group, life: Life) -> None:
        """A life of a stored state."""
        if not life.is_over:
            self._alive[group] = life

    def admit(self, ends: Mapping[Group, Ints], until_ms: int) -> list[tuple[Group, Life]]:
        """Lives that begin with these panes, all panes that end by `until_ms`. Lives that they
        prolong, or that are over by then, are changed. O(panes) without news, else O(n log n)."""
        self.ended = []
        asking = self._prolong(ends)
        born = self._give_room(ends, asking) if asking else []
        self._end_before(until_ms)
        return born

    def _prolong(self, ends: Mapping[Group, Ints]) -> list[tuple[int, int, Group, int]]:
        """(pane end, hash, group, index) of the first pane of each group that belongs to no
        life."""
        asking = []
        for group, of_group in ends.items():
            life, belonging = self._alive.get(group), 0
            if life is not None:
                belonging = self._reach(of_group, life.last_end_ms)
                if belonging:
                    life.last_end_ms = int(of_group[belonging - 1])
            if belonging < len(of_group):
                asking.append((int(of_group[belonging]), _hash(group), group, belonging))
        return asking

    def _reach(self, ends: Ints, last_ms: int) -> int:
        """How many of these panes follow on the last one without a silence."""
        silent = np.diff(ends, prepend=last_ms) > self.forget_ms
        return int(silent.argmax()) if silent.any() else len(ends)

    def _give_room(
        self, ends: Mapping[Group, Ints], asking: list[tuple[int, int, Group, int]]
    ) -> list[tuple[Group, Life]]:
        heapify(asking)
        expiring = [(life.last_end_ms, _hash(group), group) for group, life in self._alive.items()]
        heapify(expiring)
        born: list[tuple[Group, Life]] = []
        while asking:
            end_ms, code, group, index = heappop(asking)
            while expiring and expiring[0][0] + self.forget_ms < end_ms:
                self._end(heappop(expiring)[2])
            of_group = ends[group]
            if len(self._alive) < self._limit:
                following = index + self._reach(of_group[index:], end_ms)
                life = self._alive[group] = Life(end_ms, int(of_group[following - 1]))
                heappush(expiring, (life.last_end_ms, code, group))
                born.append((group, life))
            else:
                self.refused += 1
                following = index + 1
            if following < len(of_group):
                heappush(asking, (int(of_group[following]), code, group, following))
        return born

    def _end_before(self, until_ms: int) -> None:
        over = [
            g for g, life in self._alive.items() if life.last_end_ms + self.forget_ms < until_ms
        ]
        for group in over:
            self._end(group)

    def _end(self, group: Group) -> None:
        self._alive.pop(group).is_over = True
        self.ended.append(group)


def _hash(group: Group) -> int:
    return xxhash.xxh3_64_intdigest(msgspec.json.encode(group))
