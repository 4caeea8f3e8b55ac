"""Faust's consumer thread, and what of aiokafka's consumer Faust does not offer.

All of it is aiokafka's private part: see tests/stream/test_transport.py.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

from aiokafka.consumer import fetcher as fetching
from aiokafka.consumer.fetcher import OffsetResetStrategy
from aiokafka.errors import (
    BrokerResponseError,
    CorruptRecordException,
    KafkaError,
    OffsetOutOfRangeError,
    kafka_errors,
)
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver

from stream.raw_records import RawMemoryRecords
from stream.record_batch import RawRecordBuffer
from stream.refusals import Refusal, out_of_range, unreadable

log = logging.getLogger(__name__)

_FETCH_WAIT_MS = 50


def _try_again(coordinator: Any) -> None:
    """The coordinator waits until somebody has taken notice of its error."""
    try:
        coordinator.check_errors()
    except KafkaError as error:
        log.warning("the group is joined again: %s", error)


class FencedInstanceIdError(BrokerResponseError):  # type: ignore[misc]
    """aiokafka does not know this one, and would call it unknown."""

    errno = 82
    message = "FENCED_INSTANCE_ID"
    description = "another worker has joined under the same name"


kafka_errors.setdefault(FencedInstanceIdError.errno, FencedInstanceIdError)


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust asks for it only under exactly_once. The fetcher is made from this at start.
        consumer._isolation_level = "read_committed"
        # Faust's 1,500 ms: while one request to a broker waits for data of the partitions it names,
        # aiokafka asks it for no other partition, and an alert passes four topics.
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        # Without tables Faust takes aiokafka's round robin, which tears the partitions of
        # predictions and outcomes apart.
        self._assignor = self.consumer.app.assignor
        consumer._partition_assignment_strategy = [self._assignor]
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        fetcher: Any = getattr(self._consumer, "_fetcher", None)
        if type(getattr(fetcher, "_records", None)) is OrderedDict:
            fetcher._records = RawRecordBuffer(self.consumer.batched)
            fetching.MemoryRecords = RawMemoryRecords
        else:
            log.warning("aiokafka's fetch buffer is not as known: records are read the slow way")

    def fetch_state(self, tp: Any) -> Any:
        """What aiokafka's fetcher knows of a partition; None if it is not assigned."""
        subscription = self._consumer and self._consumer._subscription.subscription
        assignment = subscription and subscription.assignment
        if not assignment or ensure_TP(tp) not in assignment.tps:
            return None
        return assignment.state_value(ensure_TP(tp))

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 theirs
        """Raises Refusal where the broker has no such offset, or a batch is damaged."""
        try:
            return await super().getmany(active_partitions, timeout)
        except OffsetOutOfRangeError as error:
            (tp, offset), *_ = error.args[0].items()
            raise out_of_range(tp.topic, tp.partition, offset) from error
        except CorruptRecordException as error:
            raise self._damaged(error, active_partitions) from error

    def _damaged(self, error: Exception, tps: Any) -> Refusal:
        for tp in tps:  # aiokafka names it in the message alone
            if f"topic='{tp.topic}', partition={tp.partition})" in str(error):
                position = getattr(self.fetch_state(tp), "position", -1)
                return unreadable(tp.topic, tp.partition, position, "bad CRC")
        return Refusal(f"a fetched batch is damaged: {error}")

    def may_reset(self, *, is_allowed: bool) -> None:
        """Whether a position that the broker does not have becomes the earliest one. While Faust
        finds its positions it must; once they come from manifests, records would be passed over."""
        fetcher: Any = getattr(self._consumer, "_fetcher", None)
        if fetcher is not None:
            name = "earliest" if is_allowed else "none"
            fetcher._default_reset_strategy = OffsetResetStrategy.from_str(name)

    def group_error(self) -> BaseException | None:
        """Why this worker is in the group no longer; None: it is. aiokafka only logs it, and
        Faust never asks."""
        coordinator: Any = getattr(self._consumer, "_coordinator", None)
        if coordinator is None:
            return None
        task = coordinator._coordination_task
        ended = task.done() and not task.cancelled()
        error: BaseException | None = task.exception() if ended else coordinator._pending_exception
        if error is not None and getattr(error, "retriable", False) and not ended:
            self.thread_loop.call_soon_threadsafe(_try_again, coordinator)
            return None
        return error

    async def rejoin(self) -> None:
        """Join the group anew, as after a rebalance: all is given back and assigned again."""
        await self.call_thread(self._rejoin)

    async def _rejoin(self) -> None:
        self._ensure_consumer()._coordinator.request_rejoin()
