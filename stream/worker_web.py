"""The worker's pages, on Faust's web server: /metrics, /health (liveness) and /ledger."""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from stream.worker_host import Host
from stream.worker_watch import Watch


def add_pages(app: Any, host: Host, watch: Watch, registry: CollectorRegistry) -> None:
    @app.page("/metrics", name="metrics")
    async def metrics(web: Any, request: Any) -> Any:  # noqa: ARG001 Faust's signature
        show_models(host)
        return web.bytes(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    @app.page("/health", name="health")
    async def health(web: Any, request: Any) -> Any:  # noqa: ARG001
        answer = {"healthy": watch.is_healthy, "oldest_commit_s": round(watch.oldest_commit_s, 1)}
        return web.json(answer, status=200 if watch.is_healthy else 503)

    @app.page("/ledger", name="ledger")
    async def ledger(web: Any, request: Any) -> Any:  # noqa: ARG001
        return web.bytes(msgspec.json.encode(ledgers(host)), content_type="application/json")


def ledgers(host: Host) -> dict[str, Any]:
    """The ledger of each source partition this worker owns, and where it has come to."""
    return {
        "worker": host.worker,
        "idle_entries": host.journal.idle_entries,
        "partitions": {
            str(partition): {
                **slot.core.ledger(),
                "offsets": slot.offsets,
                "ends_applied": len(slot.ended),
            }
            for partition, slot in sorted(host.sources.items())
        },
        "slots": [
            {"stage": slot.stage, "partition": slot.partition, "offsets": slot.offsets}
            for slot in host.slots()
        ],
    }


def show_models(host: Host) -> None:
    """Metrics of models and alerts, at the moment they are asked for."""
    for model in host.models.values():
        for status in model.core.status():
            s = status
            key = (s.model, s.version, s.role, s.feature, s.detector)
            host.metrics.series(key, s.score, s.threshold)
            if s.label_coverage is not None:
                host.metrics.coverage(s.model, s.version, s.role, s.label_coverage)
    firing = [a for slot in host.alerts.values() for a in slot.core.active()]
    host.metrics.alerts((alert.model.id, alert.severity) for alert in firing)
