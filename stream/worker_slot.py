"""One stage of one partition while this worker owns it: its state, positions and open promises.

Order of promises: outputs acknowledged, blobs acknowledged, manifest acknowledged, sources
acknowledged. Whatever is cut short is done again by the next owner, from the manifest before:
state, outputs and offsets change together (`changing`), or this slot never writes another one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from xxhash import xxh3_64_intdigest

from stream.blobs import Kept
from stream.checkpoint import Layout, Point, Record, Writing
from stream.rules import Rules
from stream.snapshot import Part
from stream.wire import Accepted
from stream.worker_routes import Outgoing

SOURCES, MODELS, ALERTS = 1, 2, 3
STAGES = {SOURCES: "sources", MODELS: "panes", ALERTS: "findings"}
"""Number of a stage, and the name of its Faust table."""


_MOST_ACKS = 100_000  # waiting for a checkpoint, which is due then whatever it costs
_MANY_OUTPUTS = 10_000  # before those that are acknowledged are forgotten
_BLOBS_ON_THEIR_WAY = 16  # packed and not acknowledged: what a large checkpoint takes of memory


class BrokenSlotError(Exception):
    """A change of this state was cut short: what it holds matches neither offsets nor outputs."""


class Stage(Protocol):
    epoch: int

    def snapshot(self) -> list[Part]: ...


Core = TypeVar("Core", bound=Stage)
Send = Callable[[Outgoing], Awaitable["asyncio.Future[Any]"]]
"""Hands a record to the producer; the future is the broker's acknowledgement."""
Ack = Callable[[], Awaitable[None]]
IsOurs = Callable[[], Awaitable[bool]]
"""Whether nobody has claimed this slot by now, as the journal says up to its end."""
Turn = Callable[[], Awaitable[None]]
"""Waits for as long as others need the processor more."""


async def at_once() -> None:
    """A turn where nobody does."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When checkpoints are due: at this age, or after this much input; but not before those of the
    past have cost less than `written_per_s`, a slot's share of what the worker may write."""

    interval_s: float
    input_bytes: int
    written_per_s: float


class Slot(Generic[Core]):
    """`lock` is held while input is applied and its effects are handed to the producer: records
    of one stage and partition reach their topics in the order of its decisions."""

    def __init__(
        self, stage: int, partition: int, core: Core, offsets: dict[str, int], changelog: str
    ) -> None:
        self.stage = stage
        self.partition = partition
        self.core = core
        self.offsets = offsets  # next offset by input topic
        self.sealed = dict(offsets)  # those of the last checkpoint
        self.lock = asyncio.Lock()
        self.sequence = 0
        self.state_bytes = 0
        self.kept = Kept()  # parts that the next checkpoint may refer to
        self.input_bytes = 0  # applied since the last checkpoint
        self.progressed_s = time.monotonic()  # when a checkpoint last moved the offsets
        self.known_keys: list[bytes] = []  # in the changelog; garbage once nothing refers to them
        self.due_accepted: dict[str, list[tuple[Accepted, Rules]]] = {}  # by side, by offset
        self.due_idle: dict[str, list[tuple[int, int]]] = {}  # side -> (at_offset, watermark_ms)
        self.ended: set[int] = set()  # ends of input applied, by their number
        self.ahead: dict[int, int] = {}  # offset -> hash: applied, and not brought yet
        self.has_spoken = False  # what a new owner says first is acknowledged
        self.spoken_at: dict[str, int] | None = None  # ends of the inputs after that, once asked
        self._changelog = changelog
        self._is_dirty = False
        self._is_broken = False
        self._failed_output: BaseException | None = None
        self._outputs: list[asyncio.Future[Any]] = []
        self._many_outputs = _MANY_OUTPUTS
        self._acks: list[Ack] = []
        self._open = 0  # outputs not acknowledged yet
        self._open_since_s = 0.0  # or since the last acknowledgement
        self._checkpoint_lock = asyncio.Lock()
        self._checkpointed_s = time.monotonic()
        self._written_bytes = 0  # by the last checkpoint

    @property
    def key(self) -> tuple[int, int]:
        return self.stage, self.partition

    @property
    def has_caught_up(self) -> bool:
        """Whether all is applied on which a former owner can have been heard: nobody listens to it
        behind the first words of this one."""
        at = self.spoken_at
        return at is not None and all(self.offsets[topic] >= end for topic, end in at.items())

    @property
    def has_open(self) -> bool:
        """Whether some output is not acknowledged yet."""
        return self._open > 0

    @property
    def unacknowledged_s(self) -> float:
        """How long outputs have waited without any acknowledgement."""
        return time.monotonic() - self._open_since_s if self._open else 0.0

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Holds the lock; an error or a cancellation inside breaks the slot."""
        async with self.lock:
            try:
                yield
            except BaseException:
                self._is_broken = True
                raise

    def must_be_whole(self) -> None:
        """Raises BrokenSlotError."""
        if self._is_broken:
            cause = f" ({self._failed_output!r})" if self._failed_output is not None else ""
            raise BrokenSlotError(
                f"a change of stage {self.stage} partition {self.partition} was cut short{cause}; "
                "it is done again from the last checkpoint"
            ) from self._failed_output

    async def emit(self, send: Send, records: Sequence[Outgoing]) -> None:
        """Hand records to the producer, in order; they are awaited by the next checkpoint."""
        for record in records:
            self.must_be_whole()
            output = await send(record)
            if self._open == 0:
                self._open_since_s = time.monotonic()
            self._open += 1
            if output.done():  # a callback would only be called at the loop's next turn
                self._closed(output)
            else:
                output.add_done_callback(self._closed)
            self._outputs.append(output)
        if len(self._outputs) >= self._many_outputs:
            # What has failed broke the slot at once; what was acknowledged need not be awaited.
            self._outputs = [output for output in self._outputs if not output.done()]
            self._many_outputs = max(_MANY_OUTPUTS, 2 * len(self._outputs))
        if records:
            self._is_dirty = True

    def _closed(self, output: asyncio.Future[Any]) -> None:
        error = None if output.cancelled() else output.exception()
        if error is not None:
            # Nothing may follow it on its topic: readers take what they applied as complete.
            self._is_broken, self._failed_output = True, error
        self._open -= 1
        self._open_since_s = time.monotonic()

    def waiting_outputs(self) -> list[asyncio.Future[Any]]:
        """Those that no checkpoint has taken yet, acknowledged or not."""
        return list(self._outputs)

    def applied(self, topic: str, next_offset: int, size_bytes: int, ack: Ack | None) -> None:
        self.offsets[topic] = max(next_offset, self.offsets[topic])
        self.input_bytes += size_bytes
        self._is_dirty = True
        if ack is not None:
            self._acks.append(ack)

    def heard_ahead(self, offset: int, value: bytes) -> None:
        """This record was applied before the consumer brings it."""
        self.ahead[offset] = xxh3_64_intdigest(value)

    def heard_another(self, offset: int, value: bytes) -> bool:
        """Whether what the consumer brings is not what was applied ahead of it at this offset."""
        was = self.ahead.pop(offset, None)
        return was is not None and was != xxh3_64_intdigest(value)

    def touched(self) -> None:
        """The state changed without an input or an output."""
        self._is_dirty = True

    def is_due(self, pace: Pace) -> bool:
        if not self._is_dirty or self._checkpoint_lock.locked():
            return False
        if len(self._acks) >= _MOST_ACKS:
            return True
        age_s = time.monotonic() - self._checkpointed_s
        is_wanted = age_s >= pace.interval_s or self.input_bytes >= pace.input_bytes
        return is_wanted and self._may_write(age_s, pace)

    def is_full(self, pace: Pace) -> bool:
        """A checkpoint should have been there long ago: no more input before it, or what waits for
        it grows without bound. Whatever makes it late, a slow broker or the checkpoints of other
        slots; only where writing less often is what was asked for, input goes on."""
        age_s = time.monotonic() - self._checkpointed_s
        is_late = self.input_bytes >= 2 * pace.input_bytes and self._may_write(age_s, pace)
        return not self._is_broken and (is_late or len(self._acks) >= 2 * _MOST_ACKS)

    def _may_write(self, age_s: float, pace: Pace) -> bool:
        return age_s * pace.written_per_s >= self._written_bytes

    async def write(
        self,
        send: Send,
        is_ours: IsOurs,
        layout: Layout,
        journal_position: int,
        *,
        force: bool = False,
        turn: Turn = at_once,
    ) -> int | None:
        """Write a checkpoint and acknowledge what it covers; its bytes, None if nothing changed.
        `turn` is awaited before each blob is packed.
        What it does not refer to is deleted if, after it was acknowledged, the slot still is ours.

        Raises BrokenSlotError.
        """
        async with self._checkpoint_lock:
            try:
                written = await self._write(send, layout, journal_position, turn, force=force)
                if written is not None:
                    await self._sweep(send, is_ours, written.keys())
            except BaseException:
                self._is_broken = True  # outputs were taken from `_outputs` and nobody awaits them
                raise
            return None if written is None else written.size_bytes

    async def _write(
        self, send: Send, layout: Layout, journal_position: int, turn: Turn, *, force: bool
    ) -> Writing | None:
        async with self.lock:
            self.must_be_whole()
            if not (self._is_dirty or force):
                return None
            self._is_dirty = False
            self._checkpointed_s = time.monotonic()
            self.input_bytes = 0
            self.sequence += 1
            parts = self.core.snapshot()
            outputs, self._outputs = self._outputs, []
            acks, self._acks = self._acks, []
            stage, partition, epoch = self.stage, self.partition, self.core.epoch
            offsets = dict(self.offsets)
            point = Point(stage, partition, epoch, self.sequence, offsets, journal_position)
            writing = Writing(point, parts, self.kept, layout)
            del parts  # what is written is let go
        await asyncio.gather(*outputs)
        await self._send_blobs(send, writing, turn)
        manifest = await asyncio.to_thread(writing.manifest)
        await (await send(self._record(manifest)))
        for ack in acks:
            await ack()
        self.progressed_s = time.monotonic()
        self._written_bytes = writing.size_bytes
        self.kept, self.sealed = writing.kept, offsets
        self.state_bytes = sum(place.size for place in self.kept.parts.values())
        return writing

    async def _send_blobs(self, send: Send, writing: Writing, turn: Turn) -> None:
        """In a thread: to pack and compress takes long enough to stop everything else."""
        blobs, on_their_way = writing.blobs(), deque[asyncio.Future[Any]]()
        await turn()
        while blob := await asyncio.to_thread(next, blobs, None):
            on_their_way.append(await send(self._record(blob)))
            if len(on_their_way) >= _BLOBS_ON_THEIR_WAY:
                await on_their_way.popleft()
            await turn()
        await asyncio.gather(*on_their_way)

    async def _sweep(self, send: Send, is_ours: IsOurs, live: list[bytes]) -> None:
        """Delete what the new manifest does not refer to. Whoever claims the slot reads the
        changelog behind its claim: if there is none yet, it will see this manifest, and refer to
        nothing that is deleted here. If there is one, it may go on from an older manifest."""
        garbage = [key for key in self.known_keys if key not in {*live}]
        if garbage and await is_ours():
            self._outputs += [await send(self._record((key, None))) for key in garbage]
            self.known_keys = live
        else:
            self.known_keys = [*garbage, *live]

    def _record(self, record: Record | tuple[bytes, None]) -> Outgoing:
        return Outgoing(self._changelog, self.partition, *record)
