"""The Faust app: its settings, and what the worker asks of its consumer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import faust
from faust.transport.drivers import TRANSPORTS

from stream.kafka_admin import connection, largest_record_bytes
from stream.settings import Settings
from stream.transport import App

_BATCH_RECORDS = 32_000
_BATCHES_IN_QUEUE = 8
_REQUEST_TIMEOUT_S = 90.0  # Faust's own default, which must be beyond the session's
_REQUEST_MARGIN_S = 30.0
_FETCH_BYTES = 1 << 22
_PRODUCER_BATCH_BYTES = 1 << 19  # panes of ten models, which would wait for one another otherwise
_LINGER_S = 0.005  # what several slots say at a time leaves in one request
# Faust refuses an assignment made for another URL than its own: with static membership one is
# handed on from process to process. Nothing is routed by it here, so all have the same.
_CANONICAL_URL = "http://leeway"
PRODUCE_TIMEOUT_S = 30.0  # then the record has failed, and the worker stops

TRANSPORTS.aliases.setdefault("leeway", "stream.transport:Transport")


def new_app(settings: Settings) -> App:
    kafka = settings.kafka
    hosts = kafka.bootstrap.split(",")
    session_s = kafka.session_timeout.total_seconds()
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
        broker_session_timeout=session_s,
        broker_request_timeout=max(_REQUEST_TIMEOUT_S, session_s + _REQUEST_MARGIN_S),
        broker_rebalance_timeout=kafka.rebalance_timeout.total_seconds(),
        broker_heartbeat_interval=kafka.heartbeat.total_seconds(),
        canonical_url=_CANONICAL_URL,
        consumer_group_instance_id=kafka.instance_id,
        broker_commit_interval=1.0,
        stream_buffer_maxsize=_BATCHES_IN_QUEUE,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        producer_acks=-1,
        producer_linger=_LINGER_S,
        producer_max_batch_size=_PRODUCER_BATCH_BYTES,
        producer_max_request_size=largest_record_bytes(settings),
        producer_request_timeout=PRODUCE_TIMEOUT_S,
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


class Reading(Protocol):
    bytes_read: int


class Positions:
    """What the consumer knows (see `worker_watch.Positions`)."""

    def __init__(self, app: App, changelogs: Reading) -> None:
        self._app, self._changelogs = app, changelogs

    def is_at_end(self, tp: Any, now_ms: int) -> bool:
        return bool(self._app.consumer.is_at_end(tp, now_ms))

    def end(self, tp: Any) -> int | None:
        end: int | None = self._app.consumer.end(tp)
        return end

    def passed(self, tp: Any, applied: int) -> int:
        return int(self._app.consumer.passed(tp, applied))

    def restoring(self) -> tuple[bool, int] | None:
        """None: nothing is assigned, or all of it is restored. Else whether the takeover has
        begun, and how much of the changelogs is read: what does not move is stuck."""
        is_taking_over: bool | None = self._app.consumer.restoring()
        return None if is_taking_over is None else (is_taking_over, self._changelogs.bytes_read)

    def hold(self, tps: Collection[Any]) -> None:
        self._app.consumer.hold(tps)

    def group_error(self) -> BaseException | None:
        error: BaseException | None = self._app.consumer.group_error()
        return error

    async def rejoin(self) -> None:
        await self._app.consumer.rejoin()
