"""The worker, wired: topics, tables, agents, background tasks. Reading it is reading the contents.

Faust carries partitions, tables (changelog recovery), rebalancing and the web server. What an
event means is in the stages; what is done with their effects is in `worker_host`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.transport.drivers import TRANSPORTS
from prometheus_client import CollectorRegistry

from stream import control
from stream.idle import Side
from stream.journal import TopicTail
from stream.kafka_admin import AdminError, admin, compare, connection, live_topics, topic_plan
from stream.metrics import Metrics
from stream.settings import Settings
from stream.transport import BatchSchema
from stream.wire import decode_journal
from stream.worker_assign import Takeover
from stream.worker_host import Host
from stream.worker_routes import Outgoing
from stream.worker_slot import ALERTS, MODELS, SOURCES, STAGES
from stream.worker_watch import Watch
from stream.worker_web import add_pages

log = logging.getLogger(__name__)

SESSION_TIMEOUT_S = 6.0
HEARTBEAT_S = 1.0
_BATCH_RECORDS = 5_000
_BATCHES_IN_QUEUE = 8
_FETCH_BYTES = 1 << 20
_PRODUCER_BATCH_BYTES = 1 << 18
_MAX_REQUEST_BYTES = 1 << 20

TRANSPORTS.aliases.setdefault("leeway", "stream.transport:Transport")


class App(faust.App):
    """A Faust app whose transport tells `owner` of assignments."""

    owner: Host

    async def on_first_start(self) -> None:
        """Faust would make a data directory; the state is in the changelogs alone."""


class Worker:
    """One worker process: the Faust app and what runs beside it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self.app = _app(settings)
        metrics = Metrics(self.registry, max_series=settings.limits.series)
        name = f"{socket.gethostname()}-{os.getpid()}"
        self.host = self.app.owner = Host(settings, self._send, metrics, name)
        metrics.running(self.host.rules.config_hash())
        self.tables = _tables(self.app, settings)
        _agents(self.app, self.host, settings)
        options = connection(settings)
        self.journal = TopicTail(settings.internal_topic("journal"), options, self._journal_record)
        self.control = TopicTail(settings.topics.control, options, self._control_record)
        self.host.assigner = Takeover(_Changelogs(self.app, self.tables), self.journal)
        self.watch = Watch(self.host, _Positions(self.app))
        add_pages(self.app, self.host, self.watch, self.registry)

    async def run(self, stop: asyncio.Event) -> int:
        """Until `stop`, or until something fails; the exit code."""
        await _require_topics(self.settings)
        await self.journal.start(self.settings.partitions)
        await self.control.start(1)
        self.host.journal_positions = self.journal.positions
        tasks = [
            self._background(coroutine)
            for coroutine in (
                self.journal.run(),
                self.control.run(),
                self.host.run_checkpoints(),
                self.watch.run(),
                self._start_app(),
                self._wait_for_crash(),
            )
        ]
        asked = asyncio.create_task(stop.wait())
        failed = asyncio.create_task(self.host.stopped.wait())
        await asyncio.wait([asked, failed], return_when=asyncio.FIRST_COMPLETED)
        await self._leave([*tasks, asked, failed])
        return 0 if self.host.failure is None else 1

    async def _leave(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Checkpoint, acknowledge, commit, go: what was applied is not applied again."""
        await self.host.drain()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self.app.consumer.commit()
        await self.app.stop()
        await self.journal.stop()
        await self.control.stop()

    async def _start_app(self) -> None:
        await self.app.start()
        log.info("worker %s is ready", self.host.worker)

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

    async def _send(self, record: Outgoing) -> Awaitable[Any]:
        promise: Awaitable[Any] = await self.app.producer.send(
            record.topic, record.key, record.value, record.partition, None, list(record.headers)
        )
        return promise

    async def _journal_record(self, partition: int, offset: int, value: bytes) -> None:
        await self.host.journal_entry(partition, offset, decode_journal(value))

    async def _control_record(self, partition: int, offset: int, value: bytes) -> None:
        try:
            end = control.decode(value)
        except control.ControlError as error:
            log.error("control record %d of partition %d ignored: %s", offset, partition, error)
            return
        if end is None:
            log.warning("control record %d of partition %d: type not known", offset, partition)
        else:
            await self.host.input_ends(end)


def build(settings: Settings) -> App:
    """The Faust app of these settings, wired and not started."""
    return Worker(settings).app


def run_worker(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT; the exit code: 0, or 1 after an error (said on stderr)."""
    if not logging.getLogger().handlers:
        logging.basicConfig(
            stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
        )
        for name in ("faust", "mode", "aiokafka"):
            logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return asyncio.run(_run(settings))
    except (AdminError, KafkaError, OSError, TimeoutError) as error:
        log.error("leeway worker: %s", error)
        return 1


async def _run(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return await Worker(settings).run(stop)


async def _require_topics(settings: Settings) -> None:
    """Raises AdminError, with what to do, if a topic is missing or has another partition count."""
    plan = topic_plan(settings)
    async with admin(settings) as client:
        steps = compare(plan, await live_topics(client, [spec.name for spec in plan]))
    wrong = [step for step in steps if step.state in {"create", "mismatch"}]
    if wrong:
        raise AdminError(
            "; ".join(f"topic {s.spec.name} {s.detail or 'is missing'}: {s.remedy}" for s in wrong)
        )


def _app(settings: Settings) -> App:
    hosts = settings.kafka.bootstrap.split(",")
    return App(
        settings.app,
        broker=[f"leeway://{host}" for host in hosts],
        broker_credentials=_credentials(settings),
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=settings.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=_FETCH_BYTES,
        broker_max_poll_records=_BATCH_RECORDS,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_rebalance_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_commit_interval=1.0,
        stream_buffer_maxsize=_BATCHES_IN_QUEUE,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        producer_acks=-1,
        producer_max_batch_size=_PRODUCER_BATCH_BYTES,
        producer_max_request_size=_MAX_REQUEST_BYTES,
        web_bind=settings.web.host,
        web_host=settings.web.host,
        web_port=settings.web.port,
        web_tables_enabled=False,
        web_router_enabled=False,
        web_graph_enabled=False,
        web_stats_enabled=False,
        web_metrics_enabled=False,
    )


def _credentials(settings: Settings) -> Any:
    options = connection(settings)
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


def _tables(app: App, settings: Settings) -> dict[int, Any]:
    """One per stage: Faust wants a changelog to have its topic's partition count."""
    partitions = {SOURCES: settings.partitions, MODELS: settings.partitions, ALERTS: 1}
    return {
        stage: app.Table(name, partitions=partitions[stage], key_type=bytes, value_type=bytes)
        for stage, name in STAGES.items()
    }


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
                await handle(event, lambda event=event: unacknowledged.ack(event))
            except Exception as error:  # noqa: BLE001 skipping a record would lose it
                host.fail(error)

    return agent


class _Changelogs:
    """Faust's tables after its recovery (see `worker_assign.Changelogs`)."""

    def __init__(self, app: App, tables: Mapping[int, Any]) -> None:
        self._app, self._tables = app, tables

    def records(self, stage: int) -> Mapping[bytes, bytes | None]:
        return dict(self._tables[stage].data.data)

    def forget(self) -> None:
        for table in self._tables.values():
            table.data.data.clear()

    async def earliest(self, tps: Collection[Any]) -> Mapping[Any, int]:
        found: Mapping[Any, int] = await self._app.consumer.earliest_offsets(*tps)
        return found


class _Positions:
    """What the consumer knows (see `worker_watch.Positions`)."""

    def __init__(self, app: App) -> None:
        self._app = app

    def is_at_end(self, tp: Any, now_ms: int) -> bool:
        return bool(self._app.consumer.is_at_end(tp, now_ms))

    def end(self, tp: Any) -> int | None:
        try:
            end: int | None = self._app.consumer.highwater(tp)
        except Exception:  # noqa: BLE001 not assigned any more, or not started yet
            return None
        return end

    def hold(self, tps: Collection[Any]) -> None:
        self._app.consumer.hold(tps)
