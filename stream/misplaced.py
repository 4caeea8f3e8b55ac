"""Records in a partition where their key does not belong.

An outcome meets its prediction only in the partition of both: where a producer deals keys by
another rule (librdkafka's default is CRC-32), labels are missing and nothing else says why.
"""

from __future__ import annotations

import logging

from stream.metrics import Metrics
from stream.partitioning import partition_of
from stream.record_batch import RecordBatch

log = logging.getLogger(__name__)


class Misplaced:
    """Looks at one keyed record of each fetched batch: a rule shows itself soon enough."""

    def __init__(self, partitions: int, metrics: Metrics) -> None:
        self._partitions, self._metrics = partitions, metrics
        self._warned: set[str] = set()

    def look(self, batch: RecordBatch) -> None:
        key = batch.records.key
        if key is None:
            return
        belongs = partition_of(key, self._partitions)
        if belongs == batch.partition:
            return
        self._metrics.misplaced(batch.topic)
        if batch.topic not in self._warned:
            self._warned.add(batch.topic)
            log.warning(
                "%s partition %d has a record whose key belongs in partition %d of %d: outcomes "
                "meet their predictions only if both are dealt by murmur2 of prediction_id, as "
                "Kafka's Java client does (librdkafka: partitioner=murmur2_random)",
                batch.topic, batch.partition, belongs, self._partitions,
            )  # fmt: skip
