"""The configuration: precedence, units, and every fault at once with its path."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stream.rules import (
    BudgetRule,
    EscalationRule,
    FloorRule,
    LatencyRule,
    ModelRule,
    ObjectiveRule,
    Owners,
    ReferenceRule,
    RetrainRule,
    Rules,
    TrafficRule,
    VersionRule,
)
from stream.setting_types import parse_duration, parse_size
from stream.settings import Settings, SettingsError, load

MODEL = """
models:
  fraud:
    owners: {accountable: fraud-ml, responsible: [ann, bo]}
    runbook_url: https://example.com/fraud
"""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("LEEWAY_"):
            monkeypatch.delenv(name)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "leeway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def errors_of(path: Path) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(path)
    return dict(error.split(": ", 1) for error in caught.value.errors)


def test_without_any_configuration_the_rules_are_the_cores_defaults() -> None:
    assert load().rules() == Rules()
    assert load().has_no_owner


def test_every_setting_reaches_the_rule_it_names(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
pane: 20s
grace: 1m
future: 2h
outcomes: {maturity: 3d, horizon: 40d, ages: [1d, 1h]}
reference: {predictions: 500, span: 2d}
season: day
budget: {predictions: 5000, span: 3d}
floors: {shift: 0.3, error: 0.4, shape: 0.2, joint: 0.8}
detectors:
  adwin: {enabled: true, delta: 0.01, clock: 8}
  page_hinkley: {enabled: true, delta: 0.1, threshold: 7}
  rates: {enabled: false, min_rise: 0.2, ratio: 4}
  joint: {enabled: false, pairs: 5, rows: 6}
  proven: true
  minimum: 77
thresholds: {psi: 0.9}
traffic: {enabled: false, change: 0.4, silence: 3h}
requires: [thresholds, reference]
retrain:
  {performance: false, drifts: 3, severity_at_least: error, events: [b, a], cooldown: 1s}
alerts:
  {resolve_after: 9, resolve_values: 10, ask_after: 7d, cooldown: 2h,
   escalate: [{after: 30m, to: [lead]}, {after: 1h, severity_at_least: critical, to: [head]}]}
limits:
  {record_bytes: 2MiB, features: 11, categories: 12, pending: 13, ids: 16, outcomes: 17,
   groups: 18, forget: 19d, segments: 20}
sample: {pane: 14, window: 15}
shared_features: {a: [fraud, churn]}
models:
  churn:
    owners: {accountable: a, responsible: [b]}
    runbook_url: https://example.com/churn
  fraud:
    owners: {accountable: a, responsible: [b], consulted: [c], informed: [d]}
    runbook_url: https://example.com/fraud
    maturity: 2d
    ages: [2h]
    reference: {predictions: 9}
    season: none
    retrain: {drifts: 2, cooldown: 1d, every: 90d}
    requires: [rollback, owner]
    objectives:
      - {metric: error, at_most: 0.05}
      - {metric: false_positive_rate, at_most: 0.1, over: 7d}
    versions: {"7": {rollback_to: "6", deprecated_after: 2027-06-30, successor: "8"}}
    proven: false
    budget: {span: 1d}
    traffic: {silence: none}
    latency: {p95: 80ms}
    floors:
      shift: 0.5
      series: {"outcome:error": 0.7, "feature:a": {mean: 0.6, shape: .3}, "feature:b": {faults: .1}}
    labels: {env: prod, area: eu}
""",
    )
    rules = load(path).rules()
    default = Rules()
    assert rules.models["fraud"] == ModelRule(
        owners=Owners("a", ("b",), ("c",), ("d",)),
        runbook_url="https://example.com/fraud",
        maturity=2 * 86_400_000,
        ages=(2 * 3_600_000,),
        reference=ReferenceRule(9, 2 * 86_400_000),
        season="none",
        labels=(("area", "eu"), ("env", "prod")),
        budget=BudgetRule(5_000, 86_400_000),
        floors=FloorRule(
            0.5,
            0.4,
            0.2,
            (("feature:a", 0.6), ("outcome:error", 0.7)),
            joint=0.8,
            shapes=(("feature:a", 0.3),),
            faults=(("feature:b", 0.1),),
        ),
        proven=False,
        traffic=TrafficRule(enabled=False, change=0.4, silence=None),
        latency=LatencyRule((("p95", 0.95, 80.0),)),
        thresholds=None,
        retrain=RetrainRule(drifts=2, cooldown_ms=86_400_000, every_ms=90 * 86_400_000),
        versions=(("7", VersionRule("6", 1_814_313_600_000, "8")),),
        requires=("owner", "rollback"),
        objectives=(
            ObjectiveRule("error", 0.05),
            ObjectiveRule("false_positive_rate", 0.1, 7 * 86_400_000),
        ),
    )
    assert rules.requires == ("reference", "thresholds")
    assert rules.retrain == RetrainRule(
        performance=False, drifts=3, severity_at_least="error", events=("a", "b"), cooldown_ms=1_000
    )
    lead, head = EscalationRule(1_800_000, "error", ("lead",)), ("head",)
    assert rules.escalate == (lead, EscalationRule(3_600_000, "critical", head))
    assert rules.budget_of("fraud") == BudgetRule(5_000, 86_400_000)
    assert rules.budget_of("other") == BudgetRule(5_000, 3 * 86_400_000)
    assert rules.ages_of("other") == (3_600_000, 86_400_000)
    assert rules.max_record_bytes == 2 * 2**20
    same = [
        name
        for name in Rules.__dataclass_fields__
        if getattr(rules, name) == getattr(default, name)
    ]
    assert same == []  # a rule that no setting reaches would still have its default


def test_flag_beats_variable_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "{pane: 20s, grace: 20s, idle: 20s, web: {port: 1, host: 127.0.0.2}}")
    monkeypatch.setenv("LEEWAY_PANE", "30s")
    monkeypatch.setenv("LEEWAY_GRACE", "30s")
    monkeypatch.setenv("LEEWAY_WEB__PORT", "3")
    settings = load(path, {"pane": "40s"})
    assert (settings.pane, settings.grace, settings.idle) == (
        timedelta(seconds=40),
        timedelta(seconds=30),
        timedelta(seconds=20),
    )
    assert (settings.web.port, settings.web.host) == (3, "127.0.0.2")
    assert settings.alignment == Settings().alignment


def test_a_model_can_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEEWAY_MODELS__FRAUD__OWNERS__ACCOUNTABLE", "fraud-ml")
    monkeypatch.setenv("LEEWAY_MODELS__FRAUD__OWNERS__RESPONSIBLE", '["ann"]')
    monkeypatch.setenv("LEEWAY_MODELS__FRAUD__RUNBOOK_URL", "https://example.com")
    owners = load().rules().models["fraud"].owners
    assert owners == Owners("fraud-ml", ("ann",))


def test_all_faults_are_reported_at_once_with_their_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEEWAY_KAFKA__BOGUS", "1")
    monkeypatch.setenv("LEEWAY_PANNE", "1s")
    errors = errors_of(
        written(
            tmp_path,
            """
pane: 10
grce: 30s
kafka: {bootstrap: "kafka.example:9092"}
partitions: true
outcomes: {maturity: 40d}
detectors: {adwin: {delta: 2}}
budget: {predictions: 10}
floors: {shift: 0}
limits: {record_bytes: 1000}
models:
  fraud: {owners: {}, runbook_url: nowhere}
  churn: {budget: {span: 5}}
  price: {owners: {accountable: " ", informed: [a, ""]}, runbook_url: "https://r"}
  rank: {owners: {accountable: a, informed: [a, a]}, runbook_url: "https://r"}
""",
        )
    )
    assert set(errors) == {
        "pane",
        "grce",
        "kafka.allow_plaintext_beyond_loopback",
        "kafka.bogus",
        "partitions",
        "outcomes.horizon",
        "detectors.adwin.delta",
        "budget.predictions",
        "floors.shift",
        "models.churn.budget.span",
        "limits.record_bytes",
        "models.fraud.owners.accountable",
        "models.fraud.runbook_url",
        "models.churn.owners.accountable",
        "models.price.owners.accountable",
        "models.price.owners.informed.1",
        "models.rank.owners",
        "models.churn.runbook_url",
        "LEEWAY_PANNE",
    }
    assert errors["grce"] == "unknown key (did you mean grace?)"
    assert errors["models.churn.owners.accountable"].startswith("required")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{topics: {alerts: x, actions: x}}", "topics"),
        ("{app: leeway, topics: {alerts: leeway-panes}}", "topic leeway-panes is internal"),
        ("{kafka: {security_protocol: SASL_SSL, sasl_mechanism: PLAIN}}", "kafka.sasl_username"),
        ("{kafka: {ssl_certfile: c.pem}}", "kafka.ssl_keyfile"),
        ("{kafka: {bootstrap: localhost}}", "kafka.bootstrap"),
        ("{models: {m: {maturity: 60d, owners: {accountable: a}, runbook_url: 'http://r'}}}",
         "models.m.maturity is beyond outcomes.horizon"),
        ("{pane: 0s}", "pane"),
        ("{requires: [luck]}", "requires: write auto"),
        ("{models: {m: {versions: {'1': {deprecated_after: soon}}}}}",
         "models.m.versions.1.deprecated_after: 'soon' is no date or time"),
        ("{alerts: {escalate: [{after: 2h, to: [a]}, {after: 1h, to: [b]}]}}", "alerts.escalate"),
        ("{alerts: {escalate: [{after: 2h, to: []}]}}", "alerts.escalate.0.to"),
        ("{detectors: {page_hinkley: {threshold: .inf}}}", "detectors.page_hinkley.threshold"),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused_where_it_stands(tmp_path: Path, text: str, path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, text))
    assert any(error.startswith(path) for error in caught.value.errors), caught.value.errors


@pytest.mark.parametrize("text", ["[1, 2]", "a: 1\na: 2", "a: [", "{web: {port: 1, port: 2}}"])
def test_a_file_that_is_no_mapping_or_repeats_a_key_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"leeway\.yaml"):
        load(written(tmp_path, text))


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path / "none.yaml")
    assert caught.value.errors == [f"{tmp_path / 'none.yaml'}: no such file or directory"]


def test_brokers_ports_and_timings_of_the_process_never_change_the_config_hash(
    tmp_path: Path,
) -> None:
    moved = load(
        written(
            tmp_path,
            """
app: other
kafka: {bootstrap: "127.0.0.1:1", ssl_cafile: /x}
topics: {alerts: elsewhere}
partitions: 9
replication: 3
idle: 9s
alignment: 9
checkpoint: {interval: 9s, bytes: 9MB, bytes_per_s: 9MB}
web: {host: 0.0.0.0, port: 9}
dead_letters: {payload: true, limit: {ratio: 0.9, window: 9, minimum: 9}}
limits: {series: 9}
"""
            + MODEL,
        )
    )
    plain = load(written(tmp_path, MODEL))
    assert moved.rules().config_hash() == plain.rules().config_hash()
    assert load(written(tmp_path, "pane: 11s")).rules().config_hash() != Rules().config_hash()


def test_a_password_is_never_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEEWAY_KAFKA__SASL_PASSWORD", "0123456")
    settings = load()
    assert settings.kafka.sasl_password is not None
    assert settings.kafka.sasl_password.get_secret_value() == "0123456"
    assert "0123456" not in repr(settings) + settings.model_dump_json()
    monkeypatch.setenv("LEEWAY_KAFKA__BOGUS", "1")
    with pytest.raises(SettingsError) as caught:
        load()
    assert "0123456" not in str(caught.value)


def test_variables_of_a_kubernetes_service_named_leeway_are_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEEWAY_PORT", "tcp://10.0.0.1:6066")
    monkeypatch.setenv("LEEWAY_SERVICE_HOST", "10.0.0.1")
    assert load().model_dump() == Settings().model_dump()


def test_settings_written_out_as_json_read_back_the_same(tmp_path: Path) -> None:
    first = load(written(tmp_path, "outcomes: {maturity: 36h}" + MODEL))
    again = load(written(tmp_path, first.model_dump_json(exclude_none=True)))
    assert again.model_dump() == first.model_dump()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10), ("1.5h", 5400), ("5m", 300), ("30d", 2592000), ("2w", 1209600)],
)  # fmt: skip
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    "text", ["10", "s", "-1s", "1.5ms", "1e3s", "10 sec", "", 10, None, "200000d"]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"duration|finer|100 years"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["10", "1.5B", "1mb", 10, None])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"size|finer"):
        parse_size(text)


@pytest.mark.parametrize(
    "text",
    ["pane: 2026-13-45", "pane: !!float x", "pane: !!int ''", "pane: !!timestamp x", "[" * 3_000],
)
def test_what_yaml_itself_stumbles_over_is_an_error_of_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"leeway\.yaml: ."):
        load(written(tmp_path, text))


def test_a_version_is_not_rolled_back_to_itself(tmp_path: Path) -> None:
    owned = "owners: {accountable: a}, runbook_url: 'http://r'"
    text = f"{{models: {{m: {{versions: {{'1': {{rollback_to: '1'}}}}, {owned}}}}}}}"
    assert errors_of(written(tmp_path, text)) == {
        "models.m": "versions.1.rollback_to is the version itself"
    }


def test_ages_that_no_prediction_is_judged_at_are_errors(tmp_path: Path) -> None:
    def error(outcomes: str, model: str = "{}") -> str:
        text = f"outcomes: {outcomes}\n{MODEL}    {model.strip('{}')}\n"
        with pytest.raises(SettingsError) as caught:
            load(written(tmp_path, text))
        return " ".join(caught.value.errors)

    assert "outcomes.ages: 3d is not below its maturity" in error("{maturity: 3d, ages: [1h, 3d]}")
    assert "outcomes.ages: 40d is not below its outcomes.horizon" in error("{ages: [40d]}")
    assert "its maturity is none" in error("{maturity: none, ages: [1h]}")
    assert "models.fraud.ages: 2d is not below its maturity" in error(
        "{maturity: 1d}", "{ages: [2d]}"
    )
    assert "write a list of durations" in error("{ages: 1h}")
    assert "must be more than 0" in error("{ages: [0s]}")


@pytest.mark.parametrize(
    ("objective", "error"),
    [
        ("{metric: error, at_most: 5}", "at_most 5 is no share of predictions"),
        ("{metric: cost, at_most: 5}", "a cost is acceptable only with costs"),
        ("{metric: false_positive_rate, of_class: x, at_most: 0.1}", "x is none of classes"),
        ("{metric: error, at_most: 0.1, of_class: x}", "of_class is for false_positive_rate"),
        ("{metric: error, at_most: 0.1}, {metric: error, at_most: 0.2}", "one metric has two"),
        ("{metric: error, at_most: 0.1, segment: {x: y}}", "x is none of segments"),
    ],
)
def test_an_objective_is_of_what_is_judged(tmp_path: Path, objective: str, error: str) -> None:
    owned = "owners: {accountable: a}, runbook_url: 'http://r'"
    text = f"{{models: {{m: {{objectives: [{objective}], {owned}}}}}}}"
    (found,) = errors_of(written(tmp_path, text)).values()
    assert error in found


def test_shared_features_name_models_that_there_are(tmp_path: Path) -> None:
    two = MODEL + MODEL.replace("models:\n", "").replace("fraud:", "churn:")
    good = written(tmp_path, two + "shared_features: {amount: [fraud, churn]}\n")
    rules = load(good).rules()
    assert rules.readers_of("amount", "fraud") == ("churn",)
    assert rules.readers_of("amount", "other") == rules.readers_of("age", "fraud") == ()
    one = written(tmp_path, two + "shared_features: {amount: [fraud]}\n")
    assert "name two models or more" in str(errors_of(one))
    unknown = written(tmp_path, two + "shared_features: {amount: [fraud, price]}\n")
    assert "no model price" in str(errors_of(unknown))


@pytest.mark.parametrize(
    ("of_model", "wrong"),
    [
        ({"experiments": {"x": {"variants": ["a"]}}}, "at least 2"),
        ({"experiments": {"x": {"variants": ["a", "a"]}}}, "each role once"),
        ({"experiments": {"x": {"variants": ["a", "shadow"]}}}, "roles of their own"),
        ({"experiments": {"x": {"variants": ["a", "b"], "split": [0.5, 0.4]}}}, "add up to 1"),
        ({"experiments": {"x": {"variants": ["a", "b"], "split": [0.9]}}}, "for each"),
        ({"experiments": {"x": {"variants": ["a", "b"], "metric": "cost"}}}, "needs costs"),
        ({"rollback": {"metric": "cost"}}, "needs costs"),
    ],
)
def test_comparisons_that_mean_nothing_are_refused(of_model: dict[str, Any], wrong: str) -> None:
    model = {"owners": {"accountable": "a"}, "runbook_url": "https://example.com", **of_model}
    with pytest.raises(ValidationError, match=wrong):
        Settings.model_validate({"models": {"m": model}})


def test_comparisons_left_at_their_defaults_change_no_hash() -> None:
    model = {"owners": {"accountable": "a"}, "runbook_url": "https://example.com"}
    said = model | {"shadow": {"missing": 0.05}, "rollback": {"margin": 0.0}, "experiments": {}}
    plain, same = (Settings.model_validate({"models": {"m": one}}) for one in (model, said))
    assert plain.rules().config_hash() == same.rules().config_hash()


def test_an_objective_may_be_of_a_segment_and_means_nothing_else_where_it_is_not(
    tmp_path: Path,
) -> None:
    of_all = "{metric: error, at_most: 0.1}"
    of_one = "{metric: error, at_most: 0.2, segment: {region: 'E,U'}}"
    owned = (
        "owners: {accountable: a, responsible: [b]}, runbook_url: 'https://r', segments: [region]"
    )
    text = f"{{models: {{m: {{objectives: [{of_all}, {of_one}], {owned}}}}}}}"
    model = load(written(tmp_path, text)).rules().model("m")
    assert [one.at_most for one in model.in_segment("").objectives] == [0.1]
    assert [one.at_most for one in model.in_segment("region=US").objectives] == [0.1]
    assert [one.at_most for one in model.in_segment("region=E%2CU").objectives] == [0.2]
