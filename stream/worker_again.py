"""Says again, under the new epoch, what former owners journaled and no checkpoint holds yet.

The journal is compacted by key, and a key has its epoch. A former owner that does not know it yet
(it was frozen; its producer sends again what it has no answer to) may write under such a key once
more: that is void behind the claim, but it would be all that compaction leaves. What a checkpoint
holds is safe: its owner had the answers before it, and does not come back to that place. So what
is said again is read back before the state is sealed: a claim before it would void it.

What is said twice is heard once, by owners and replays alike. Maturities need no repetition: until
a checkpoint holds one, its successor decides it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from stream.journal import journal_key
from stream.wire import Accepted, Activation, Idle, Noticed, Renewed, Shed, encode_journal
from stream.worker_host import Host
from stream.worker_routes import Outgoing
from stream.worker_slot import ALERTS, MODELS, SOURCES, Slot

Decided = Idle | Shed | Accepted | Activation | Renewed | Noticed


async def say_again(host: Host, slots: Iterable[Slot[Any]]) -> None:
    """Of slots as they were restored, behind their claims. Returns when it is read back."""
    topic = host.settings.internal_topic("journal")
    promises = []
    for slot in slots:
        for said in _unsealed(host, slot):
            entry = msgspec.structs.replace(said, epoch=slot.core.epoch)
            key, value = journal_key(entry), encode_journal(entry)
            promises.append(await host.send(Outgoing(topic, slot.partition, key, value)))
    for written in await asyncio.gather(*promises):
        await host.reader.reached({written.partition: written.offset + 1})


def _unsealed(host: Host, slot: Slot[Any]) -> list[Decided]:
    """What counts in the journal and the restored state does not know; O(entries of the slot)."""
    journal, partition = host.journal, slot.partition
    if slot.stage != SOURCES:
        decided: list[Activation | Renewed | Noticed] = [
            *journal.activations_of(slot.stage, partition)
        ]
        decided += journal.renewed_of(partition) if slot.stage == MODELS else []
        decided += journal.noticed_of(partition) if slot.stage == ALERTS else []
        return [entry for entry in decided if not slot.core.has_activated(entry.announced_at)]
    said: list[Idle | Shed | Accepted] = [
        *journal.idle_of(partition),
        *journal.sheds_of(partition),
        *journal.accepted_of(partition),
    ]
    due = [entry for entry in said if entry.at_offset >= slot.offsets[host.topics[entry.side]]]
    due.sort(key=lambda entry: entry.at_offset)
    return [*due]
