"""The worker, wired: topics, agents, background tasks. Reading it is reading the contents.

Faust carries partitions, rebalancing and the web server. What an
event means is in the stages; what is done with their effects is in `worker_host`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from stream import control
from stream.control import EndOfInput
from stream.idle import Side
from stream.journal import TopicTail
from stream.kafka_admin import AdminError, connection
from stream.metrics import Metrics
from stream.notices import Notice
from stream.record_columns import PARSER
from stream.renewals import Renewal
from stream.rule_book import ConfigChange
from stream.settings import Settings
from stream.transport import App, BatchSchema
from stream.wire import decode_journal
from stream.worker_alert_states import AlertStates
from stream.worker_app import Positions, new_app
from stream.worker_assign import Takeover
from stream.worker_changelogs import Changelogs
from stream.worker_configs import Configs
from stream.worker_health import Health
from stream.worker_host import Host
from stream.worker_log import log_to_stderr
from stream.worker_routes import Outgoing
from stream.worker_slot import SOURCES
from stream.worker_topics import TopicWatch, required_topics
from stream.worker_watch import Watch
from stream.worker_web import add_pages

log = logging.getLogger(__name__)

_LEAVE_S = 6.0  # after the checkpoints, which have their own limit
_END_S = 14.0  # from the signal, or from the error, to the end of the process


class Worker:
    """One worker process: the Faust app and what runs beside it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self.app = new_app(settings)
        metrics = Metrics(self.registry, max_series=settings.limits.series)
        name = f"{socket.gethostname()}-{os.getpid()}"
        self.host = self.app.owner = Host(settings, self._send, metrics, name)
        metrics.running(self.host.rules.config_hash())
        _agents(self.app, self.host, settings)
        options = connection(settings)
        self.journal = TopicTail(settings.internal_topic("journal"), options, self._journal_record)
        self.control = TopicTail(settings.topics.control, options, self._control_record)
        self.host.reader = self.journal
        changelogs = Changelogs(settings, options)
        self.host.assigner = Takeover(changelogs, self.journal)
        self.configs = self.host.configs = Configs(
            self.host, self.journal, self.control, changelogs.end
        )
        positions = Positions(self.app, changelogs)
        self.watch = Watch(self.host, positions)
        self.health = Health(self.host, self.watch, self.journal, positions)
        self.topic_watch = TopicWatch(self.host)
        self.alert_states = AlertStates(self.host, options)
        add_pages(self.app, self.host, self.watch, self.health, self.registry)

    async def run(self, stop: asyncio.Event, leaving: Callable[[], None] = lambda: None) -> int:
        """Until `stop`, or until something fails; the exit code. `leaving` is told before."""
        topics = await required_topics(self.settings)
        self.host.topic_ids = {name: topic.id for name, topic in topics.items() if topic.id}
        await self.journal.start(self.settings.partitions)
        await self.control.start(1)
        tasks = [
            self._background(coroutine)
            for coroutine in (
                self.journal.run(),
                self.control.run(),
                self.host.checkpoints.run(),
                self.host.run_learning(),
                self.host.shortcut.run(),
                self.watch.run(),
                self.configs.run(),
                self.health.run(),
                self.topic_watch.run(topics),
                self.alert_states.run(topics[self.settings.topics.alerts_state].partitions),
                self._start_app(),
                self._wait_for_crash(),
            )
        ]
        asked = asyncio.create_task(stop.wait())
        failed = asyncio.create_task(self.host.stopped.wait())
        await asyncio.wait([asked, failed], return_when=asyncio.FIRST_COMPLETED)
        leaving()
        is_in_order = await self._leave([*tasks, asked, failed])
        return 0 if self.host.failure is None and is_in_order else 1

    async def _leave(self, tasks: list[asyncio.Task[Any]]) -> bool:
        """Checkpoint, acknowledge, commit, go: what was applied is not applied again.

        False: without a broker each of these may wait for ever, and we went all the same.
        """
        await self.host.drain()
        for task in tasks:
            task.cancel()
        try:
            async with asyncio.timeout(_LEAVE_S):
                await asyncio.gather(*tasks, return_exceptions=True)
                with contextlib.suppress(Exception):
                    await self.app.consumer.commit()
                await self.app.stop()
                await self.journal.stop()
                await self.control.stop()
        except TimeoutError:
            log.error("left after %.0f s without an answer from the broker", _LEAVE_S)  # noqa: TRY400 nothing to trace
            return False
        return True

    async def _start_app(self) -> None:
        await self.configs.begin()
        await self.app.start()
        log.info(
            "worker %s is ready; records are parsed by the %s parser", self.host.worker, PARSER
        )

    async def _wait_for_crash(self) -> None:
        await self.app._crashed.wait()
        raise self.app.crash_reason or RuntimeError("Faust stopped")

    def _background(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await coroutine
            except Exception as error:  # noqa: BLE001 nothing runs on half a worker
                self.host.fail(error)

        return asyncio.create_task(guarded())

    async def _send(self, record: Outgoing) -> asyncio.Future[Any]:
        promise: asyncio.Future[Any] = await self.app.producer.send(
            record.topic, record.key, record.value, record.partition, None, list(record.headers)
        )
        return promise

    async def _journal_record(self, record: Any) -> None:
        if record.value is not None:
            self.host.journal_entry(record.offset, decode_journal(record.value))

    async def _control_record(self, record: Any) -> None:
        offset, value = record.offset, record.value or b""
        self.configs.refusals.read(record.partition, offset, record.timestamp, value)
        await self._control(offset, value)

    async def _control(self, offset: int, value: bytes) -> None:
        refusals = self.configs.refusals
        if not value:
            refusals.refuse(offset, "empty", "no value")
            return
        try:
            record = control.decode(value)
            if isinstance(record, EndOfInput):
                inputs = self.host.inputs(SOURCES)
                control.must_name_inputs(record, inputs, self.settings.partitions)
        except control.ControlError as error:
            refusals.refuse(offset, "control_malformed", str(error))
            return
        match record:
            case None:
                refusals.refuse(offset, "control_unknown", "its type is not known")
            case EndOfInput():
                refusals.used(offset)
                await self.host.input_ends(record)
            case ConfigChange() | Renewal() | Notice():
                self.configs.announce(offset, record)


def build(settings: Settings) -> App:
    """The Faust app of these settings, wired and not started."""
    return Worker(settings).app


def run_worker(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT; the exit code: 0, or 1 after an error (said on stderr)."""
    log_to_stderr()
    try:
        return asyncio.run(_run(settings))
    except (AdminError, KafkaError, OSError, TimeoutError) as error:
        log.error("leeway worker: %s", error)  # noqa: TRY400 one line: what to do, not where it was
        return 1


async def _run(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        _end_at_last()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    return await Worker(settings).run(stop, _end_at_last)


def _end_at_last() -> None:
    """Faust's threads, and tasks that cancellation does not end, would keep the process."""

    def end() -> None:
        log.error("the worker ends without having left in order")
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(_END_S, end)
    timer.daemon = True
    timer.start()


def _agents(app: App, host: Host, settings: Settings) -> None:
    """Four agents, each the only one of its topic."""
    sides: dict[Side, str] = {
        "predictions": settings.topics.predictions,
        "outcomes": settings.topics.outcomes,
    }
    for side, name in sides.items():
        topic = app.topic(name, schema=BatchSchema(), partitions=settings.partitions)
        app.agent(topic, name=f"stream.{side}")(_consume(host, _batches(host, side)))
    panes = app.topic(settings.internal_topic("panes"), value_type=bytes, key_type=bytes)
    findings = app.topic(settings.internal_topic("findings"), value_type=bytes, key_type=bytes)
    app.agent(panes, name="stream.panes")(_consume(host, _records(host.model_record)))
    app.agent(findings, name="stream.findings")(_consume(host, _records(host.alert_record)))


Handle = Callable[[Any, Callable[[], Awaitable[None]]], Awaitable[None]]


def _batches(host: Host, side: Side) -> Handle:
    return lambda event, ack: host.source_batch(side, event.value, ack)


def _records(handle: Callable[..., Awaitable[None]]) -> Handle:
    def record(event: Any, ack: Callable[[], Awaitable[None]]) -> Awaitable[None]:
        message = event.message
        return handle(message.partition, message.offset, message.value, ack)

    return record


def _consume(host: Host, handle: Handle) -> Callable[[Any], Awaitable[None]]:
    async def agent(stream: Any) -> None:
        """Acknowledges nothing by itself: Faust would do so on errors and cancellation too."""
        unacknowledged = stream.noack()
        async for _ in unacknowledged:
            event = unacknowledged.current_event
            if host.failure is not None:
                continue
            try:
                await handle(event, partial(unacknowledged.ack, event))
            except Exception as error:  # noqa: BLE001 skipping a record would lose it
                host.fail(error)

    return agent
