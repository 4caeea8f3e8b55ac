"""`leeway demo`: embedded broker, worker, producer, alert consumer; ends by itself."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from aiokafka.errors import KafkaError

from stream import alert_lines
from stream.broker import BrokerError, EmbeddedBroker, free_port
from stream.demo import summary
from stream.demo.configuration import OWNER, configuration, write_configuration
from stream.demo.events import MODEL_ID, SEED, Event, around_the_drift, events
from stream.demo.producer import greatest_event_time, producer, send_all, send_end_of_input
from stream.demo.screen import Screen, screen
from stream.demo.worker import Worker, WorkerDiedError, running_worker
from stream.events import Alert
from stream.kafka_admin import AdminError, admin, create, topic_plan
from stream.settings import Settings

LIMIT_S = 150.0  # the demo promises three minutes, stopping included
POLL_S = 0.25
FINISHED_POLLS = 4
REFERENCE_PREDICTIONS = 10_000


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def main(rows: int | None = None, seed: int = SEED) -> int:
    """Runs the demo; rows: that many around the drift instead of all 100,000.

    Returns 0, or 1 when it failed, having said why on stderr.
    """
    chosen = None if rows is None else around_the_drift(rows)
    try:
        run = asyncio.run(_run(*events(seed=seed, rows=chosen, with_faults=True)))
    except (AdminError, BrokerError, DemoError, KafkaError, WorkerDiedError) as error:
        return _fail(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _fail("interrupted")
    if chosen is not None:
        run = replace(run, rows=chosen)
    sys.stdout.write("\n".join(["", *summary.lines(run), ""]))
    found = summary.faults(run)
    return _fail("; ".join(found)) if found else 0


def _fail(why: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"leeway demo: {why}\n")
    return 1


async def _run(predictions: list[Event], outcomes: list[Event]) -> summary.Run:
    """Everything started here is stopped here, on SIGTERM too."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    deadline_s = _now_s() + LIMIT_S
    with tempfile.TemporaryDirectory(prefix="leeway-demo-") as folder, EmbeddedBroker() as broker:
        file, web_port = Path(folder, "leeway.yaml"), free_port()
        content = configuration(
            bootstrap=broker.bootstrap,
            web_port=web_port,
            reference_predictions=min(REFERENCE_PREDICTIONS, len(predictions) // 4),
        )
        settings = write_configuration(file, content)
        async with admin(settings) as client:
            await create(client, topic_plan(settings), settings.replication)
        async with running_worker(file, web_port) as worker:
            return await _stream(settings, worker, predictions, outcomes, deadline_s)


async def _stream(
    settings: Settings,
    worker: Worker,
    predictions: list[Event],
    outcomes: list[Event],
    deadline_s: float,
) -> summary.Run:
    sent = {"predictions": len(predictions), "outcomes": len(outcomes)}
    alerts: list[Alert] = []
    with screen(sum(sent.values())) as terminal:

        def seen(alert: Alert) -> None:
            alerts.append(alert)
            terminal.say(alert_lines.line(alert))

        terminal.say(f"{sum(sent.values()):,} events of model {MODEL_ID}, owner {OWNER}")
        await _assigned(worker, settings.partitions, deadline_s)
        started_s = _now_s()
        tasks = [
            asyncio.create_task(alert_lines.follow(settings, seen)),
            asyncio.create_task(_send(settings, predictions, outcomes)),
        ]
        try:
            ledger, ended_s = await _finished(worker, terminal, tasks, deadline_s)
            await _quiet(alerts)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return summary.Run(ledger, sent, alerts, ended_s - started_s)


async def _assigned(worker: Worker, partitions: int, deadline_s: float) -> None:
    """Until the worker has all source partitions: joining its group is no part of the events/s."""
    while len((await worker.get("/ledger") or {}).get("partitions", ())) < partitions:
        await _pause(worker, deadline_s)


async def _send(settings: Settings, predictions: list[Event], outcomes: list[Event]) -> None:
    async with producer(settings) as client:
        ends = await send_all(client, settings, predictions, outcomes)
        last = greatest_event_time(predictions, outcomes)
        await send_end_of_input(client, settings, ends, last)


async def _finished(
    worker: Worker, terminal: Screen, tasks: list[asyncio.Task[None]], deadline_s: float
) -> tuple[summary.Ledger, float]:
    """The last ledger, and since when it is so, once all that was sent went through all stages.

    A maturity decision comes back through the journal, so `finished` must hold for some answers.
    """
    before, finished, moved_s = None, 0, _now_s()
    while finished < FINISHED_POLLS:
        await _pause(worker, deadline_s)
        for task in tasks:
            if task.done():
                task.result()  # raises what ended it
        status, answer = await worker.get("/status"), await worker.get("/ledger")
        if status is None or answer is None:
            continue
        ledger: summary.Ledger = answer["total"]
        terminal.at(sum(side.get("consumed", 0) for side in ledger.values()))  # empty at first
        if status != before:
            before, finished, moved_s = status, 0, _now_s()
        finished = finished + 1 if status["finished"] else 0
    return ledger, moved_s


async def _pause(worker: Worker, deadline_s: float) -> None:
    if _now_s() > deadline_s:
        raise DemoError(f"not finished after {LIMIT_S:.0f} s\n{worker.log_tail()}")
    await asyncio.sleep(POLL_S)


async def _quiet(alerts: list[Alert]) -> None:
    """Until the alerts already on the topic have been read."""
    read = -1
    while read != len(alerts):
        read = len(alerts)
        await asyncio.sleep(3 * alert_lines.POLL_MS / 1000)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
