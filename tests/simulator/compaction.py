"""Compaction of the journal, as a broker does it in the background."""

from __future__ import annotations

from random import Random

from tests.simulator.log import Entry, Log
from tests.simulator.slot import JOURNAL

_EVERY = 40  # steps, on average
_CLAIM = b'["claim",'  # as `stream.journal.journal_key` has it


class Compaction:
    """At moments, and up to offsets, that the seed draws: of each key the last record stays.

    Records are as old as the plan of the topics wants them (`min.compaction.lag.ms`, an hour):
    older than any takeover under way.
    """

    def __init__(self, random: Random, log: Log, partitions: int) -> None:
        self.removed = 0
        self._random = random
        self._log = log
        self._partitions = partitions

    def pass_by(self) -> None:
        if self._random.random() * _EVERY < 1:
            partition = self._random.randrange(self._partitions)
            self._compact(partition, self._random.randint(0, self._oldest_open(partition)))

    def finish(self) -> None:
        """Long after the run: all of it is old enough."""
        for partition in range(self._partitions):
            self._compact(partition, self._log.end((JOURNAL, partition)))

    def _compact(self, partition: int, before: int) -> None:
        self.removed += self._log.compact((JOURNAL, partition), before)

    def _oldest_open(self, partition: int) -> int:
        """The first claim behind the last of those whose takeover got through."""
        place = JOURNAL, partition
        claims = [entry.offset for entry in self._log.part(place) if _is_claim(entry)]
        through = max(self._log.taken_over[place], default=-1)
        return next((at for at in claims if at > through), self._log.end(place))


def _is_claim(entry: Entry) -> bool:
    return entry.key is not None and entry.key.startswith(_CLAIM)
