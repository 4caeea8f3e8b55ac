"""Real workers on a real Kafka, killed at random moments: the same alerts, byte for byte."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import yaml

from stream.kafka_admin import TopicSpec, admin, create, topic_plan
from tests.chaos.broker import killable_kafka
from tests.chaos.faults import Faults, drawn
from tests.chaos.feed import Feed
from tests.chaos.fleet import Fleet
from tests.chaos.judge import Judgement, Ledgers, judge
from tests.chaos.settle import settled
from tests.integration.java_broker import JavaBroker
from tests.integration.job import Job

WORKERS, EXTRA = 3, 2
PARTITIONS = 3
_IDLE = "2s"
_MAX_PEAK_MB = 600.0
_CATCH_UP_S = 240.0
_COMPACTED_MS = 20_000  # segments of compacted topics: what is obsolete goes while the run lasts
_LAG_MS = 60_000  # of the journal, for which the plan has an hour: a takeover is far shorter


@dataclass
class Run:
    seed: int
    seconds: float = 0.0
    done: dict[str, int] = field(default_factory=dict)
    judgement: Judgement = field(default_factory=Judgement)

    @property
    def is_right(self) -> bool:
        return not self.judgement.wrong


async def run_kills(seed: int, kills: int, folder: Path) -> Run:
    """Logs of the workers are in `folder`. With an even seed membership is static. Raises NoKafka
    where no broker can be killed."""
    # Without a broker the clients of the run itself would say so ten times a second.
    log = logging.getLogger("aiokafka")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with killable_kafka() as broker:
            return await _Kills(seed, kills, folder, broker).run()
    finally:
        log.setLevel(level)


def named(job: Job) -> None:
    """Static membership: each worker of the group has a name that outlives its process."""
    for worker in job.workers:
        settings = yaml.safe_load(worker.file.read_text())
        settings["kafka"]["instance_id"] = worker.name
        worker.file.write_text(yaml.safe_dump(settings))


class _Kills:
    def __init__(self, seed: int, kills: int, folder: Path, broker: JavaBroker) -> None:
        self._run = Run(seed)
        self._kills = kills
        self._folder = folder
        app = f"chaos-{uuid.uuid4().hex[:8]}"
        changed = {"partitions": PARTITIONS, "checkpoint": {"interval": "2s"}}
        self._job = Job(folder, app, broker.bootstrap, WORKERS + EXTRA, idle=_IDLE, changed=changed)
        if seed % 2 == 0:
            named(self._job)
        self._fleet = Fleet(self._job, WORKERS)
        self._faults = Faults(self._fleet, broker, Random(seed))
        self._feed = Feed(self._job, seed)
        self._began_s = time.monotonic()

    async def run(self) -> Run:
        tasks: list[asyncio.Task[None]] = []
        try:
            await create_topics(self._job)
            self._fleet.start()
            await self._job.ready()
            await self._feed.start()
            feeding = asyncio.create_task(self._feed.run())
            tasks = [asyncio.create_task(self._fleet.watch()), feeding]
            await self._disturb(feeding)
            self._feed.stop()
            await feeding
            self._run.seconds = time.monotonic() - self._began_s
            ledgers, until_ms = await self._catch_up()
        except Exception as error:  # noqa: BLE001 a run of half an hour says what it has
            self._run.seconds = time.monotonic() - self._began_s
            self._note([f"it did not end: {error!r}"])
            return self._run
        finally:
            self._fleet.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._run.judgement = await judge(self._job, ledgers, self._feed.end_ms, until_ms)
        self._note([])
        if not self._run.is_right:
            await self._keep_journal()
        return self._run

    async def _disturb(self, feeding: asyncio.Task[None]) -> None:
        for number, kind in enumerate(drawn(Random(self._run.seed), self._kills), 1):
            gap_s = await self._faults.begin(kind)
            await asyncio.sleep(gap_s)
            if feeding.done():
                feeding.result()  # it ends only when told to: this raises why
            if number % 5 == 0 or number == self._kills:
                self._say(number)
        await self._faults.over()

    def _say(self, number: int) -> None:
        passed_s = time.monotonic() - self._began_s
        print(
            f"{passed_s:6.0f} s  {number:3} of {self._kills} faults, {self._feed.sent} sent, "
            f"{self._fleet.applied} applied, peak {self._fleet.peak_mb:.0f} MB, "
            f"ended by themselves {sum(self._fleet.ended.values())}",
            flush=True,
        )

    async def _catch_up(self) -> tuple[Ledgers, int]:
        """Until all went through; the ledgers then, and when that was."""
        await self._job.send_end(self._feed.end_ms)
        return await settled(self._job, _CATCH_UP_S)

    async def _keep_journal(self) -> None:
        """Beside the logs: the broker's data goes."""
        topic = self._job.settings.internal_topic("journal")
        lines = [
            f"{r.partition} {r.offset} {r.timestamp} {r.key!r} {r.value!r}\n"
            for records in (await self._job.read(topic, PARTITIONS)).values()
            for r in records
        ]
        (self._folder / "journal.txt").write_text("".join(lines))

    def _note(self, wrong: list[str]) -> None:
        run, found = self._run, self._run.judgement
        found.wrong += wrong
        run.done = dict(sorted(self._faults.done.items()))
        peak_mb = self._fleet.peak_mb
        if peak_mb > _MAX_PEAK_MB:
            found.wrong.append(f"a worker held {peak_mb:.0f} MB, not {_MAX_PEAK_MB:.0f}")
        found.wrong += self._faults.wrong
        mute = [why for why in self._fleet.ended if "without a word" in why]
        found.wrong += [f"a worker ended: {why}" for why in mute]
        found.figures |= {
            "membership": "dynamic" if self._run.seed % 2 else "static",
            "sent": self._feed.sent, "silences": self._feed.silences,
            "peak_mb": round(peak_mb), "stalled_s": round(self._fleet.stalled_s, 1),
            "sigterm_exits": {str(code): n for code, n in self._faults.left.items()},
            "ended_by_themselves": dict(self._fleet.ended),
        }  # fmt: skip


async def create_topics(job: Job) -> None:
    """Kept for ever, because the events are old; what is compacted is compacted soon, but for
    `alerts.state`, whose every write is judged."""

    def changed(spec: TopicSpec) -> TopicSpec:
        config = {**spec.config, "retention.ms": "-1"}
        if config["cleanup.policy"] == "compact" and spec.name != job.settings.topics.alerts_state:
            config |= {"segment.ms": str(_COMPACTED_MS), "min.cleanable.dirty.ratio": "0.1"}
            if "min.compaction.lag.ms" in config:
                config["min.compaction.lag.ms"] = str(_LAG_MS)
        return replace(spec, config=config)

    async with admin(job.settings) as client:
        await create(client, [changed(spec) for spec in topic_plan(job.settings)], 1)


def table(run: Run) -> list[str]:
    """What was done, what was found, and the verdict in the last line."""
    figures: dict[str, Any] = run.judgement.figures
    total = sum(run.done.values())
    lines = [f"{kind:10} {count:4}" for kind, count in run.done.items()]
    lines.append(f"{'together':10} {total:4}  in {run.seconds:.0f} s: ")
    lines[-1] += f"{total * 60 / max(run.seconds, 1):.1f} a minute"
    lines += [f"{name}: {value}" for name, value in figures.items()]
    lines += [f"wrong: {text[:500]}" for text in run.judgement.wrong[:10]]
    verdict = "PASS" if run.is_right else f"FAIL ({len(run.judgement.wrong)} wrong)"
    lines.append(f"{verdict}: seed {run.seed}, {total} faults")
    return lines
