"""Stage 1 alone agrees with the oracle while its watermarks are raised, it is restored from its
own snapshots, and it learns maturities at any moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from random import Random

import pytest

from stream.events import Records
from stream.rules import Rules
from stream.snapshot import packed
from stream.source_stage import SourceStage
from tests.oracle.mixes import Mix, draw_mix
from tests.oracle.oracle import Answer, answer
from tests.oracle.world import Advance, Entry
from tests.oracle.worlds import rules_of

Step = tuple[str, int, list[Entry]]  # side, partition, a batch or one advance


def with_advances(random: Random, dealt: list[list[Entry]]) -> list[list[Entry]]:
    """A watermark raised here and there, about as far as the records around it are."""
    advanced: list[list[Entry]] = []
    for entries in dealt:
        advanced.append([])
        for entry in entries:
            if random.random() < 0.1 and not isinstance(entry, Advance) and entry[1] is not None:
                advanced[-1].append(Advance(max(0, entry[1] + random.randint(-40_000, 40_000))))
            advanced[-1].append(entry)
    return advanced


def steps(random: Random, sides: dict[str, list[list[Entry]]]) -> Iterator[Step]:
    left = {
        (side, partition): [
            list(run)
            for advance, found in groupby(entries, key=lambda entry: isinstance(entry, Advance))
            for run in ([[entry] for entry in found] if advance else [found])
        ]
        for side, dealt in sides.items()
        for partition, entries in enumerate(dealt)
    }
    while any(left.values()):
        side, partition = random.choice([key for key, runs in left.items() if runs])
        run = left[side, partition][0]
        size = random.randint(1, 30)
        yield side, partition, run[:size]
        del run[:size]
        if not run:
            del left[side, partition][0]


def take(stage: SourceStage, side: str, batch: list[Entry]) -> None:
    if isinstance(batch[0], Advance):
        stage.advance(side, batch[0].watermark_ms)  # type: ignore[arg-type]
        return
    raws = [entry for entry in batch if not isinstance(entry, Advance)]
    records = Records(
        topic=side,
        partition=stage.partition,
        offsets=[offset for offset, _, _ in raws],
        timestamps_ms=[timestamp for _, timestamp, _ in raws],
        values=[value for _, _, value in raws],
    )
    getattr(stage, side)(records)


def run_stages(
    random: Random, rules: Rules, sides: dict[str, list[list[Entry]]], ended: Answer
) -> list[SourceStage]:
    count = len(sides["predictions"])
    stages = [SourceStage(rules, partition, count) for partition in range(count)]
    lessons = [(p, model, age) for p in range(count) for model, (age, _) in ended.decisions.items()]
    random.shuffle(lessons)
    for side, p, batch in steps(random, sides):
        take(stages[p], side, batch)
        if random.random() < 0.2:
            stages[p] = SourceStage.restore(rules, p, count, packed(stages[p].snapshot()))
        if lessons and random.random() < 0.2:
            learner, model, age = lessons.pop()
            stages[learner].learn(model, age)
    for learner, model, age in lessons:
        stages[learner].learn(model, age)
    return stages


def entries_of(random: Random, mix: Mix) -> dict[str, list[list[Entry]]]:
    return {
        side: with_advances(random, [list(raws) for raws in dealt])
        for side, dealt in (("predictions", mix.predictions), ("outcomes", mix.outcomes))
    }


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_advancing_restoring_and_learning_at_any_moment_agrees_with_the_oracle(first: int) -> None:
    reached: Counter[str] = Counter()
    for seed in range(first, first + 10):
        random = Random(seed)
        mix = draw_mix(random, 120)
        sides = entries_of(random, mix)
        ended = answer(mix.world, sides["predictions"], sides["outcomes"], ended=True)
        stages = run_stages(random, rules_of(mix.world), sides, ended)
        open_end = answer(mix.world, sides["predictions"], sides["outcomes"], ended=False)
        for stage, marks in zip(stages, open_end.watermarks, strict=True):
            assert stage.watermark_ms("predictions") == marks["predictions"], seed
            assert stage.watermark_ms("outcomes") == marks["outcomes"], seed
        greatest = max(m for marks in open_end.watermarks for m in marks.values() if m is not None)
        for stage, expected in zip(stages, ended.ledger, strict=True):
            stage.end_of_input(greatest)
            assert stage.ledger() == expected, seed
            reached.update(expected["predictions"])
    assert reached["matured_labelled"]
    assert reached["late"]
    assert reached["duplicate"]
