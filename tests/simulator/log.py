"""The virtual log: topics of partitions of records, and a hash of all that was done to it."""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from dataclasses import dataclass
from random import Random

from stream.worker_routes import Headers

Place = tuple[str, int]
"""A topic and a partition of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, as a consumer gets it."""

    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_type: int = 0  # the producer's


class Log:
    def __init__(self) -> None:
        self.committed: dict[Place, int] = defaultdict(int)
        self.commits = 0
        self.now = 0  # the scheduler's step
        self.slow: dict[Place, int] = {}  # until this step
        self.late: set[tuple[Place, int]] = set()  # said by an owner that had been replaced
        self.taken_over: dict[Place, set[int]] = defaultdict(set)  # epochs that have begun
        self._parts: dict[Place, list[Entry]] = defaultdict(list)
        self._gone: dict[tuple[Place, int], Entry] = {}  # by compaction
        self._trace = hashlib.blake2b(digest_size=16)

    def append(
        self,
        place: Place,
        value: bytes | None,
        *,
        key: bytes | None = None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> int:
        part = self._parts[place]
        part.append(Entry(len(part), timestamp, key, value, headers))
        self.note("append", place, len(part), headers, key)
        self._trace.update(b"-" if value is None else value)
        return len(part) - 1

    def part(self, place: Place) -> list[Entry]:
        """All of a partition; it grows as the log does."""
        return self._parts[place]

    def compact(self, place: Place, before: int) -> int:
        """Of the records before this offset the last of each key stays; how many went. What went
        leaves a gap: a record without a value, which no reader gets to see."""
        part = self._parts[place]
        last = {entry.key: entry.offset for entry in part[:before]}
        gone = [e for e in part[:before] if e.key is not None and last[e.key] != e.offset]
        for entry in gone:
            self._gone[place, entry.offset] = entry
            part[entry.offset] = Entry(entry.offset, None, None, None)
        self.note("compact", place, before)
        return len(gone)

    def ever(self, topic: str) -> list[Entry]:
        """As `whole`, with what compaction has removed."""
        places = sorted(place for place in self._parts if place[0] == topic)
        return [
            self._gone.get((place, entry.offset), entry)
            for place in places
            for entry in self._parts[place]
        ]

    def read(self, place: Place, start: int, count: int) -> list[Entry]:
        return self._parts[place][start : start + count]

    def whole(self, topic: str) -> list[Entry]:
        """All partitions one after the other."""
        places = sorted(place for place in self._parts if place[0] == topic)
        return [entry for place in places for entry in self._parts[place]]

    def end(self, place: Place) -> int:
        return len(self._parts[place])

    def table(self, place: Place) -> dict[bytes, bytes | None]:
        """What a changelog says of each key by now."""
        return {entry.key: entry.value for entry in self._parts[place] if entry.key is not None}

    def commit(self, place: Place, offset: int) -> None:
        """The group's position: where a consumer that was cut off reads on."""
        self.committed[place] = offset
        self.commits += 1
        self.note("commit", place, offset)

    def note(self, *what: object) -> None:
        self._trace.update(repr(what).encode())

    def trace_hash(self) -> str:
        return self._trace.hexdigest()


class Refused(Exception):
    """The broker did not take a record that was waited for: the worker must stop."""


@dataclass(slots=True, eq=False)
class Promise:
    """The acknowledgement of one record; the offset once it is in the log."""

    offset: int | None = None
    is_refused: bool = False

    @property
    def is_settled(self) -> bool:
        return self.is_refused or self.offset is not None


@dataclass(frozen=True, slots=True)
class _Sent:
    promise: Promise
    key: bytes | None
    value: bytes | None
    headers: Headers


class Producer:
    """Records handed over and not yet in the log. Each partition keeps its order, partitions keep
    none among each other; a crash loses what is still here."""

    def __init__(self, log: Log, repeated: frozenset[str], repeat: float) -> None:
        """Records of the topics `repeated` are delivered twice with probability `repeat`."""
        self._log = log
        self._queues: dict[Place, deque[_Sent]] = {}
        self._last: dict[Place, _Sent] = {}  # that reached the log
        self._repeated = repeated
        self._repeat = repeat
        self.repeats = 0

    def __bool__(self) -> bool:
        return bool(self._queues)

    def send(
        self,
        place: Place,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> Promise:
        promise = Promise()
        self._queues.setdefault(place, deque()).append(_Sent(promise, key, value, headers))
        return promise

    def send_again(self, answers: list[Promise]) -> int:
        """The answers to these were lost: what they were to is sent once more, and the answer to
        that is the one that is heard."""
        lost = [(at, sent) for at, sent in self._last.items() if sent.promise in answers]
        for place, sent in lost:
            sent.promise.offset = None
            self._queues.setdefault(place, deque()).appendleft(sent)
        return len(lost)

    def refuse(self, random: Random) -> None:
        """The broker does not take one record, and may take those behind it."""
        place = random.choice(list(self._queues))
        self._take(place).promise.is_refused = True
        self._log.note("refused", place)

    def deliver(self, random: Random) -> Place | None:
        """One record reaches the log; where. None: every leader is slow."""
        slow, now = self._log.slow, self._log.now
        places = [place for place in self._queues if slow.get(place, 0) <= now]
        if not places:
            return None
        place = random.choice(places)
        sent = self._take(place)
        record = {"key": sent.key, "headers": sent.headers}
        sent.promise.offset = self._log.append(place, sent.value, **record)
        self._last[place] = sent
        if place[0] in self._repeated and random.random() < self._repeat:
            self._log.append(place, sent.value, **record)
            self.repeats += 1
        return place

    def _take(self, place: Place) -> _Sent:
        queue = self._queues[place]
        sent = queue.popleft()
        if not queue:
            del self._queues[place]
        return sent
