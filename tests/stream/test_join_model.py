"""The join against a naive one: lists, no purging, no runs, nothing kept but what was said.

Limits are set so low that runs are merged, rewritten and purged and group codes forgotten within
a few steps; two ids share the first half of their hash.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
import pytest

from detectors.log_buckets import duration_edge_ms
from stream import pending, sorted_runs, waiting_outcomes
from stream.columns import NULL, NUMBER, Group, Rows
from stream.identity import MODEL, hash_id, hash_ids
from stream.outcome_join import OutcomeJoin
from stream.pane_kinds import cohort_at
from stream.rules import ModelRule
from stream.snapshot import pack, packed, unpack
from stream.watermark import BEFORE_ALL_MS
from tests.streams import SMALL

PANE, GRACE = 1_000, 2_000
RULES = replace(
    SMALL,
    pane_ms=PANE,
    grace_ms=GRACE,
    maturity="auto",
    horizon_ms=30_000,
    ages=(1, 2_000),
    models={
        "m": ModelRule(maturity=5_000, ages=(500, 4_999)),
        "never": ModelRule(maturity=None),
        "a": ModelRule(),
        "b": ModelRule(ages=()),
    },
)
MODELS = tuple(RULES.models)


@dataclass(eq=False)
class Prediction:
    id: str
    group: Group
    time: int
    label: int
    state: str = "held"
    judged_at: set[int] = field(default_factory=set)

    @property
    def due(self) -> int:
        return end_of(self.time) + GRACE


@dataclass(eq=False)
class Outcome:
    id: str
    model: str
    effective: int
    revision: int
    retracted: bool
    label: int
    marks: set[str] = field(default_factory=set)


def end_of(time: int) -> int:
    return (time // PANE + 1) * PANE


class NaiveJoin:
    def __init__(self) -> None:
        self.predictions: list[Prediction] = []
        self.outcomes: list[Outcome] = []
        self.learned: dict[str, int | None] = {}
        self.delays_until = BEFORE_ALL_MS

    def age(self, model: str) -> int | str | None:
        configured = RULES.maturity_of(model)
        return self.learned.get(model, "auto") if configured == "auto" else configured

    def hold(self, made: list[Prediction], room: list[bool]) -> None:
        for prediction, has_room in zip(made, room, strict=True):
            if not has_room or self.age(prediction.group[0]) is None:
                prediction.state = "unjoined"
        self.predictions += made

    def learn(self, model: str, age: int | None) -> None:
        self.learned[model] = age
        for p in self.held():
            if p.group[0] == model and age is None:
                p.state = "unjoined"

    def held(self) -> list[Prediction]:
        return [p for p in self.predictions if p.state == "held"]

    def of(self, p: Prediction) -> list[Outcome]:
        return [
            o
            for o in self.outcomes
            if (o.id, o.model) == (p.id, p.group[0]) and p.time <= o.effective + GRACE
        ]

    def judge(self, p: Prediction, age: int) -> tuple[list[Outcome], Outcome | None]:
        fits = [o for o in self.of(p) if o.effective < p.time + age]
        return fits, max(fits, key=lambda o: o.revision, default=None)

    def young(self, reached: int) -> dict[tuple[int, Group], list[Any]]:
        """Those that reach a further age."""
        found = defaultdict(list)
        for p in self.held():
            maturity, own = self.age(p.group[0]), RULES.models[p.group[0]].ages
            for age in RULES.ages if own is None else own:
                known = isinstance(maturity, int) and age < maturity
                if known and age not in p.judged_at and p.due + age <= reached:
                    p.judged_at.add(age)
                    told = self.told(p, self.judge(p, age)[1])
                    found[age, p.group].append((end_of(p.time), hash_of(p.id), told))
        return {place: sorted(rows, key=repr) for place, rows in found.items()}

    @staticmethod
    def told(p: Prediction, best: Outcome | None) -> Any:
        if best is None or best.retracted:
            return None
        return float(best.label != p.label), float(max(best.effective - p.time, 0))

    def mature(self, reached: int) -> dict[Group, list[Any]]:
        found = defaultdict(list)
        for p in self.held():
            age = self.age(p.group[0])
            if not isinstance(age, int) or p.due + age > reached:
                continue
            fits, best = self.judge(p, age)
            for o in fits:
                o.marks.add("candidate")
            if best is not None:
                best.marks.add("counted")
            told = self.told(p, best)
            p.state = "unlabelled" if told is None else "labelled"
            found[p.group].append((end_of(p.time), hash_of(p.id), told))
        return {group: sorted(rows, key=repr) for group, rows in found.items()}

    def delays(self, reached: int) -> dict[str, Any]:
        until = (reached - RULES.settled_ms) // PANE * PANE
        since, self.delays_until = self.delays_until, max(self.delays_until, until)
        found: dict[str, Counter[tuple[int, int, int]]] = defaultdict(Counter)
        for p in self.held():
            told = [o.effective for o in self.of(p) if not o.retracted]
            if self.age(p.group[0]) != "auto" or not told:
                continue
            first = min(told)
            if since < end_of(first) <= until:
                edge = int(duration_edge_ms(np.array([first - p.time]))[0])
                found[p.group[0]][end_of(first), end_of(p.time), edge] += 1
        return {model: sorted(cells.items()) for model, cells in found.items()}

    def terms(self, predictions_ms: int) -> dict[str, int]:
        marks = {id(o): set(o.marks) for o in self.outcomes}
        for p in self.held():
            age = self.age(p.group[0])
            fits, best = self.judge(p, age if isinstance(age, int) else RULES.horizon_ms)
            for o in fits:
                marks[id(o)].add("candidate")
            if best is not None:
                marks[id(best)].add("counted")
        counts = dict.fromkeys(waiting_outcomes.TERMS, 0)
        for o in self.outcomes:
            term = decided(o, marks[id(o)])
            if term is None:
                gone = end_of(o.effective) + RULES.settled_ms <= predictions_ms
                term = "orphan_expired" if gone else "orphan_waiting"
            counts[term] += 1
        return counts

    def decided(self) -> Counter[str]:
        """By the predictions that were judged."""
        return Counter(term for o in self.outcomes if (term := decided(o, o.marks)) is not None)

    def matured(self) -> dict[str, int]:
        states = Counter(p.state for p in self.predictions)
        return {
            "matured_labelled": states["labelled"],
            "matured_unlabelled": states["unlabelled"],
            "unjoined": states["unjoined"],
        }


def decided(o: Outcome, marks: set[str]) -> str | None:
    if "counted" in marks:
        return "retracted" if o.retracted else "joined"
    return "superseded" if marks else None


# -- the same for the join proper


def key_of(name: str, model: str) -> tuple[int, int]:
    """An id with a tick has the key of the id without, and another check."""
    key, check = (hash_ids([name.rstrip("'")])[0] ^ hash_id(model, MODEL)).tolist()
    return key, check ^ name.count("'")


def hash_of(name: str) -> int:
    return int(hash_ids([name.rstrip("'")])[0, 0])


def hold(join: OutcomeJoin, made: list[Prediction], room: list[bool]) -> None:
    keys = [key_of(p.id, p.group[0]) for p in made]
    count = len(made)
    columns = {
        "key": np.array([key for key, _ in keys], np.uint64),
        "check": np.array([check for _, check in keys], np.uint64),
        "group": np.array([join.code_of(p.group) for p in made], np.int64),
        "time": np.array([p.time for p in made], np.int64),
        "has": np.ones(count, np.uint8),
        "label": np.array([p.label for p in made], np.uint64),
        "score": np.zeros(count),
        "value": np.zeros(count),
    }
    join.hold(columns, np.array(room, np.bool_))


def add(join: OutcomeJoin, made: list[Outcome]) -> None:
    keys = [key_of(o.id, o.model) for o in made]
    columns = {
        "key": np.array([key for key, _ in keys], np.uint64),
        "check": np.array([check for _, check in keys], np.uint64),
        "effective": np.array([o.effective for o in made], np.int64),
        "revision": np.array([o.revision for o in made], np.int64),
        "retracted": np.array([o.retracted for o in made], np.bool_),
        "has": np.ones(len(made), np.uint8),
        "label": np.array([o.label for o in made], np.uint64),
        "value": np.zeros(len(made)),
    }
    join.add_outcomes(columns)


def rows_of(rows: Rows) -> list[Any]:
    error, delay = rows.columns["outcome:error"], rows.columns["outcome:delay_ms"]
    made = []
    for i, (end, hashed) in enumerate(zip(rows.pane_end.tolist(), rows.hash.tolist(), strict=True)):
        told = None
        if error.kind[i] == NUMBER:
            bits = np.array([error.bits[i], delay.bits[i]]).view(np.float64)
            told = (float(bits[0]), float(bits[1]))
        else:
            assert error.kind[i] == delay.kind[i] == NULL
        made.append((end, hashed, told))
    assert [row[:2] for row in made] == sorted(row[:2] for row in made)
    return sorted(made, key=repr)


def whole(steps: Generator[None, None, dict[str, int]]) -> dict[str, int]:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            terms: dict[str, int] = end.value
            return terms


def restored(join: OutcomeJoin) -> OutcomeJoin:
    plain = unpack(b"X", 1, pack(b"X", 1, join.snapshot()))
    return OutcomeJoin.restore(RULES, plain, packed(join.parts()))


class Both:
    """Both joins, fed alike with what a partition could receive."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.join, self.naive = OutcomeJoin(RULES), NaiveJoin()
        self.marks = {"predictions": 0, "outcomes": 0}
        self.revisions: Counter[tuple[str, str]] = Counter()
        self.happened: Counter[str] = Counter()

    def time(self, side: str) -> int:
        """Often on the boundaries of panes, and not late."""
        random, mark = self.random, self.marks[side]
        at = mark + random.choice((-2_000, -1_000, -1, 0, 1, 999, 1_000, 2_500))
        return max(at, mark // PANE * PANE - GRACE, 0)

    def predict(self) -> None:
        made = []
        for _ in range(self.random.randint(1, 5)):
            model = self.random.choice(MODELS)
            version = f"v{self.marks['predictions'] // 9_000}"
            group = (model, version, "champion", "")
            name = f"{self.random.randrange(12)}" + self.random.choice(("", "", "'"))
            made.append(
                Prediction(name, group, self.time("predictions"), self.random.choice((1, 2)))
            )
        room = [self.random.random() < 0.9 for _ in made]
        hold(self.join, made, room)
        self.naive.hold(made, room)
        self.marks["predictions"] = max(self.marks["predictions"], *(p.time for p in made))

    def tell(self) -> None:
        made = []
        for _ in range(self.random.randint(1, 5)):
            seen = self.random.choice(self.naive.predictions[-12:] or [None])
            name, model = (f"{self.random.randrange(12)}", "a")
            if seen is not None and self.random.random() < 0.9:
                name, model = seen.id, seen.group[0]
            self.revisions[name, model] += self.random.choice((1, 2))
            at = max(self.time("outcomes"), self.marks["outcomes"])
            revision = self.revisions[name, model] ^ 1  # not in order, each once
            retracted = self.random.random() < 0.2
            made.append(Outcome(name, model, at, revision, retracted, self.random.choice((1, 2))))
            self.marks["outcomes"] = max(self.marks["outcomes"], at)
        made = [o for o in made if not any(self.same(o, known) for known in self.naive.outcomes)]
        made = [o for i, o in enumerate(made) if not any(self.same(o, p) for p in made[:i])]
        add(self.join, made)
        self.naive.outcomes += made

    @staticmethod
    def same(one: Outcome, other: Outcome) -> bool:
        return (one.id, one.model, one.revision) == (other.id, other.model, other.revision)

    def learn(self) -> None:
        unknown = [m for m in ("a", "b") if m not in self.naive.learned]
        if unknown and self.random.random() < 0.015:
            model = self.random.choice(unknown)
            age = self.random.choice((None, 0, 3_000, 7_000, 25_000))
            self.join.learn(model, age)
            self.naive.learn(model, age)
            assert self.join.knows(model)
            self.mature()

    def wait(self) -> None:
        side = self.random.choice(("predictions", "outcomes"))
        step = self.random.choice((1, 1_000, 2_500, 12_000))
        self.marks[side] = (self.marks[side] + step) // step * step

    def mature(self) -> None:
        reached = min(self.marks.values())
        found = [
            (kind, group, rows)
            for kind, cohorts in self.join.mature(reached)
            for group, rows in cohorts.dealt(in_order=True)
        ]
        assert len({(kind, group) for kind, group, _ in found}) == len(found)
        young = {
            (cohort_at(age), group): of for (age, group), of in self.naive.young(reached).items()
        }
        expected = {("cohort", group): of for group, of in self.naive.mature(reached).items()}
        assert {(kind, group): rows_of(rows) for kind, group, rows in found} == young | expected
        self.happened["cohorts"] += len(expected)
        self.happened["young"] += len(young)

    def step(self) -> None:
        """What stage 1 does of a batch, in its order."""
        draw = self.random.choice((self.predict, self.predict, self.tell, self.tell, self.wait))
        draw()
        self.learn()
        reached = min(self.marks.values())
        delays = {}
        for model, d in self.join.delays(reached, RULES.settled_ms):
            places = zip(
                d.outcome_pane_end.tolist(),
                d.prediction_pane_end.tolist(),
                d.edge_ms.tolist(),
                strict=True,
            )
            delays[model] = list(zip(places, d.count.tolist(), strict=True))
        expected = self.naive.delays(reached)
        assert delays == expected
        self.happened["delays"] += len(expected)
        self.mature()
        self.join.purge(self.marks["predictions"])
        if self.random.random() < 0.1:
            self.join = restored(self.join)
            assert pack(b"X", 1, restored(self.join).snapshot()) == pack(
                b"X", 1, self.join.snapshot()
            )

    def check(self) -> None:
        assert self.join.matured == self.naive.matured()
        assert self.join.pending() == len(self.naive.held())
        marks = self.marks["predictions"]
        expected = self.naive.terms(marks)
        assert whole(self.join.outcome_terms(marks)) == expected
        at_hand = self.join.terms_at_hand()
        assert sum(at_hand.values()) == sum(expected.values())
        decided = self.naive.decided()
        assert at_hand == {
            **{term: decided[term] for term in waiting_outcomes.DECIDED},
            "orphan_expired": at_hand["orphan_expired"],
            "undecided": at_hand["undecided"],
        }
        assert at_hand["orphan_expired"] <= expected["orphan_expired"]
        self.check_held()
        self.check_memory()

    def check_held(self) -> None:
        """Exactly those that have not left are found."""
        keys = {key_of(p.id, p.group[0]) for p in self.naive.predictions}
        found = self.join.held.find(np.array(sorted({key for key, _ in keys}), np.uint64)).rows
        columns = (found[name].tolist() for name in ("key", "check", "time"))
        held = [(*key_of(p.id, p.group[0]), p.time) for p in self.naive.held()]
        assert sorted(zip(*columns, strict=True)) == sorted(held)

    def check_memory(self) -> None:
        """No more rows are dead than alive, and nothing is known of runs that are gone."""
        held, outcomes = self.join.held, self.join.outcomes
        assert len(held.runs) <= 2 * len(held)
        assert len(outcomes.runs) <= 2 * len(outcomes)
        keys = {key_of(o.id, o.model)[0] for o in self.naive.outcomes}
        assert len(outcomes.find(np.array(sorted(keys), np.uint64)).index) == len(outcomes)
        numbers = {run.number for run in held.runs.runs}
        assert held._left.keys() | held._queues.keys() | held._first_due_ms.keys() <= numbers


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_outcomes, "_PURGE_AT_LEAST", 6)
    monkeypatch.setattr(pending, "_FORGET_AT_LEAST", 4)
    monkeypatch.setattr(pending, "_CHUNK_ROWS", 3)
    monkeypatch.setattr(sorted_runs, "FULL_ROWS", 40)
    monkeypatch.setattr(sorted_runs, "_SMALL_ROWS", 8)


@pytest.mark.usefixtures("low_limits")
@pytest.mark.parametrize("seed", range(12))
def test_the_join_says_what_a_naive_one_says_at_every_step(seed: int) -> None:
    both = Both(Random(seed))
    for _ in range(120):
        both.step()
        both.check()
    assert both.happened["cohorts"] > 10
    assert both.happened["young"] > 10
    assert len(both.join.outcomes) < len(both.naive.outcomes), "nothing was purged"
    assert None in both.join.held.groups or len(both.join.held.groups) < 40


def test_seeds_meet_delays_and_both_kinds_of_decisions(low_limits: None) -> None:
    happened: Counter[str] = Counter()
    learned = set()
    for seed in (0, 5, 9):
        both = Both(Random(seed))
        for _ in range(120):
            both.step()
        happened += both.happened
        learned |= set(both.naive.learned.values())
    assert happened["delays"] > 10
    assert None in learned
    assert len(learned) > 2
