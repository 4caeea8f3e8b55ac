"""The life of a reference: scanned before it is sealed, accepted anew, begun late for a feature."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from stream.columns import Rows, column
from stream.events import Alert
from stream.model_parts import encode
from stream.model_stage import ModelStage
from stream.monitor import Monitor
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable, summarise
from stream.pipeline import Pipeline
from stream.reference import Reference
from stream.rules import BudgetRule, FloorRule, ReferenceRule
from stream.snapshot import packed
from stream.wire import Renewed
from tests.stream.monitors import lived, restored
from tests.stream.test_watch import GROUP, PANE_MS, RULES
from tests.streams import Event, alert_bytes, outcome, prediction, records

CALM = replace(RULES, budget=BudgetRule())
Series = dict[str, np.ndarray[Any, Any]]


def panes(values: Series, *, rows: int = 5, seed: int = 1) -> PaneTable:
    """So many rows a pane; NaN: the feature is absent."""
    random = np.random.default_rng(seed)
    size = len(next(iter(values.values())))
    ends = (np.arange(size) // rows + 1) * PANE_MS
    texts: dict[int, str] = {}
    hashes = random.integers(0, 2**63, size).astype(np.uint64)
    columns = {}
    for name, of in sorted(values.items()):
        made = column([None if np.isnan(v) else float(v) for v in of], texts)
        made.kind[np.isnan(of)] = 0
        columns[f"feature:{name}"] = made
    return summarise(Rows(ends, hashes, columns, texts), RULES.pane_rows, RULES.max_categories)


def steps(*levels: float, each: int, seed: int = 1) -> Series:
    noise = np.random.default_rng(seed).standard_normal(each * len(levels))
    return {"x": noise + np.repeat(levels, each)}


def watched(
    table: PaneTable, cuts: list[int] | None = None, rules: Any = CALM
) -> tuple[list[MonitorFinding], list[Reference], Monitor]:
    made = lived(table, rules, cuts or [])
    return made.findings, made.references, made.monitor


# -- small ones


@pytest.mark.parametrize("seed", [0, 1])
def test_a_shape_is_well_again_though_its_reference_is_small_and_what_was_told_one_bin(
    seed: int,
) -> None:
    rules = replace(
        RULES, reference=ReferenceRule(2_000, 60_000), budget=BudgetRule(), floors=FloorRule(),
        minimum_values=200, resolve_values=500,
    )  # fmt: skip

    def shapes(then: float) -> list[str]:
        x = np.random.default_rng(seed).standard_normal(16_000)
        x[5_000:8_000] += 0.8
        x[8_000:] += then
        found = watched(panes({"x": x}, rows=10, seed=seed), rules=rules)[0]
        return [f.verdict for f in found if f.alertname == "FeatureShapeDrift"]

    assert shapes(0.0) == ["drift", "quiet"]
    assert set(shapes(0.6)) == {"drift"}


# -- made when somebody asks


@pytest.mark.parametrize("rows", [5, 50])
def test_a_provisional_reference_is_the_same_whenever_it_is_asked_for(rows: int) -> None:
    table = panes(steps(0.0, 0.0, 1.5, 0.0, each=400), rows=rows)
    whole = [*range(1, len(table))]
    never, always = lived(table, CALM), lived(table, CALM, whole)  # a snapshot asks
    assert never.findings == always.findings
    assert never.findings, "there is something to tell before a reference is sealed"
    assert [r.id for r in never.references] == [r.id for r in always.references]
    monitor = Monitor(CALM, GROUP, "prediction", CALM.reference)
    findings: list[MonitorFinding] = []
    for end_ms in table.pane_end.tolist():
        findings += monitor.update(table.between(end_ms, end_ms))[0]
    assert findings == never.findings
    ends = [one.snapshot().to_plain() for one in (monitor, always.monitor)]
    assert len({encode(plain) for plain in ends}) == 1


def test_a_reference_that_nobody_asks_for_is_not_made() -> None:
    monitor = Monitor(CALM, GROUP, "prediction", CALM.reference)
    monitor.update(panes(steps(0.0, each=CALM.minimum_values), rows=CALM.minimum_values))
    assert not monitor._detection.standards.has_begun
    assert [one.series for one in monitor.status()], "who asks has it"
    assert monitor._detection.standards.has_begun


# -- scanned


def test_a_change_while_a_reference_is_gathered_is_not_sealed_into_it() -> None:
    _, (sealed,), _ = watched(panes(steps(0.0, 2.0, 2.0, 2.0, each=350)))
    (change,) = sealed.changes
    assert (change.series, change.measure) == ("feature:x", "shift")
    assert abs(change.since_ms - 70 * PANE_MS) <= 5 * PANE_MS
    assert sealed.start_ms >= change.since_ms, "the reference is of after the change"
    described = sealed.describe()["changes"]
    assert [(c["series"], c["within"]) for c in described] == [("feature:x", False)]
    assert Reference.decode(sealed.encode()).changes == sealed.changes


def test_it_is_begun_anew_twice_at_most_and_what_is_sealed_then_says_so() -> None:
    levels = [float(level) for level in range(10)]
    _, (sealed,), _ = watched(panes(steps(*levels, each=250)))
    assert len(sealed.changes) == 3
    within = [change for change in sealed.describe()["changes"] if change["within"]]
    assert len(within) == 1


def gaussian(size: int, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(size)


def is_wrong(share: float, size: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).random(size) < share


def spread() -> Series:
    """Its ranks are as high as before on the whole, and further apart."""
    return {"x": gaussian(1_400) * np.repeat([1.0, 4.0, 4.0, 4.0], 350)}


def fewer_zeros() -> Series:
    """A value in the middle becomes rarer."""
    values, is_zero = gaussian(1_400), is_wrong(0.5, 1_400, 3)
    is_zero[350:] = is_wrong(0.1, 1_050, 4)
    return {"x": np.where(is_zero, 0.0, values)}


def beyond() -> Series:
    """A part lies beyond the first ones, at either end alike."""
    values = gaussian(1_400)
    values[350:] *= np.where(is_wrong(0.4, 1_050, 5), 60.0, 1.0)
    return {"x": values}


def comes_late() -> Series:
    """A feature that the first 200 predictions lack, and that moves."""
    late = np.full(1_800, np.nan)
    late[250:] = gaussian(1_550, 2)
    late[550:] += 3.0
    return {"x": gaussian(1_800), "y": late}


@pytest.mark.parametrize(
    ("values", "series", "measures"),
    [
        (spread, "feature:x", {"shape", "out_of_range"}),
        (fewer_zeros, "feature:x", {"shape"}),
        (beyond, "feature:x", {"shape", "out_of_range"}),
        (comes_late, "feature:y", {"shift", "shape"}),
    ],
)
def test_whatever_is_watched_is_scanned(values: Any, series: str, measures: set[str]) -> None:
    _, references, _ = watched(panes(values()))
    change, *_ = references[0].changes
    assert change.series == series
    assert change.measure in measures


def test_the_reference_of_a_late_feature_is_scanned_and_begun_anew() -> None:
    late = np.full(3_000, np.nan)
    late[700:] = gaussian(2_300, 5)
    late[1_000:] += 3.0
    _, (_, own), _ = watched(panes({"x": gaussian(3_000), "late": late}))
    (change,) = own.changes
    assert change.series == "feature:late"
    assert own.start_ms >= change.since_ms
    assert own.count == 600


@pytest.mark.parametrize("seed", range(10))
def test_where_nothing_changes_the_first_enough_values_are_the_reference(seed: int) -> None:
    _, (sealed,), _ = watched(panes(steps(0.0, each=700, seed=seed)))
    assert sealed.changes == ()
    assert sealed.count == 600


@pytest.mark.parametrize("seed", range(3))
def test_neither_batches_nor_restores_show_in_what_is_gathered(seed: int) -> None:
    values = steps(0.0, 2.0, 2.0, 2.0, 0.0, each=300, seed=seed)
    late = np.full(len(values["x"]), np.nan)
    late[900:] = np.random.default_rng(seed).standard_normal(600) + (np.arange(600) > 400) * 3.0
    table = panes(values | {"late": late})
    rules = replace(RULES, reference=ReferenceRule(predictions=300, span_ms=60_000))
    found, references, _ = watched(table, rules=rules)
    cuts = sorted(Random(seed).sample(range(1, len(table)), 20))
    again, the_same, _ = watched(table, cuts, rules)
    assert again == found
    assert [r.id for r in the_same] == [r.id for r in references]


@pytest.mark.parametrize("minimum", [50, 400])
@pytest.mark.parametrize("season", ["none", "day"])
def test_other_rules_do_not_forget_what_has_been_gathered(season: Any, minimum: int) -> None:
    size = 2_000
    table = panes(steps(0.0, 1.0, each=size // 2))
    rules = replace(
        CALM, season=season, reference=ReferenceRule(predictions=size - 100, span_ms=60_000)
    )
    other = replace(rules, budget=BudgetRule(predictions=2_000), minimum_values=minimum)
    cut = int(table.pane_end[len(table) * 3 // 4])

    def changes(restores: bool) -> list[Any]:
        monitor = Monitor(rules, GROUP, "prediction", rules.reference)
        monitor.update(table.between(0, cut))
        found: list[Any] = []
        for pane_end in table.pane_end[table.pane_end > cut].tolist():
            _, sealed = monitor.update(table.between(pane_end, pane_end), other)
            found += [change for reference in sealed for change in reference.changes]
            found += [monitor._gathering.snapshot()["changes"]]
            if restores:
                monitor = restored(monitor, other)
        return found

    found = changes(restores=False)
    assert found[-1], "the change before the other rules is found"
    assert changes(restores=True) == found


# -- late features


@pytest.mark.parametrize("cut", [None, 700])
def test_a_late_feature_of_few_values_is_gathered_again_for_longer(cut: int | None) -> None:
    random = np.random.default_rng(5)
    late = np.full(6_000, np.nan)
    late[700:] = np.where(random.random(5_300) < 0.04, random.standard_normal(5_300), np.nan)
    rules = replace(CALM, minimum_values=40)
    table = panes(steps(0.0, each=6_000) | {"late": late})
    _, (_, own), _ = watched(table, [cut] if cut else [], rules=rules)
    assert own.count == 1_200, "twice as many as of the others, behind those of too few values"
    assert own.start_ms >= table.pane_end[(700 + 600) // 5 - 1]
    assert own.valued("feature:late") >= rules.minimum_values


def test_a_feature_that_comes_late_is_watched_on_the_reserve_and_gets_a_reference_of_its_own() -> (
    None
):
    values = steps(0.0, each=3_000)
    random = np.random.default_rng(5)
    late = np.full(3_000, np.nan)
    late[700:] = random.standard_normal(2_300)
    late[900:950] += 4.0
    late[2_000:] += 2.0
    rules = replace(RULES, budget=BudgetRule(predictions=100_000))
    found, (first, own), monitor = watched(panes(values | {"late": late}), rules=rules)
    assert "feature:late" not in first.table.features
    assert set(own.table.features) == {"feature:late"}
    assert own.count == 600
    drifts = [f.detail for f in found if f.series == "feature:late" and f.detail]
    shifts = [d for d in drifts if d["alertname"] == "FeatureDrift"]
    assert shifts[0]["reference"]["id"].startswith("self:")
    assert shifts[-1]["reference"]["id"] == own.id
    assert all(d["detector"]["budget_share"] <= 0.05 for d in drifts)
    assert monitor.reference is not None
    assert monitor.reference.id == first.id


def test_how_much_the_values_of_a_late_feature_depend_is_measured() -> None:
    values = steps(0.0, each=4_000)
    noise = np.random.default_rng(4).standard_normal((2, 4_000))
    late = {"alone": noise[0].copy(), "sticky": noise[1].copy()}
    for i in range(1, 4_000):
        late["sticky"][i] += 0.9 * late["sticky"][i - 1]
    for of in late.values():
        of[:700] = np.nan
    rules = replace(CALM, reference=ReferenceRule(predictions=1_500, span_ms=60_000))
    found, _, monitor = watched(panes(values | late), rules=rules)
    taus = {p["series"]: p["tau"] for p in monitor.powers() if p["measure"] == "shift"}
    assert taus["feature:alone"] < 1.5
    assert taus["feature:sticky"] > 5.0
    assert found == []


def test_a_feature_that_is_hardly_in_the_reference_gets_one_once_it_is_there() -> None:
    values = steps(0.0, each=2_000)
    late = np.full(2_000, np.nan)
    late[590:] = np.random.default_rng(6).standard_normal(1_410)
    _, references, _ = watched(panes(values | {"late": late}))
    assert [set(r.table.features) for r in references] == [
        {"feature:late", "feature:x"},
        {"feature:late"},
    ]


# -- accepted


EVERY_MS = 100
LIFE = replace(
    CALM,
    maturity=None,
    pane_ms=1_000,
    grace_ms=2_000,
    reference=ReferenceRule(predictions=1_000, span_ms=60_000),
    floors=FloorRule(shift=0.3),
    minimum_values=200,
    resolve_values=500,
)


def life(accepted_ms: int | None, *, batch: int = 500, version: str | None = None) -> Pipeline:
    """A shift that stays, and goes back much later; version 2 begins between."""
    random, pipeline = Random(3), Pipeline(LIFE, 1)
    if accepted_ms is not None:
        pipeline.models[0].renew(Renewed(2, 0, 0, 7, accepted_ms, "m", version))
    events: list[Event] = []
    for i in range(6_000):
        x = random.gauss(2.0 if 2_000 <= i < 5_000 else 0.0, 1)
        of = "2" if i >= 4_600 and i % 2 else "1"
        events.append(prediction(f"p{i}", EVERY_MS * i, features={"x": x}, model_version=of))
    for first in range(0, len(events), batch):
        pipeline.predictions(records(events[first : first + batch], first_offset=first))
    pipeline.outcomes(records([outcome("p0", EVERY_MS * 6_000)], "outcomes"))
    pipeline.end_of_input(None)
    return pipeline


def shifts(pipeline: Pipeline, version: str = "1") -> list[Alert]:
    """Beginnings and ends; not what is told again because its incident grows."""
    alerts = [told.alert for told in pipeline.sorted_alerts()]
    mine = [a for a in alerts if (a.alertname, a.model.version) == ("FeatureDrift", version)]
    return [a for a in mine if a.status == "resolved" or a.sequence == 1]


def test_what_fires_ends_when_a_new_reference_is_accepted_and_the_new_one_is_the_measure() -> None:
    left_alone = shifts(life(None))
    assert [a.status for a in left_alone] == ["firing"]
    pipeline = life(260_000)
    first, second = (Reference.decode(sealed.value) for sealed in pipeline.references[:2])
    told = shifts(pipeline)
    assert [a.status for a in told[:3]] == ["firing", "resolved", "firing"]
    assert told[1].ends_at == "1970-01-01T00:04:20.000Z"
    assert told[1].summary.startswith("resolved (a new reference was accepted): m v1: x rose")
    assert second.start_ms >= 257_000, "from the first pane that was not released yet"
    assert (told[0].reference.id, told[2].reference.id) == (first.id, second.id)
    assert told[2].effect.estimate < 0, "it fell, against how it was when it was accepted"


def test_a_version_that_begins_behind_an_acceptance_is_measured_by_the_new_reference() -> None:
    pipeline = life(260_000)
    second = Reference.decode(pipeline.references[1].value)
    assert {a.reference.id for a in shifts(pipeline, "2")} == {second.id}
    before = life(None)
    first = Reference.decode(before.references[0].value)
    assert {a.reference.id for a in shifts(before, "2")} == {first.id}


def test_an_acceptance_of_another_version_changes_nothing() -> None:
    assert alert_bytes(life(260_000, version="9")) == alert_bytes(life(None))
    assert alert_bytes(life(260_000, version="1")) != alert_bytes(life(None))


@pytest.mark.parametrize("batch", [37, 6_000])
def test_where_an_acceptance_falls_does_not_depend_on_the_batching(batch: int) -> None:
    whole, other = life(260_000), life(260_000, batch=batch)
    assert alert_bytes(other) == alert_bytes(whole)
    assert [r.value for r in other.references] == [r.value for r in whole.references]


def test_an_acceptance_is_in_the_state_and_comes_into_force_once() -> None:
    stage = ModelStage(LIFE, 0, 1)
    stage.renew(Renewed(2, 0, 0, 7, 260_000, "m", None))
    stage.renew(Renewed(2, 0, 5, 7, 290_000, "m", None))
    again = ModelStage.restore(LIFE, 0, 1, packed(stage.snapshot()))
    assert again.has_activated(7)
    assert not again.has_activated(8)
    assert again._renewals.snapshot() == [[260_000, 7, "m", ""]]


def test_the_owner_is_asked_once_and_told_how_to_accept_a_new_reference() -> None:
    rules = replace(CALM, ask_after_ms=100 * PANE_MS)
    found, _, _ = watched(panes(steps(0.0, 2.0, each=1_000)), rules=rules)
    drifts = [f for f in found if f.alertname == "FeatureDrift"]
    assert [f.verdict for f in drifts] == ["drift", "lasting"]
    asked = drifts[1].detail
    assert asked is not None
    assert asked["summary"].endswith("accept a new one: leeway reference accept m 1")
    assert 100 <= (drifts[1].pane_end_ms - drifts[0].pane_end_ms) / PANE_MS <= 101


# -- resolved by the sealed reference, and never by silence


def drifts_of(values: Series, rules: Any = CALM, *, rows: int = 5) -> list[tuple[int, bool]]:
    """(pane, whether it fires) of what is told of the mean of x."""
    found, _, _ = watched(panes(values, rows=rows), rules=rules)
    mine = [f for f in found if f.alertname == "FeatureDrift"]
    told = [f for f in mine if f.verdict in {"drift", "quiet"}]
    return [(f.pane_end_ms // PANE_MS, f.verdict == "drift") for f in told]


def test_a_feature_that_falls_silent_while_it_fires_is_not_resolved() -> None:
    values = steps(0.0, 2.0, 0.0, each=1_000)
    values["x"][1_300:] = np.nan
    values["y"] = np.zeros(3_000)
    assert [fires for _, fires in drifts_of(values)] == [True]


def test_a_stay_at_half_of_the_way_back_is_not_resolved_and_all_of_it_is() -> None:
    rules = replace(CALM, floors=FloorRule(shift=0.3))
    assert [fires for _, fires in drifts_of(steps(0, 2, 1, each=1_000), rules)][:1] == [True]
    half = drifts_of(steps(0, 2, 1, 1, 1, each=1_000), rules)
    assert all(fires for _, fires in half)
    back = drifts_of(steps(0, 2, 0, 0, 0, each=1_000), rules)
    assert [fires for _, fires in back] == [True, False]
    assert back[1][0] > 400 + 100 / 5, "not before enough values agree"


def test_less_than_half_of_what_was_told_must_be_left_however_little_the_reference_can_tell() -> (
    None
):
    """600 values: only changes of .6 σ are told for sure; .8 was, and .55 of it stays."""
    left = drifts_of(steps(0, 0.8, *[0.55] * 10, each=1_000), CALM)
    assert all(fires for _, fires in left)
    gone = drifts_of(steps(0, 0.8, *[0.0] * 10, each=1_000), CALM)
    assert [fires for _, fires in gone] == [True, False]


def test_values_as_they_have_become_are_not_well_while_they_are_not_as_sealed() -> None:
    """Watched again against what was learned since, it is calm there; that resolves nothing."""
    found = drifts_of(steps(0, 2, 2, 2, 2, 2, 2, 2, each=1_000))
    assert [fires for _, fires in found] == [True]


def test_a_drift_so_slow_that_what_is_usual_follows_it_is_found_against_the_sealed_reference() -> (
    None
):
    """Half a σ in 390,000 values: older panes join what is compared with, all the while."""
    hour, size, rows = 3_600_000, 400_000, 100
    reference = ReferenceRule(10_000, 24 * hour)
    rules = replace(CALM, pane_ms=hour, reference=reference, floors=FloorRule(), grace_ms=0)
    random = np.random.default_rng(4)
    drift = np.concatenate([np.zeros(10_000), np.linspace(0.0, 0.5, size - 10_000)])
    x = random.standard_normal(size) + drift
    ends = (np.arange(size) // rows + 1) * hour
    hashes = random.integers(0, 2**63, size).astype(np.uint64)
    columns = {"feature:x": column([float(value) for value in x], {})}
    table = summarise(Rows(ends, hashes, columns, {}), rules.pane_rows, rules.max_categories)
    monitor = Monitor(rules, GROUP, "prediction", reference)
    found, (sealed,) = monitor.update(table)
    told = [f for f in found if f.alertname == "FeatureDrift" and f.detail]
    first = told[0].detail
    assert first is not None
    assert first["reference"] == {"id": sealed.id, "count": 10_000}
    assert 0.1 <= first["effect"]["estimate"] < 0.15, "told at the floor"
    before = Monitor(rules, GROUP, "prediction", reference)
    before.update(table.between(0, told[0].pane_end_ms - hour))
    assert int(before._detection.watch.terms()[0].baseline.n[0]) > 20_000, (
        "as many more have joined by then"
    )
