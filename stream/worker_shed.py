"""Caps of a source partition: what a stage wishes is journaled first, and holds some way ahead.

A former owner may have applied records beyond its last checkpoint, and told others what came of
them: what its successor decides must not hold for these. So no owner applies more than `AHEAD`
offsets beyond its last checkpoint, and no decision holds sooner than as many offsets from now: a
successor, which continues at that checkpoint, decides only what nobody has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.idle import Side
from stream.journal import journal_key
from stream.shedding import Wish
from stream.source_stage import SourceStage
from stream.wire import Shed, encode_journal
from stream.worker_routes import Outgoing
from stream.worker_slot import SOURCES, Slot

if TYPE_CHECKING:
    from stream.worker_host import Host

AHEAD = 250_000  # offsets: a cap may be passed by as many records


async def stay_near(host: Host, slot: Slot[SourceStage], topic: str, next_offset: int) -> None:
    """Before a batch up to this offset is applied; the slot is not locked."""
    if next_offset - slot.sealed[topic] > AHEAD:
        await host.checkpoint(slot, force=True)


async def journal_wishes(host: Host, slot: Slot[SourceStage]) -> None:
    """The slot is locked."""
    for wish in slot.core.wishes():
        at_offset = slot.offsets[host.topics[wish.side]] + AHEAD
        place = (slot.partition, slot.core.epoch, wish.side, at_offset)
        entry = Shed(SOURCES, *place, wish.what, wish.level)
        journal = host.settings.internal_topic("journal")
        record = Outgoing(journal, slot.partition, journal_key(entry), encode_journal(entry))
        written = await (await host.send(record))
        await host.reader.reached({slot.partition: written.offset + 1})
        if host.sources.get(slot.partition) is not slot:
            return  # claimed by another before this entry: it is void
        slot.core.shed(wish, at_offset)
        slot.touched()


def shed_again(host: Host, slot: Slot[SourceStage]) -> None:
    """What was journaled of records that the restored state has not seen."""
    for entry in host.journal.sheds_of(slot.partition):
        side: Side = entry.side
        if entry.at_offset >= slot.offsets[host.topics[side]]:
            slot.core.shed(Wish(side, entry.what, entry.level), entry.at_offset)
