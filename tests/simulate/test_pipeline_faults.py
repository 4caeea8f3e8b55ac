"""Faults of the pipeline: counted in the events, and felt by the model."""

from __future__ import annotations

import pytest

from tests.simulate.naive import brier, error, feature, mean, numbers, seen, share

amount = feature("amount")


def test_null_takes_a_share_of_one_feature_and_the_scores_suffer() -> None:
    broken = seen("null:amount@1h,30%")
    assert share(broken.before, lambda p: amount(p) is None) == 0
    assert share(broken.since, lambda p: amount(p) is None) == pytest.approx(0.3, abs=0.01)
    assert share(broken.since, lambda p: None in p["features"].values()) < 0.32
    assert brier(broken.since, broken.actual) > 1.02 * brier(seen().since, seen().actual)


def test_a_ramp_grows() -> None:
    rows = seen("null:amount@1h,60%,ramp=1h").since
    quarters = [rows[i * len(rows) // 4 : (i + 1) * len(rows) // 4] for i in range(4)]
    shares = [share(quarter, lambda p: amount(p) is None) for quarter in quarters]
    assert shares == pytest.approx([0.075, 0.225, 0.375, 0.525], abs=0.03)


def test_a_fault_ends() -> None:
    rows = seen("null:amount@1h..90m,100%").since
    half = len(rows) // 2
    assert share(rows[: half - 200], lambda p: amount(p) is None) == 1
    assert share(rows[half + 200 :], lambda p: amount(p) is None) == 0


def test_where_keeps_a_fault_to_its_segment() -> None:
    rows = seen("null:amount@1h,100%,where=region=EU").since
    for p in rows:
        assert (amount(p) is None) == (p["segment"]["region"] == "EU")


def test_missing_leaves_the_feature_out() -> None:
    broken = seen("missing:amount@1h")
    assert all("amount" in p["features"] for p in broken.before)
    assert not any("amount" in p["features"] for p in broken.since)


def test_rename_moves_the_values_to_another_name() -> None:
    plain, broken = seen(), seen("rename:amount@1h,to=amount_eur")
    was = {p["prediction_id"]: amount(p) for p in plain.predictions}
    for p in broken.since:
        assert "amount" not in p["features"]
        assert p["features"]["amount_eur"] == was[p["prediction_id"]]
    assert not any("amount_eur" in p["features"] for p in broken.before)
    assert broken.fault["renamed_to"] == "amount_eur"


def test_retype_sends_the_number_as_a_text() -> None:
    was = {p["prediction_id"]: amount(p) for p in seen().predictions}
    for p in seen("retype:amount@1h").since:
        assert amount(p) == str(was[p["prediction_id"]])


def test_new_category_was_never_seen_before() -> None:
    broken = seen("new_category:country@1h,20%,to=XK")
    assert not any(p["features"]["country"] == "XK" for p in broken.before)
    got = share(broken.since, lambda p: p["features"]["country"] == "XK")
    assert got == pytest.approx(0.2, abs=0.01)


def test_a_unit_change_multiplies() -> None:
    was = {p["prediction_id"]: amount(p) for p in seen().predictions}
    broken = seen("unit:amount@1h,x100")
    for p in broken.since:
        assert amount(p) == pytest.approx(100 * was[p["prediction_id"]])
    assert error(broken.since, broken.actual) > error(seen().since, seen().actual) + 0.01


def test_celsius_becomes_fahrenheit() -> None:
    plain = seen(models=("pricing",))
    broken = seen("unit:temperature_c@1h,x1.8,offset=32", models=("pricing",))
    was = {p["prediction_id"]: p["features"]["temperature_c"] for p in plain.predictions}
    for p in broken.since:
        assert p["features"]["temperature_c"] == round(was[p["prediction_id"]] * 1.8 + 32, 4)
    assert mean(numbers(broken.before, "temperature_c")) == pytest.approx(11, abs=0.5)
    assert mean(numbers(broken.since, "temperature_c")) == pytest.approx(51.8, abs=0.5)


def test_stale_stays_at_one_value() -> None:
    broken = seen("stale:payments_last_hour@1h")
    values = {p["features"]["payments_last_hour"] for p in broken.since}
    assert values == {broken.fault["constant"]}
    assert len({p["features"]["payments_last_hour"] for p in broken.before}) > 4


def test_swap_exchanges_two_features() -> None:
    was = {p["prediction_id"]: p["features"] for p in seen().predictions}
    for p in seen("swap:amount+distance_km@1h").since:
        assert amount(p) == was[p["prediction_id"]]["distance_km"]
        assert p["features"]["distance_km"] == was[p["prediction_id"]]["amount"]


def test_skew_serves_other_values_than_training_had() -> None:
    learnt = seen("skew:amount@0s,x0.5", training=5_000)
    assert mean(numbers(learnt.predictions, "amount")) == pytest.approx(
        0.5 * mean(numbers(seen().predictions, "amount")), rel=0.01
    )


def test_a_new_feature_set_is_named_and_computes_anew() -> None:
    broken = seen("feature_set:amount@1h,x1.5")
    assert {p["feature_set"] for p in broken.before} == {"payments@7"}
    assert {p["feature_set"] for p in broken.since} == {"payments@8"}
    was = {p["prediction_id"]: amount(p) for p in seen().predictions}
    for p in broken.since:
        assert amount(p) == pytest.approx(1.5 * was[p["prediction_id"]], rel=1e-3, abs=1e-3)


def test_a_shared_feature_breaks_in_two_models() -> None:
    broken = seen("null:customer_score@1h,50%", models=("fraud", "pricing"))
    for model in ("fraud", "pricing"):
        rows = [p for p in broken.since if p["model_id"] == model]
        got = share(rows, lambda p: p["features"]["customer_score"] is None)
        assert got == pytest.approx(0.5, abs=0.02)
    faults = broken.truth["faults"]
    assert [f["model"] for f in faults] == ["fraud", "pricing"]
    assert faults[0]["shared_with"] == ["pricing"]
