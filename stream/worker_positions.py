"""Where a new owner goes on reading: at its checkpoint, unless those records are gone."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from stream.refusals import lost
from stream.worker_host import Host

log = logging.getLogger(__name__)


def positions(
    host: Host,
    stage: int,
    partition: int,
    applied: Mapping[str, int] | None,
    earliest: Mapping[tuple[str, int], int],
) -> dict[str, int]:
    """The next offset of each input of a stage: of its checkpoint, None where it has none; then
    its earliest one.

    Raises LostRecordsError where retention deleted what was not applied yet, unless that was
    accepted: then it is counted and passed over. It is not journaled: no later reader of the topic
    sees those records either.
    """
    offsets = {topic: earliest[topic, partition] for topic in host.inputs(stage)}
    for topic, offset in (applied or {}).items():
        if offset < offsets[topic]:
            refusal = lost(topic, partition, offset, offsets[topic])
            if not host.settings.checkpoint.accept_lost_records:
                raise refusal
            log.error("accepted: %s", refusal)
            host.metrics.lost(topic, partition, offsets[topic] - offset)
        offsets[topic] = max(offset, offsets[topic])
    return offsets
