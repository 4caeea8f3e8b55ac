"""What comes in runs of one value has not stopped varying: a weekday, the customer of a job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream import stale_watch
from stream.columns import Rows, column
from stream.constant import Run, latest_run
from stream.panes import PaneTable, summarise
from stream.reference import Reference, Runs
from stream.rules import BudgetRule, FloorRule, ReferenceRule, Rules
from stream.stale_watch import StaleWatch
from tests.stream.monitors import Lived, lived

RULES = Rules(
    pane_ms=1_000,
    reference=ReferenceRule(predictions=6_000, span_ms=20_000),
    budget=BudgetRule(),
    floors=FloorRule(),
    pane_rows=64,
    window_rows=512,
)
EACH, PER_PANE = 300, 5  # predictions


def panes(
    customers: list[str], seed: int = 1, each: int = EACH, moved_from: int | None = None,
    per_pane: int = PER_PANE,
) -> PaneTable:  # fmt: skip
    """So many predictions of each of them, and a feature that knows nothing of it."""
    random, size = np.random.default_rng(seed), each * len(customers)
    ends = (np.arange(size) // per_pane + 1) * RULES.pane_ms
    texts: dict[int, str] = {}
    x = random.standard_normal(size)
    x[size if moved_from is None else moved_from :] += 3.0
    columns = {
        "feature:customer": column(np.repeat(customers, each).tolist(), texts),
        "feature:number": column(np.repeat([ord(c) for c in customers], each).tolist(), texts),
        "feature:x": column(x.tolist(), texts),
    }
    hashes = random.integers(0, 2**63, size).astype(np.uint64)
    return summarise(Rows(ends, hashes, columns, texts), RULES.pane_rows, RULES.max_categories)


def drawn(count: int, seed: int) -> list[str]:
    """Customers by chance, none twice in a row."""
    found, random = ["A"], np.random.default_rng(seed)
    while len(found) < count:
        found += [c for c in random.choice(list("ABCDEFGH"), 1).tolist() if c != found[-1]]
    return found


def told(life: Lived, since_ms: int) -> list[str]:
    return [
        f"{found.alertname} {found.series}"
        for found in life.findings
        if found.verdict == "drift" and found.pane_end_ms >= since_ms
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_run_as_long_as_those_of_the_reference_is_told_by_nobody(seed: int) -> None:
    life = lived(panes(drawn(80, seed)), RULES)
    reference = life.references[0]
    assert told(life, reference.end_ms) == []
    assert sorted(reference.runs) == ["feature:customer", "feature:number"]
    runs = reference.runs["feature:customer"]
    assert runs.seen >= 0.8 * 6_000 / EACH
    assert 0.9 * EACH <= runs.values <= EACH
    assert 0.9 * EACH <= runs.ms / RULES.pane_ms * PER_PANE <= 1.1 * EACH


def test_two_runs_of_which_one_fills_most_of_the_reference_are_runs() -> None:
    """A weekday, of which a reference of a day has two."""
    life = lived(panes([day for day in "ABCDEFGH" for _ in range(14)]), RULES)
    reference = life.references[0]
    assert sorted(reference.runs) == ["feature:customer", "feature:number"]
    since = [found for found in life.findings if found.pane_end_ms >= reference.end_ms]
    assert "StaleFeature" not in {found.alertname for found in since}
    causes = [found.detail["evidence"].get("cause") for found in since if found.detail]
    assert "stale" not in {cause["what"] for cause in causes if cause}


def test_runs_of_what_is_gathered_anew_are_of_no_reference() -> None:
    random, early = np.random.default_rng(3), 6_000
    runs = np.repeat(drawn(early // EACH, 1), EACH).tolist()
    customers = [*runs, *random.choice(list("ABCDEFGH"), 14_000).tolist()]
    (reference, *_) = lived(panes(customers, each=1, moved_from=3_000), RULES).references
    assert reference.changes
    assert reference.runs == {}


@pytest.mark.parametrize("per_pane", [PER_PANE, 75, 110, 167])
def test_a_job_in_the_order_of_its_customers_is_told_nothing_of_when_all_are_known(
    per_pane: int,
) -> None:
    """The first reference knows a few of them: of the others it says nothing, nor by how much they
    depend. Of 167 a pane there are 36 panes, fewer behind any doubling than tell of anything."""
    life = lived(panes([*"ABCDEFGHIJKLMNOPQRST"] * 60, each=100, per_pane=per_pane), RULES)
    (reference,) = life.references
    assert told(life, reference.end_ms) == []
    verdicts = [f.verdict for f in life.findings if f.alertname == "UnseenCategories"]
    assert verdicts == ([] if per_pane == 167 else ["drift", "quiet"])
    (shape,) = [
        power["tau"]
        for power in life.monitor.powers()
        if (power["series"], power["measure"]) == ("feature:customer", "shape")
    ]
    assert shape >= 100


def test_zeros_that_hardly_anything_interrupts_are_no_runs() -> None:
    random = np.random.default_rng(5)
    values = np.where(random.random(9_000) < 0.002, "B", "A").tolist()
    (reference, *_) = lived(panes(values, each=1), RULES).references
    assert reference.runs == {}


@pytest.mark.parametrize(("values", "is_usual"), [("A", True), ("AAB", True), ("AABBC", False)])
def test_that_what_is_always_so_is_not_looked_at_changes_nothing(
    values: str, is_usual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, looked = np.random.default_rng(6), list[str]()
    first, last = (random.choice([*values], size).tolist() for size in (7_000, 500))
    stretches = [value for value in "ABA" for _ in range(1_000)]
    table = panes([*first, *stretches, *last], each=1, per_pane=20)

    def counted(window: Rows, name: str) -> Run | None:
        looked.append(name)
        return latest_run(window, name)

    monkeypatch.setattr(stale_watch, "latest_run", counted)
    found = lived(table, RULES)
    few = len(looked)
    monkeypatch.setattr(StaleWatch, "_is_expected", lambda *_: False)
    assert lived(table, RULES).findings == found.findings
    assert (2 * (len(looked) - few) > 3 * few) == is_usual
    stale = {f.series for f in found.findings if f.alertname == "StaleFeature"}
    assert ("feature:customer" in stale) != is_usual


def test_one_that_is_longer_by_far_is_told() -> None:
    life = lived(panes([*drawn(40, 1), *"XXXXXXXXXX"]), RULES)
    stuck_ms = 40 * EACH // PER_PANE * RULES.pane_ms
    stale = [f for f in life.findings if f.alertname == "StaleFeature"]
    assert {found.series for found in stale} == {"feature:customer", "feature:number"}
    since = [(found.pane_end_ms - stuck_ms) / RULES.pane_ms * PER_PANE for found in stale]
    assert all(2 * EACH <= values <= 9 * EACH for values in since)


def test_what_is_stuck_while_a_reference_is_gathered_is_no_usual_run() -> None:
    """Though it is so twice."""
    random = np.random.default_rng(2)
    loose = [random.choice(list("ABCDEFGH"), 1_000).tolist() for _ in range(3)]
    stuck = ["C"] * EACH
    values = [*loose[0], *stuck, *loose[1], *stuck, *(loose[2] * 12)]
    life = lived(panes(values, each=1), RULES)
    assert [f.series for f in life.findings if f.alertname == "StaleFeature"]
    assert life.references
    assert all("feature:customer" not in one.runs for one in life.references)


@pytest.mark.parametrize("cuts", [[7, 300, 301, 900, 1_500], [*range(100, 4_000, 100)]])
def test_neither_batches_nor_restores_show(cuts: list[int]) -> None:
    table = panes([*drawn(60, 3), *"XXXX", *drawn(10, 4)])
    whole, cut = lived(table, RULES), lived(table, RULES, cuts)
    assert cut.findings == whole.findings
    assert [one.id for one in cut.references] == [one.id for one in whole.references]
    states = [life.monitor.snapshot().to_plain()["stale"] for life in (whole, cut)]
    assert states[0][2] == states[1][2]


def test_a_reference_keeps_its_runs_and_one_without_is_as_it_was() -> None:
    reference = lived(panes(drawn(30, 1)), RULES).references[0]
    assert Reference.decode(reference.encode()).runs == reference.runs
    bare: Any = replace(reference, runs={})
    assert "runs" not in bare.to_plain()
    one = replace(bare, runs={"feature:x": Runs(2, 300, 60_000)})
    assert one.id != bare.id
