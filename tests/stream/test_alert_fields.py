"""Whoever tells an alert, its fields are laid out alike, and an alert is made of them."""

from __future__ import annotations

from detectors.confidence_sequence import Between
from stream.alert_fields import Detected, Span, alert_fields, impact_of
from stream.alert_forms import fingerprint_of, fired
from stream.rules import Rules
from stream.times import iso
from stream.wire import Finding

DETECTED = Detected(name="looks", params_hash="0f0f", statistic=3.0, threshold=2.0)


def test_an_alert_says_what_its_fields_say():
    fields = alert_fields(
        ("VersionWorse", "performance", "error", "rollback"),
        "fraud v2: go back to v1",
        detected=DETECTED,
        span=Span(60_000, 120_000, 40),
        effect=Between(0.2, 0.1, 0.3),
        floor=0.05,
        impact=impact_of("error", 0.3, 0.1),
        reference=("v1:x", 80),
        evidence={"current": {"mean": 0.3}, "reference": {"mean": 0.1}},
    )
    group = ("fraud", "2", "champion", "")
    finding = Finding(
        0, 0, "cohort", 150_000, 120_000, group, "outcome:version", "VersionWorse", "drift", fields
    )
    alert = fired(fingerprint_of(finding), finding, Rules())
    assert (alert.alertname, alert.kind, alert.severity) == ("VersionWorse", "performance", "error")
    assert (alert.recommended_action, alert.summary) == ("rollback", "fraud v2: go back to v1")
    assert alert.scope.feature is None
    assert (alert.detector.budget_share, alert.detector.direction) == (0.0, "up")
    assert (alert.window.start, alert.window.end, alert.window.count) == (
        iso(60_000), iso(120_000), 40,
    )  # fmt: skip
    assert (alert.starts_at, alert.effect.change_at) == (iso(60_000), iso(60_000))
    assert (alert.effect.low, alert.effect.estimate, alert.effect.high) == (0.1, 0.2, 0.3)
    assert (alert.impact.metric, alert.impact.label_coverage) == ("error", None)
    assert (alert.reference.id, alert.reference.count) == ("v1:x", 80)


def test_what_a_caller_adds_is_left_out_until_then():
    fields = alert_fields(
        ("FeatureDrift", "feature_drift", "info", "investigate"),
        "fraud v2: amount rose",
        detected=DETECTED,
        span=Span(0, 10_000, 1),
        effect=Between(0.0, 0.0, 0.0),
        floor=0.0,
        feature="amount",
    )
    assert {"reference", "evidence"}.isdisjoint(fields)
    assert fields["feature"] == "amount"
    assert fields["impact"] == impact_of()
    assert set(impact_of().values()) == {None}
