"""ADWIN and Page-Hinkley as alert sources: a part of the budget, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from detectors.calibrated import adwin_delta, page_hinkley_threshold
from detectors.page_hinkley import PageHinkley
from stream.columns import Rows, column
from stream.mean_powers import Mean, power_of
from stream.monitor import Monitor
from stream.monitor_state import Sealed
from stream.monitor_told import MonitorFinding
from stream.monitored_series import SHARE
from stream.panes import PaneTable, summarise
from stream.power_plan import planned
from stream.rules import (
    AdwinRule,
    BudgetRule,
    FloorRule,
    PageHinkleyRule,
    ReferenceRule,
    Rules,
)
from stream.settings import SettingsError, load
from stream.snapshot import packed
from tests.stream.monitors import lived
from tests.stream.test_watch import GROUP, RULES, panes, told

AUTO = replace(RULES, adwin=AdwinRule(enabled=True), page_hinkley=PageHinkleyRule(enabled=True))
SHIFTED = panes(900, {400: 1.5})


def test_a_shift_is_told_by_all_three_each_by_its_name_and_for_a_third_of_the_budget() -> None:
    found = told(SHIFTED, [], AUTO)
    detail = {f.alertname: f.detail for f in found if f.detail is not None}
    names = ("FeatureDrift", "FeatureDriftAdwin", "FeatureDriftPageHinkley")
    assert set(detail) >= set(names)
    share = {name: (detail[name] or {})["detector"]["budget_share"] for name in names}
    assert share["FeatureDriftAdwin"] == share["FeatureDriftPageHinkley"]
    assert share["FeatureDriftAdwin"] == pytest.approx(SHARE / 3)
    (alone,) = [f for f in told(SHIFTED, []) if f.alertname == "FeatureDrift"]
    assert alone.detail is not None
    whole = alone.detail["detector"]["budget_share"]
    assert share["FeatureDrift"] == pytest.approx(whole / 3)


def test_delta_and_threshold_are_those_of_the_tables() -> None:
    monitor = Monitor(AUTO, GROUP, "prediction", AUTO.reference)
    monitor.update(SHIFTED.between(0, 300 * RULES.pane_ms))
    (reference,) = monitor.references
    seconds = (reference.end_ms - reference.start_ms) / 1000
    by_time = seconds / reference.count / (AUTO.budget.span_ms / 1000)
    rate = min(1 / AUTO.budget.predictions, by_time) * SHARE / 3
    series = monitor._detection.means.values["feature:x"]
    assert series.delta == pytest.approx(adwin_delta(rate))
    test = series.detectors["page_hinkley"]
    spread = test.delta / 0.01  # σ, scaled
    assert spread * test.scale == pytest.approx(1.0, abs=0.2)  # the values' own
    assert test.threshold == pytest.approx(page_hinkley_threshold(rate, spread))


@pytest.mark.parametrize("seed", range(3))
def test_what_does_not_change_is_silent(seed: int) -> None:
    assert told(panes(900, {}, seed=seed), [], replace(AUTO, budget=Rules().budget)) == []


@pytest.mark.parametrize("seed", range(3))
def test_neither_batches_nor_restores_show(seed: int) -> None:
    table = panes(1_500, {400: 1.5, 600: 3.0, 900: 0.0}, seed=seed)
    rules = replace(AUTO, ask_after_ms=150 * RULES.pane_ms)
    cuts = sorted(Random(seed).sample(range(1, 1_500), 20))
    order = lambda f: (f.pane_end_ms, f.series, f.alertname)  # noqa: E731
    whole = sorted(told(table, [], rules), key=order)
    assert sorted(told(table, cuts, rules), key=order) == whole
    said = [f.verdict for f in whole if f.alertname == "FeatureDriftAdwin"]
    assert (said[0], said[-1]) == ("drift", "quiet")
    assert "lasting" in said


def of_means(found: list[MonitorFinding]) -> dict[str, list[tuple[str, int]]]:
    """By detector: (what it says, pane)."""
    return {
        detector: [
            (f.verdict, f.pane_end_ms // RULES.pane_ms)
            for f in found
            if f.alertname == f"FeatureDrift{detector}"
        ]
        for detector in ("Adwin", "PageHinkley")
    }


def test_a_shift_is_asked_for_after_14_days_and_well_once_values_are_back_never_by_silence() -> (
    None
):
    asking = replace(AUTO, ask_after_ms=500 * RULES.pane_ms)
    for told_by in of_means(told(panes(3_000, {400: 1.5}), [], asking)).values():
        assert [verdict for verdict, _ in told_by] == ["drift", "lasting"]
        assert told_by[1][1] == told_by[0][1] + 500
    for told_by in of_means(told(panes(3_000, {400: 1.5, 1_500: 0.0}), [], AUTO)).values():
        assert [verdict for verdict, _ in told_by] == ["drift", "quiet"]
        assert 1_500 < told_by[1][1] < 2_600


def test_a_silence_is_no_return() -> None:
    table = panes(3_000, {400: 1.5})
    gone = [table.between(0, 900 * RULES.pane_ms), table.between(2_900 * RULES.pane_ms, 2**62)]
    monitor, found = Monitor(AUTO, GROUP, "prediction", AUTO.reference), []
    for part in gone:
        found += monitor.update(part)[0]
    for told_by in of_means(found).values():
        assert [verdict for verdict, _ in told_by] == ["drift"]


def test_rules_may_change_right_after_a_restore() -> None:
    monitor = Monitor(AUTO, GROUP, "prediction", AUTO.reference)
    monitor.update(SHIFTED.between(0, 300 * RULES.pane_ms))
    held = monitor.snapshot()
    restored = Monitor.restore(
        AUTO, AUTO.reference, Sealed(packed(held.parts())).held(held.to_plain())
    )
    other = replace(AUTO, page_hinkley=PageHinkleyRule())
    rest = SHIFTED.between(301 * RULES.pane_ms, 900 * RULES.pane_ms)
    expected, _ = monitor.update(rest, other)
    found, _ = restored.update(rest, other)
    assert found == expected
    assert "FeatureDriftAdwin" in {f.alertname for f in found}


def test_with_settings_of_ones_own_they_are_outside_the_budget() -> None:
    own = replace(
        RULES,
        adwin=AdwinRule(enabled=True, delta=0.002),
        page_hinkley=PageHinkleyRule(enabled=True, threshold=50.0),
    )
    assert (Rules().sources, own.sources, AUTO.sources) == (1, 1, 3)


def test_what_was_off_has_the_hash_it_had() -> None:
    """Of 0.1.0, whose δ and λ were numbers also where nothing used them."""
    was = Rules(adwin=AdwinRule(delta=0.002), page_hinkley=PageHinkleyRule(threshold=50.0))
    assert was.config_hash() == Rules().config_hash()
    on = Rules(adwin=AdwinRule(enabled=True))
    assert on.config_hash() != Rules(adwin=AdwinRule(enabled=True, delta=0.002)).config_hash()


def written(tmp_path: Path, names: str) -> Path:
    path = tmp_path / "leeway.yaml"
    path.write_text(f"detectors: {{river: [{names}]}}\n", encoding="utf-8")
    return path


def test_rivers_names_switch_on_those_that_make_sense_on_panes(tmp_path: Path) -> None:
    rules = load(written(tmp_path, "ADWIN, PageHinkley")).rules()
    assert rules.adwin == AdwinRule(enabled=True)
    assert rules.page_hinkley == PageHinkleyRule(enabled=True)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("KSWIN", "every single value"),
        ("DDM", "one by one"),
        ("HDDM_W", "one by one"),
        ("EDM", "Input should be 'ADWIN' or 'PageHinkley'"),
    ],
)
def test_others_are_refused_with_the_reason(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, name))
    (error,) = caught.value.errors
    assert error.startswith("detectors.river.0: ")
    assert why in error


def judged(count: int, errors: dict[int, float]) -> PaneTable:
    """Five judged predictions a pane, wrong so often from each pane of `errors` on."""
    random = Random(2)
    ends = np.repeat(np.arange(1, count + 1) * RULES.pane_ms, 5)
    rates = [[e for pane, e in errors.items() if pane <= end // RULES.pane_ms][-1] for end in ends]
    wrong = [int(random.random() < rate) for rate in rates]
    hashes = np.array([random.getrandbits(64) for _ in ends], np.uint64)
    delays = column([0.0] * len(wrong), {})
    columns = {"outcome:error": column(wrong, {}), "outcome:delay_ms": delays}
    rows = Rows(ends, hashes, columns, {})
    return summarise(rows, RULES.pane_rows, RULES.max_categories)


def test_errors_too_are_well_by_their_share_and_not_before() -> None:
    rules = replace(AUTO, floors=FloorRule(error=0.5), resolve_after_panes=5)
    for back, ends in ((0.1, ["drift", "quiet"]), (0.3, ["drift"])):
        table = judged(4_000, {0: 0.1, 600: 0.5, 1_500: back})
        found = lived(table, rules, kind="cohort").findings
        adwin = [f for f in found if f.alertname == "ErrorRateDriftAdwin"]
        assert [f.verdict for f in adwin] == ends


WHOLE = replace(AUTO, budget=BudgetRule(), floors=FloorRule(), minimum_values=200)


def walking(phi: float, size: float, seed: int, count: int = 12_000) -> PaneTable:
    """Values that depend, from the middle on larger."""
    x = np.random.default_rng(seed).standard_normal(count)
    for i in range(1, count):
        x[i] = phi * x[i - 1] + (1.0 - phi * phi) ** 0.5 * x[i]
    x[count // 2 :] += size
    ends = (np.arange(count) // 10 + 1) * RULES.pane_ms
    hashes = np.random.default_rng(seed).integers(0, 2**63, count).astype(np.uint64)
    rows = Rows(ends, hashes, {"feature:x": column(x.tolist(), {})}, {})
    return summarise(rows, RULES.pane_rows, RULES.max_categories)


def test_of_values_that_depend_tau_count_as_one_and_it_says_what_that_costs() -> None:
    rules = replace(WHOLE, reference=ReferenceRule(predictions=3_000, span_ms=60_000))
    life = lived(walking(0.9, 0.0, 1), rules)
    sealed_ms = life.references[0].end_ms
    means = [f for f in life.findings if "Adwin" in f.alertname or "Page" in f.alertname]
    assert [f for f in means if f.pane_end_ms > sealed_ms and f.verdict == "drift"] == []
    lines = {one["measure"]: one for one in life.monitor.powers()}
    bound = lived(walking(0.0, 0.0, 1), rules).monitor.powers()
    alone = {one["measure"]: one for one in bound}
    for measure in ("adwin", "page_hinkley"):
        line, free = lines[measure], alone[measure]
        assert line["series"] == "feature:x"
        assert line["tau"] == lines["shift"]["tau"] > 10
        assert line["smallest"] > 2 * free["smallest"] >= 2 * free["floor"] > 0
        assert line["note"].startswith("its values depend: only changes ")
        assert free["note"] is None
        assert free["seconds"] == pytest.approx(free["predictions"] / 10, rel=1e-3)


def test_a_threshold_of_the_owner_s_does_not_grow_with_tau() -> None:
    detector = PageHinkley(threshold=50.0, delta=0.0)
    mean = Mean(10_000, 1.0, 10.0, 0.001, is_calibrated=False)
    found, alone = (power_of(detector, one) for one in (mean, replace(mean, tau=1.0)))
    assert found.smallest is not None
    assert alone.smallest is not None
    assert found.loss == found.smallest / alone.smallest
    assert found.loss < power_of(detector, replace(mean, is_calibrated=True)).loss


def test_a_change_of_a_mean_is_told_when_its_line_says() -> None:
    rules = replace(WHOLE, reference=ReferenceRule(predictions=3_000, span_ms=60_000))
    calm = lived(walking(0.0, 0.0, 1, 6_000), rules).monitor
    lines = {one["measure"]: one for one in calm.powers()}
    size = 2.0 * max(lines[m]["smallest"] for m in ("adwin", "page_hinkley"))
    for seed in range(3):
        found = lived(walking(0.0, size, seed), rules).findings
        for name, measure in (("Adwin", "adwin"), ("PageHinkley", "page_hinkley")):
            told = [f.pane_end_ms for f in found if f.alertname == f"FeatureDrift{name}"]
            after = told[0] // RULES.pane_ms * 10 - 6_000
            assert 0 < after <= lines[measure]["predictions"]


def test_a_configuration_says_what_they_would_find() -> None:
    named = {
        one.series: one.power for one in planned(replace(WHOLE, reference=ReferenceRule()), "m", 10)
    }
    for name in ("ADWIN", "Page-Hinkley"):
        power = named[f"the mean of a feature, by {name}"]
        assert power.smallest is not None
        assert 0.1 <= power.smallest < 0.5
    assert not any(" by " in one.series for one in planned(RULES, "m", 10))
