"""The life of an alert: ids, sequences, who owns it, what it may not forget."""

from __future__ import annotations

import uuid
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest

from stream.alert_stage import AlertStage
from stream.events import Alert, ToAlerts
from stream.numbering import Speaker
from stream.rules import (
    AdwinRule,
    ModelRule,
    Owners,
    PageHinkleyRule,
    RateRule,
    ReferenceRule,
    Rules,
)
from stream.snapshot import packed
from stream.wire import Finding, Progress, decode_finding, encode_finding
from tests.streams import SMALL

DETAIL: dict[str, Any] = {
    "alertname": "FeatureDrift",
    "kind": "feature_drift",
    "severity": "warning",
    "recommended_action": "investigate",
    "feature": "x",
    "detector": {
        "name": "adwin",
        "params_hash": "abc",
        "statistic": 2.0,
        "threshold": 1.0,
        "budget_share": 0.5,
        "direction": "up",
    },
    "window": {"start": "s", "end": "e", "count": 7},
    "effect": {"estimate": 1.0, "low": 0.5, "high": 1.5, "floor": 0.1, "change_at": "c"},
    "change_at_ms": 500,
    "impact": {"metric": None, "value": None, "reference": None, "label_coverage": None},
    "summary": "x rose",
    "reference": {"id": "ref-1", "count": 10},
    "evidence": {"current": {}, "reference": {}},
}


def finding(
    ready_ms: int, verdict: str = "drift", *, change_at_ms: int = 500, **other: Any
) -> bytes:
    made: dict[str, Any] = {
        "partition": 0,
        "epoch": 0,
        "pane_kind": "prediction",
        "ready_ms": ready_ms,
        "pane_end_ms": ready_ms - 10,
        "group": ("m", "1", "champion", ""),
        "series": "feature:x",
        "alertname": "FeatureDrift",
        "verdict": verdict,
        "detail": DETAIL | {"change_at_ms": change_at_ms} if verdict == "drift" else {},
    }
    return encode_finding(Finding(**(made | other)))


def progress(at_ms: int, *, partition: int = 0, of: int = 1, epoch: int = 0) -> bytes:
    return encode_finding(Progress(partition, of, epoch, at_ms, at_ms))


def numbered(values: list[bytes]) -> list[bytes]:
    """As the stage-2 partitions say them, each under its epochs."""
    speakers: dict[int, Speaker] = {}
    said = []
    for value in values:
        record = decode_finding(value)
        speaker = speakers.setdefault(record.partition, Speaker(record.partition))
        if record.epoch < speaker.epoch:  # a replaced owner that still writes
            speaker = Speaker(record.partition)
        speaker.epoch = record.epoch
        said.append(speaker.say(0, value))
    return said


def alerts(values: list[bytes], *, rules: Rules = SMALL, partitions: int = 1) -> list[Alert]:
    stage = AlertStage(rules, partitions)
    told = [effect for value in numbered(values) for effect in stage.handle(value)]
    assert all(isinstance(effect, ToAlerts) for effect in told)
    return [effect.alert for effect in told if isinstance(effect, ToAlerts)]


LIFE = [finding(100), finding(200, "quiet"), progress(1_000)]


def test_firing_is_sequence_1_and_resolved_is_sequence_2_of_the_same_alert() -> None:
    firing, resolved = alerts(LIFE)
    assert (firing.status, firing.sequence, firing.ends_at) == ("firing", 1, None)
    assert (resolved.status, resolved.sequence) == ("resolved", 2)
    assert resolved.ends_at == resolved.evaluated_at == "1970-01-01T00:00:00.200Z"
    assert firing.starts_at == resolved.starts_at == "1970-01-01T00:00:00.500Z"
    assert firing.evaluated_at == "1970-01-01T00:00:00.100Z"
    assert firing.fingerprint == resolved.fingerprint
    assert firing.incident_id == resolved.incident_id
    assert resolved.recommended_action == "none"


def test_ids_are_uuid5_and_told_apart_by_fingerprint_start_and_sequence() -> None:
    again = [finding(1_300, change_at_ms=1_250), finding(1_400, "quiet"), progress(2_000)]
    first, resolved, second, _ = told = alerts(LIFE + again)
    assert len({alert.id for alert in told}) == 4
    assert all(uuid.UUID(alert.id).version == 5 for alert in told)
    assert [alert.id for alert in alerts(LIFE + again)] == [alert.id for alert in told]
    assert (second.status, second.sequence) == ("firing", 1)  # a new episode, not a third sequence
    assert second.starts_at != first.starts_at
    assert second.fingerprint == first.fingerprint
    assert resolved.id != first.id


def _effect(estimate: float, half: float, **other: Any) -> dict[str, Any]:
    ends = {"estimate": estimate, "low": estimate - half, "high": estimate + half}
    return DETAIL | {"effect": DETAIL["effect"] | ends} | other


@pytest.mark.parametrize(
    ("again", "is_news"),
    [
        (_effect(1.1, 0.2), False),
        (_effect(1.5, 0.2), True),
        (_effect(1.5, 0.4), False),  # the intervals overlap
        (_effect(-1.0, 0.5), True),
        (_effect(1.1, 0.2, severity="error"), True),
        (_effect(1.1, 0.2, severity="info"), False),
        # of another part nothing was told
        (_effect(1.1, 0.2, evidence={"current": {"part": 3}}), True),
        (_effect(0.1, 0.2, evidence={"current": {"part": 3}}), False),
        (_effect(1.1, 0.2, detector=DETAIL["detector"] | {"name": "stale"}), True),
    ],
)
def test_what_changes_once_more_is_told_if_somebody_would_act_otherwise(
    again: dict[str, Any], is_news: bool
) -> None:
    told = alerts(
        [finding(100, detail=_effect(1.0, 0.2)), finding(110, detail=again), progress(200)]
    )
    assert [a.sequence for a in told] == [1, 2][: 1 + is_news]
    assert (
        told[-1].effect.estimate == (again if is_news else _effect(1.0, 0.2))["effect"]["estimate"]
    )


def test_each_time_that_it_was_told_again_asks_for_more() -> None:
    values = [finding(100 + i, detail=_effect(1.0 + i % 2, 0.4)) for i in range(40)]
    told = alerts([*values, progress(1_000)])
    assert [a.effect.estimate for a in told] == [1.0, 2.0]
    surer = finding(900, detail=_effect(5.0, 0.4))
    assert alerts([*values, surer, progress(1_000)])[-1].effect.estimate == 5.0


def test_what_is_now_one_and_now_the_other_is_told_so_twice_only() -> None:
    grave, lighter = (_effect(e, 0.1, severity=s) for e, s in ((1.0, "error"), (2.0, "warning")))
    values = [finding(100 + i, detail=(grave, lighter)[i % 2]) for i in range(40)]
    told = alerts([*values, progress(1_000)])
    assert len(told) <= 10
    critical = finding(900, detail=grave | {"severity": "critical"})
    assert alerts([*values, critical, progress(1_000)])[-1].severity == "critical"


def test_what_was_held_to_be_quiet_and_is_not_goes_on_in_silence() -> None:
    flapping = [f for at in (100, 200, 300) for f in (finding(at), finding(at + 50, "quiet"))]
    told = alerts([*flapping, finding(360), progress(SMALL.cooldown_ms + 400)])
    assert [a.status for a in told] == [*["firing", "resolved"] * 2, "firing"]
    ended = finding(370, "quiet")
    told = alerts([*flapping, finding(360), ended, progress(SMALL.cooldown_ms + 400)])
    assert [a.status for a in told][-2:] == ["firing", "resolved"]


def test_what_is_told_again_updates_the_alert_that_fires() -> None:
    worse = DETAIL | {"severity": "error", "summary": "x rose further"}
    lasting = {"verdict": "lasting", "detail": {"summary": "x has been so for long"}}
    told = alerts(
        [
            finding(100),
            finding(110, detail=worse),
            finding(120, **lasting),
            finding(130, "quiet"),
            finding(140, **lasting),
            progress(1_000),
        ]
    )
    states = [(a.status, a.sequence, a.severity) for a in told]
    assert states[:2] == [("firing", 1, "warning"), ("firing", 2, "error")]
    assert states[2:] == [("firing", 3, "error"), ("resolved", 4, "error")]
    assert [a.summary for a in told[1:3]] == ["x rose further", "x has been so for long"]
    assert len({a.id for a in told}) == 4
    assert {(a.starts_at, a.incident_id) for a in told} == {(told[0].starts_at, told[0].id)}


def test_what_is_well_by_another_reference_only_says_so() -> None:
    for now, was, end in (
        ("ref-1", "ref-1", "resolved: "),
        ("ref-2", "ref-1", "resolved (as in its own reference, sealed since): "),
        ("ref-2", "self:2026-01-01T00:00:00.000Z", "resolved: "),  # of that little was known
    ):
        detail = DETAIL | {"reference": {"id": was, "count": 10}}
        quiet = finding(200, "quiet", detail={"reference": now})
        told = alerts([finding(100, detail=detail), quiet, progress(1_000)])
        assert told[-1].summary.startswith(end)


def test_quiet_without_an_alert_says_nothing() -> None:
    assert alerts([finding(100, "quiet"), progress(1_000)]) == []


def test_findings_wait_for_the_slowest_partition_and_come_in_order_of_ready_time() -> None:
    values = [
        finding(300, group=("m", "3", "champion", "")),
        progress(1_000, partition=0, of=2),
        finding(200, group=("m", "2", "champion", ""), partition=1),
        finding(100, group=("m", "9", "champion", ""), partition=1),
    ]
    assert alerts(values, partitions=2) == []
    told = alerts([*values, progress(299, partition=1, of=2)], partitions=2)
    assert [a.model.version for a in told] == ["9", "2"]
    told = alerts([*values, progress(300, partition=1, of=2)], partitions=2)
    assert [a.model.version for a in told] == ["9", "2", "3"]


def test_a_finding_on_inputs_does_not_wait_for_outcomes() -> None:
    """Each kind waits for its own progress: a slow label feed delays no feature alert."""
    ahead = encode_finding(Progress(0, 1, 0, 1_000, 50))
    of_cohort = finding(100, pane_kind="cohort", series="outcome:error", alertname="E")
    told = alerts([of_cohort, finding(100), ahead])
    assert [a.alertname for a in told] == ["FeatureDrift"]
    assert len(alerts([of_cohort, finding(100), ahead, progress(1_000)])) == 2


def test_what_both_kinds_have_a_say_in_waits_for_both() -> None:
    """Or what is withdrawn would depend on which feed is ahead."""
    ahead = encode_finding(Progress(0, 1, 0, 1_000, 250))
    of_both: dict[str, Any] = {"pane_kind": "estimate", "series": "prediction:estimated_error"}
    values = [
        finding(300, **of_both),
        finding(100, **of_both),
        ahead,
        finding(200, "withdrawn", **of_both),
    ]
    assert [a.evaluated_at for a in alerts(values)] == ["1970-01-01T00:00:00.100Z"]
    values = [values[3], *values[:3], progress(1_000)]
    told = alerts(values)
    assert [(a.status, a.sequence) for a in told] == [("firing", 1), ("resolved", 2), ("firing", 1)]
    assert told[1].summary == "withdrawn, judged predictions do not bear it out: x rose"


def test_a_graver_severity_is_an_update_and_told_once() -> None:
    detail = {"severity": "warning", "summary": "predictions have moved too"}
    values = [finding(100, detail=DETAIL | {"severity": "info"})]
    values += [finding(ms, "raised", detail=detail) for ms in (200, 300)]
    told = alerts([*values, progress(1_000)])
    assert [(a.sequence, a.severity) for a in told] == [(1, "info"), (2, "warning")]
    assert told[1].summary == "x rose; predictions have moved too"
    assert alerts([finding(100, "raised", detail=detail), progress(1_000)]) == []


def test_what_a_replaced_owner_still_writes_is_ignored() -> None:
    values = [progress(10, epoch=5), finding(100, epoch=4), progress(1_000, epoch=4)]
    assert alerts(values) == []
    assert len(alerts([*values, finding(100, epoch=5), progress(1_000, epoch=5)])) == 1


def test_a_new_owner_that_goes_back_resolves_nothing_twice() -> None:
    """drift, quiet, drift; then the same again, from behind, under a new epoch."""
    life = [finding(100), progress(150), finding(200, "quiet"), progress(250)]
    life += [finding(300, change_at_ms=260), progress(350)]
    again = [progress(50, epoch=1)]
    again += [finding(100, epoch=1), progress(150, epoch=1)]
    again += [finding(200, "quiet", epoch=1), progress(250, epoch=1)]
    again += [finding(300, change_at_ms=260, epoch=1), progress(350, epoch=1)]
    assert alerts(life + again) == alerts(life)
    assert [a.status for a in alerts(life)] == ["firing", "resolved", "firing"]


@pytest.mark.parametrize(
    "other",
    [
        {"group": ("n", "1", "champion", "")},
        {"group": ("m", "2", "champion", "")},
        {"group": ("m", "1", "shadow", "")},
        {"series": "feature:y"},
        {"alertname": "NullRate"},
    ],
)
def test_model_version_role_scope_and_alertname_have_fingerprints_of_their_own(
    other: dict[str, Any],
) -> None:
    told = alerts([finding(100), finding(100, **other), progress(1_000)])
    assert len({alert.fingerprint for alert in told}) == 2


def test_the_severity_is_no_part_of_the_fingerprint() -> None:
    (usual,) = alerts([finding(100), progress(1_000)])
    (critical,) = alerts([finding(100, detail=DETAIL | {"severity": "critical"}), progress(1_000)])
    assert critical.severity == "critical"
    assert critical.fingerprint == usual.fingerprint


def test_owners_runbook_and_labels_come_from_the_rules() -> None:
    owners = Owners("ann", ("bob",), ("cid",), ("dan", "eve"))
    rule = ModelRule(owners=owners, runbook_url="https://r", labels=(("team", "risk"),))
    (alert,) = alerts([finding(100), progress(1_000)], rules=replace(SMALL, models={"m": rule}))
    assert msgspec.to_builtins(alert.owners) == {
        "accountable": "ann",
        "responsible": ["bob"],
        "consulted": ["cid"],
        "informed": ["dan", "eve"],
    }
    assert alert.links == {"runbook_url": "https://r"}
    assert alert.labels == {"team": "risk"}
    (unowned,) = alerts([finding(100), progress(1_000)])
    assert unowned.owners.accountable == "unassigned"


def test_a_new_owner_of_this_stage_asserts_what_is_firing() -> None:
    stage = AlertStage(SMALL, 1)
    values = [finding(100), finding(100, series="feature:y"), progress(1_000)]
    for value in numbered(values):
        stage.handle(value)
    restored = AlertStage.restore(SMALL, 1, packed(stage.snapshot()))
    assert restored.announce() == stage.announce()
    assert len(restored.active()) == 2
    assert packed(restored.snapshot()) == packed(stage.snapshot())


OTHER: dict[str, Any] = {
    "pane_ms": 7_000,
    "grace_ms": 7_000,
    "future_bound_ms": None,
    "maturity": None,
    "horizon_ms": 7,
    "reference": ReferenceRule(7, 7),
    "adwin": AdwinRule(delta=0.7),
    "page_hinkley": PageHinkleyRule(enabled=True),
    "rates": RateRule(ratio=7.0),
    "models": {"m": ModelRule()},
}


@pytest.mark.parametrize("name", [field.name for field in fields(Rules)])
def test_the_config_hash_changes_with_every_field(name: str) -> None:
    changed = replace(Rules(), **{name: OTHER.get(name, 7)})
    assert changed != Rules()
    assert changed.config_hash() != Rules().config_hash()


@pytest.mark.parametrize(
    "rule",
    [
        ModelRule(owners=Owners("x")),
        ModelRule(runbook_url="x"),
        ModelRule(maturity=None),
        ModelRule(reference=ReferenceRule(1, 1)),
        ModelRule(labels=(("a", "b"),)),
    ],
)
def test_the_config_hash_changes_with_every_field_of_a_model(rule: ModelRule) -> None:
    plain = replace(Rules(), models={"m": ModelRule()})
    assert replace(Rules(), models={"m": rule}).config_hash() != plain.config_hash()


def test_the_config_hash_does_not_depend_on_the_order_of_models() -> None:
    models = {"a": ModelRule(runbook_url="x"), "b": ModelRule()}
    backwards = dict(reversed(models.items()))
    hashes = {replace(Rules(), models=m).config_hash() for m in (models, backwards)}
    assert len(hashes) == 1
