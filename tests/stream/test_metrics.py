"""What /metrics says of what the shell reports."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from stream.metrics import RESULTS, Metrics
from stream.monitor_told import LabelStatus

TERMS = dict.fromkeys((*RESULTS, "consumed", "pending"), 0)

DOCUMENTED = {
    "leeway_events_total",
    "leeway_dead_letters_total",
    "leeway_misplaced_records_total",
    "leeway_lost_records_total",
    "leeway_alert_states_repaired_total",
    "leeway_ledger_records",
    "leeway_shed_level",
    "leeway_lag_records",
    "leeway_watermark_timestamp_seconds",
    "leeway_committed_offset_age_seconds",
    "leeway_label_coverage_ratio",
    "leeway_version_predictions",
    "leeway_requests_total",
    "leeway_label_delay_seconds",
    "leeway_drift_score",
    "leeway_drift_threshold",
    "leeway_groups_watched",
    "leeway_groups_refused_panes",
    "leeway_features_refused",
    "leeway_series_dropped",
    "leeway_alerts_active",
    "leeway_state_bytes",
    "leeway_batch_seconds",
    "leeway_checkpoint_seconds",
    "leeway_checkpoint_bytes_total",
    "leeway_partition_paused",
    "leeway_build_info",
}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry, max_series=3)


def feed(metrics: Metrics) -> None:
    metrics.running("abc")
    metrics.groups(0, 3, 1)
    metrics.features("panes", 0, 2)
    metrics.batch("predictions", 0, TERMS | {"applied": 5, "consumed": 5, "pending": 5}, 0.01)
    metrics.ledger("predictions", 0, TERMS | {"pending": 5})
    metrics.shed_level("predictions", 0, "pending", 1)
    metrics.lag("predictions", 0, 7)
    metrics.watermark("predictions", 0, 1_500)
    metrics.committed_age("predictions", 0, 0.5)
    metrics.paused("predictions", 0, True)
    metrics.dead_letter("predictions", "bad_json")
    metrics.misplaced("predictions")
    metrics.lost("predictions", 0, 3)
    metrics.alert_states_repaired(1)
    metrics.state("sources", 0, 10)
    metrics.checkpoint("sources", 0.1, 10)
    metrics.labels("m", "1", "champion", LabelStatus(9, 10, 1_000, 2_500))
    metrics.version(("m", "1", "champion"), 10)
    metrics.request("retrain")
    metrics.series(("m", "1", "champion", "age", "adwin"), 0.1, 0.2)
    metrics.alerts([("m", "error")])


def test_metrics_text_has_each_documented_metric_with_its_help_and_no_other(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    feed(metrics)
    text = generate_latest(registry).decode()
    helped = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert {name for name in helped if not name.endswith("_created")} == DOCUMENTED
    sampled = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(any(line.startswith(name) for line in sampled) for name in DOCUMENTED)


def test_a_batch_counts_only_what_is_new_since_the_checkpoint(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.assigned("predictions", 1, TERMS | {"applied": 100, "late": 1})
    metrics.batch("predictions", 1, TERMS | {"applied": 103, "late": 2}, 0.01)
    value = registry.get_sample_value
    topic = {"topic": "predictions"}
    assert value("leeway_events_total", topic | {"result": "applied"}) == 3
    assert value("leeway_events_total", topic | {"result": "late"}) == 1


def test_the_ledger_shows_all_terms_of_a_partition(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.ledger("predictions", 1, {"applied": 103, "pending": 3})
    labels = {"topic": "predictions", "partition": "1", "term": "pending"}
    assert registry.get_sample_value("leeway_ledger_records", labels) == 3


def test_a_revoked_partition_leaves_the_gauges_and_no_other_does(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    for partition in (0, 1):
        metrics.batch("predictions", partition, TERMS, 0.01)
        metrics.lag("predictions", partition, 7)
    metrics.revoked("predictions", 0)
    value = registry.get_sample_value
    assert value("leeway_lag_records", {"topic": "predictions", "partition": "0"}) is None
    assert value("leeway_lag_records", {"topic": "predictions", "partition": "1"}) == 7


def test_series_beyond_the_limit_are_counted_not_shown(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    for _again in range(2):
        for number in range(10):
            metrics.series(("m", "1", "champion", f"f{number}", "adwin"), 0.1, 0.2)
    assert registry.get_sample_value("leeway_series_dropped") == 7
    assert generate_latest(registry).decode().count("leeway_drift_score{") == 3


def test_an_alert_that_no_longer_fires_disappears(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    labels = {"model": "m", "severity": "error"}
    metrics.alerts([("m", "error"), ("m", "error")])
    assert registry.get_sample_value("leeway_alerts_active", labels) == 2
    metrics.alerts([])
    assert registry.get_sample_value("leeway_alerts_active", labels) is None


def test_no_watermark_is_shown_before_the_first_event(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.watermark("predictions", 0, None)
    where = {"topic": "predictions", "partition": "0"}
    assert registry.get_sample_value("leeway_watermark_timestamp_seconds", where) is None
