"""The worker's pages, on Faust's web server: /metrics, /health (liveness), /ledger and /status."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from stream.idle import SIDES
from stream.worker_health import Health
from stream.worker_host import Host
from stream.worker_slot import MODELS, SOURCES, STAGES
from stream.worker_watch import Watch

Terms = dict[str, dict[str, int]]


def add_pages(
    app: Any, host: Host, watch: Watch, health: Health, registry: CollectorRegistry
) -> None:
    @app.page("/metrics", name="metrics")
    async def metrics(web: Any, request: Any) -> Any:  # noqa: ARG001 Faust's signature
        show_state(host)
        return web.bytes(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @app.page("/health", name="health")
    async def show_health(web: Any, request: Any) -> Any:  # noqa: ARG001
        ills = health.ills()
        oldest_commit_s = round(watch.oldest_commit_s, 1)
        answer = {"healthy": not ills, "oldest_commit_s": oldest_commit_s, "ills": ills}
        return web.json(answer, status=503 if ills else 200)

    @app.page("/ledger", name="ledger")
    async def ledger(web: Any, request: Any) -> Any:  # noqa: ARG001
        return _json(web, await ledgers(host))

    @app.page("/status", name="status")
    async def status(web: Any, request: Any) -> Any:
        answer, model_id = progress(host), request.query.get("model")
        if model_id is not None:
            models = [slot.core for slot in host.models.values()]
            answer["series"] = [power for core in models for power in core.powers(model_id)]
            deployed = [one for core in models for one in core.deployed(model_id)]
            answer |= {"deployed": deployed} if deployed else {}
            answer["versions"] = [one for core in models for one in core.versions(model_id)]
            answer["shadows"] = [one for core in models for one in core.shadows(model_id)]
            answer["experiments"] = [one for core in models for one in core.experiments(model_id)]
        return _json(web, answer)


def _json(web: Any, answer: dict[str, Any]) -> Any:
    return web.bytes(msgspec.json.encode(answer), content_type="application/json")


async def ledgers(host: Host) -> dict[str, Any]:
    """The ledger of each source partition this worker owns, and their sum.

    With millions of predictions that wait it takes long: only the partition looked at stands still.
    """
    partitions = {}
    for partition, slot in sorted(host.sources.items()):
        async with host.changing(slot) as is_ours:
            if is_ours:
                partitions[partition] = await _in_steps(slot.core.ledger_in_steps())
    total: dict[str, Counter[str]] = {side: Counter() for side in SIDES}
    for ledger in partitions.values():
        for side, terms in ledger.items():
            total[side].update(terms)
    return {
        "worker": host.worker,
        "total": {side: dict(terms) for side, terms in total.items()},
        "partitions": {str(p): ledger for p, ledger in partitions.items()},
    }


async def _in_steps(steps: Generator[None, None, Terms]) -> Terms:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            terms: Terms = end.value
            return terms
        await asyncio.sleep(0)


def progress(host: Host) -> dict[str, Any]:
    """Where each stage and partition of this worker is. `finished`: the end of the input went
    through all stages as far as this worker sends and reads them, and its outputs are on topics.
    """
    slots = host.slots()
    ended = [bool(slot.ended) for slot in host.sources.values()]
    open_outputs = any(slot.has_open for slot in slots)
    caught_up = all(
        offset >= host.sent_ends.get((topic, slot.partition), 0)
        for slot in slots
        for topic, offset in slot.offsets.items()
    )
    shared = {n: of for slot in host.alerts.values() for n, of in slot.core.shared().items()}
    return {
        "worker": host.worker,
        "finished": bool(ended) and all(ended) and caught_up and not open_outputs,
        "open_outputs": open_outputs,
        "idle_entries": host.journal.idle_entries,
        "sent_ends": {f"{topic}/{p}": end for (topic, p), end in sorted(host.sent_ends.items())},
        "slots": [
            {
                "stage": slot.stage,
                "partition": slot.partition,
                "epoch": slot.core.epoch,
                "offsets": slot.offsets,
                "ended": len(slot.ended),
            }
            for slot in slots
        ],
        **({"shared_features": shared} if shared else {}),
    }


def show_state(host: Host) -> None:
    """Metrics of ledgers, models and alerts, at the moment they are asked for."""
    for source in host.sources.values():
        ledger = source.core.ledger_at_hand()
        for side, topic in host.topics.items():
            host.metrics.ledger(topic, source.partition, ledger[side])
        for (side, what), level in source.core.shed_levels().items():
            host.metrics.shed_level(host.topics[side], source.partition, what, level)
        host.metrics.features(STAGES[SOURCES], source.partition, source.core.refused_features())
    for slot in host.models.values():
        host.metrics.groups(slot.partition, *slot.core.watched())
        host.metrics.features(STAGES[MODELS], slot.partition, slot.core.refused_features())
        for status in slot.core.status():
            model, version, role, _ = status.group
            key = (model, version, role, status.series, status.detector)
            host.metrics.series(key, status.score, status.threshold)
        for one in slot.core.versions():
            names = (one["model"], one["version"], one["role"])
            host.metrics.version(names, one["predictions"])
        for (model, version, role, _), labels in slot.core.labels().items():
            host.metrics.labels(model, version, role, labels)
    firing = [alert for slot in host.alerts.values() for alert in slot.core.active()]
    host.metrics.alerts((alert.model.id, alert.severity) for alert in firing)
