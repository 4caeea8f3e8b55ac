"""Every metric of the worker, defined and explained here and nowhere else.

The rates that the four golden questions need: is it alive (committed offset age, watermark),
is it keeping up (lag, batch seconds), does it lose anything (ledger terms, dead letters),
what does it see (drift score, label coverage, alerts).
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from platform import python_version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.monitor_told import LabelStatus
from stream.record_columns import PARSER

_PARTITION = ("topic", "partition")
_MODEL = ("model", "version", "role")
_SERIES = (*_MODEL, "feature", "detector")
_BATCH_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_CHECKPOINT_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_REFUSED_MAX = 1_000_000

RESULTS = ("applied", "duplicate", "late", "future", "dead_lettered", "shed")
"""What becomes of a consumed record, exactly one of them."""

SeriesKey = tuple[str, str, str, str, str]
"""Model, version, role, feature (or measure), detector."""


class Metrics:
    """What the shell reports; one per worker process and registry.

    Label values are strings a producer chose, so the per-series metrics hold at most
    `max_series` series; what is beyond is counted in `leeway_series_dropped`.
    """

    def __init__(self, registry: CollectorRegistry, *, max_series: int = 5_000) -> None:
        self._max_series = max_series
        self._series: set[SeriesKey] = set()
        self._refused: set[int] = set()
        self._terms: dict[tuple[str, int], dict[str, int]] = {}

        def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"leeway_{name}", text, labels, registry=registry)

        self._events = Counter(
            "leeway_events",
            "Records consumed, by what became of them "
            "(applied, duplicate, late, future, dead_lettered, shed).",
            ("topic", "result"),
            registry=registry,
        )
        self._dead_letters = Counter(
            "leeway_dead_letters",
            "Records that could not be used, by reason.",
            ("topic", "reason"),
            registry=registry,
        )
        self._misplaced = Counter(
            "leeway_misplaced_records",
            "Fetched batches whose first keyed record lies in another partition than murmur2 of "
            "its key says (one record of each batch is looked at): its producer deals keys by "
            "another rule, and outcomes do not meet their predictions.",
            ("topic",),
            registry=registry,
        )
        self._lost = Counter(
            "leeway_lost_records",
            "Offsets that retention deleted before they were applied, and whose loss was accepted "
            "(checkpoint.accept_lost_records).",
            _PARTITION,
            registry=registry,
        )
        self._alert_states_repaired = Counter(
            "leeway_alert_states_repaired",
            "States of alerts that a former owner overwrote with older ones, written again.",
            registry=registry,
        )
        self._ledger = gauge(
            "ledger_records",
            "Terms of the ledger per source partition: consumed = applied + duplicate + late + "
            "future + dead_lettered + shed, and what the applied ones became.",
            (*_PARTITION, "term"),
        )
        self._shed_level = gauge(
            "shed_level",
            "Of the records to come on a partition 2**-level are kept for want of room (16: none): "
            "of predictions waiting for outcomes (pending), waiting outcomes, remembered ids.",
            (*_PARTITION, "what"),
        )
        self._lag = gauge(
            "lag_records", "Records on the broker that are not yet applied.", _PARTITION
        )
        self._watermark = gauge(
            "watermark_timestamp_seconds",
            "Greatest event time accepted on a partition, Unix time.",
            _PARTITION,
        )
        self._committed = gauge(
            "committed_offset_age_seconds",
            "Time since the committed offset of a partition that has records to read last moved; "
            "the liveness of the worker is judged by it.",
            _PARTITION,
        )
        self._coverage = gauge(
            "label_coverage_ratio", "Share of matured predictions that had an outcome.", _MODEL
        )
        self._predictions = gauge(
            "version_predictions",
            "Predictions of a version and role so far, of its panes that are closed.",
            _MODEL,
        )
        self._requests = Counter(
            "leeway_requests", "Requests to act that were sent.", ("type",), registry=registry
        )
        self._label_delay = gauge(
            "label_delay_seconds",
            "Time from a prediction to its outcome, of recently matured predictions that had one.",
            (*_MODEL, "quantile"),
        )
        self._score = gauge(
            "drift_score",
            "Statistic of a detector at the last change that it told of a series: it is there from "
            "the first change on, and stays as it is until the next one.",
            _SERIES,
        )
        self._threshold = gauge(
            "drift_threshold", "Threshold that the statistic of the last change was above.", _SERIES
        )
        self._dropped = gauge(
            "series_dropped", "Series without drift metrics, because limits.series was reached."
        )
        self._watched = gauge(
            "groups_watched",
            "Versions and roles of models that a partition of stage 2 watches now.",
            ("partition",),
        )
        self._refused_panes = gauge(
            "groups_refused_panes",
            "Panes of versions for which there was no room (limits.groups), of all time.",
            ("partition",),
        )
        self._refused_features = gauge(
            "features_refused",
            "Of versions with more feature names than limits.features, what is not watched: values "
            "in stage sources, of all time; panes of a name in stage panes, of versions watched "
            "now.",
            ("stage", "partition"),
        )
        self._alerts = gauge("alerts_active", "Alerts that fire now.", ("model", "severity"))
        self._state = gauge(
            "state_bytes", "Size of the state of a stage's partition.", ("stage", "partition")
        )
        self._batch = Histogram(
            "leeway_batch_seconds",
            "Time to process one fetched batch of a source partition.",
            ("topic",),
            buckets=_BATCH_SECONDS,
            registry=registry,
        )
        self._checkpoint = Histogram(
            "leeway_checkpoint_seconds",
            "Time from the start of a checkpoint to its acknowledged manifest.",
            ("stage",),
            buckets=_CHECKPOINT_SECONDS,
            registry=registry,
        )
        self._checkpoint_bytes = Counter(
            "leeway_checkpoint_bytes",
            "Bytes of checkpoints written.",
            ("stage",),
            registry=registry,
        )
        self._paused = gauge(
            "partition_paused",
            "1 while a partition waits for the others (alignment), else 0.",
            _PARTITION,
        )
        self._build = gauge(
            "build_info",
            "Always 1; what is running.",
            ("version", "python", "parser", "config_hash"),
        )

    def running(self, config_hash: str) -> None:
        self._build.labels(version("leeway"), python_version(), PARSER, config_hash).set(1)

    # -- source partitions

    def assigned(self, topic: str, partition: int, terms: Mapping[str, int]) -> None:
        """A partition begins with the ledger of its checkpoint: what it counted is not new."""
        self._terms[topic, partition] = dict(terms)

    def batch(self, topic: str, partition: int, terms: Mapping[str, int], seconds: float) -> None:
        """One batch is applied; `terms`: what `consumed` is made of, of its side, after it."""
        before = self._terms.get((topic, partition), {})
        for result in RESULTS:
            self._events.labels(topic, result).inc(terms[result] - before.get(result, 0))
        self._terms[topic, partition] = dict(terms)
        self._batch.labels(topic).observe(seconds)

    def ledger(self, topic: str, partition: int, terms: Mapping[str, int]) -> None:
        """All terms of one side of a source partition."""
        for term, count in terms.items():
            self._ledger.labels(topic, partition, term).set(count)

    def shed_level(self, topic: str, partition: int, what: str, level: int) -> None:
        self._shed_level.labels(topic, partition, what).set(level)

    def revoked(self, topic: str, partition: int) -> None:
        """Another worker reports this partition from now on."""
        self._terms.pop((topic, partition), None)
        for metric in (
            self._ledger,
            self._shed_level,
            self._lag,
            self._watermark,
            self._committed,
            self._paused,
        ):
            metric.remove_by_labels({"topic": topic, "partition": str(partition)})

    def lag(self, topic: str, partition: int, records: int) -> None:
        self._lag.labels(topic, partition).set(records)

    def watermark(self, topic: str, partition: int, watermark_ms: int | None) -> None:
        """None, before the first event, shows nothing: 0 would read as 1970."""
        if watermark_ms is not None:
            self._watermark.labels(topic, partition).set(watermark_ms / 1000)

    def committed_age(self, topic: str, partition: int, age_s: float) -> None:
        self._committed.labels(topic, partition).set(age_s)

    def paused(self, topic: str, partition: int, is_paused: bool) -> None:
        self._paused.labels(topic, partition).set(is_paused)

    def dead_letter(self, topic: str, reason: str) -> None:
        self._dead_letters.labels(topic, reason).inc()

    def misplaced(self, topic: str) -> None:
        self._misplaced.labels(topic).inc()

    def lost(self, topic: str, partition: int, records: int) -> None:
        self._lost.labels(topic, partition).inc(records)

    def alert_states_repaired(self, count: int) -> None:
        self._alert_states_repaired.inc(count)

    # -- state

    def state(self, stage: str, partition: int, size_bytes: int) -> None:
        self._state.labels(stage, partition).set(size_bytes)

    def checkpoint(self, stage: str, seconds: float, size_bytes: int) -> None:
        self._checkpoint.labels(stage).observe(seconds)
        self._checkpoint_bytes.labels(stage).inc(size_bytes)

    # -- models

    def labels(self, model: str, model_version: str, role: str, labels: LabelStatus) -> None:
        if not labels.judged or not self._admits((model, model_version, role, "", "")):
            return
        coverage = labels.labelled / labels.judged
        self._coverage.labels(model, model_version, role).set(coverage)
        delays_ms = {"0.5": labels.delay_p50_ms, "0.9": labels.delay_p90_ms}
        for quantile, delay_ms in delays_ms.items():
            if delay_ms is not None:
                of_version = self._label_delay.labels(model, model_version, role, quantile)
                of_version.set(delay_ms / 1000)

    def version(self, names: tuple[str, str, str], predictions: int) -> None:
        """Model, version and role."""
        if self._admits((*names, "", "")):
            self._predictions.labels(*names).set(predictions)

    def request(self, type_: str) -> None:
        self._requests.labels(type_).inc()

    def groups(self, partition: int, watched: int, refused_panes: int) -> None:
        self._watched.labels(partition).set(watched)
        self._refused_panes.labels(partition).set(refused_panes)

    def features(self, stage: str, partition: int, refused: int) -> None:
        self._refused_features.labels(stage, partition).set(refused)

    def series(self, key: SeriesKey, score: float, threshold: float) -> None:
        if self._admits(key):
            self._score.labels(*key).set(score)
            self._threshold.labels(*key).set(threshold)

    def alerts(self, firing: Iterable[tuple[str, str]]) -> None:
        """All alerts that fire now, as (model, severity)."""
        self._alerts.clear()
        for (model, severity), count in collections.Counter(firing).items():
            self._alerts.labels(model, severity).set(count)

    def _admits(self, key: SeriesKey) -> bool:
        if key in self._series:
            return True
        if len(self._series) < self._max_series:
            self._series.add(key)
            return True
        # Hashes, not keys: what is refused must not take the memory that refusing saves.
        if len(self._refused) < _REFUSED_MAX:
            self._refused.add(hash(key))
        self._dropped.set(len(self._refused))
        return False
