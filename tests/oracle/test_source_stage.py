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
from stream.shedding import CAPS, Wish
from stream.snapshot import packed
from stream.source_stage import SourceStage
from tests.oracle.mixes import Mix, draw_mix, hurried
from tests.oracle.oracle import Answer, answer
from tests.oracle.world import Advance, Entry, Level
from tests.oracle.worlds import rules_of

pytestmark = pytest.mark.usefixtures("parsers_in_turn")

Step = tuple[str, int, list[Entry]]  # side, partition, a batch or one advance


def with_advances(random: Random, side: str, dealt: list[list[Entry]]) -> list[list[Entry]]:
    """A watermark raised here and there, about as far as the records around it are; and in some
    partitions a level of what is shed."""
    sheds = random.choice((0.0, 0.1))
    whats = [what for of_side, what in CAPS if of_side == side]
    advanced: list[list[Entry]] = []
    for entries in dealt:
        advanced.append([])
        for entry in entries:
            if random.random() < sheds:
                level = random.choice((0, 0, 0, 1, 1, 2, 16))
                advanced[-1].append(Level(random.choice(whats), level))
            if random.random() < 0.1 and not isinstance(entry, Advance) and entry[1] is not None:
                advanced[-1].append(Advance(max(0, entry[1] + random.randint(-40_000, 40_000))))
            advanced[-1].append(entry)
    return advanced


def steps(random: Random, sides: dict[str, list[list[Entry]]]) -> Iterator[Step]:
    left = {
        (side, partition): [
            list(run)
            for decided, found in groupby(
                entries, key=lambda entry: isinstance(entry, Advance | Level)
            )
            for run in ([[entry] for entry in found] if decided else [found])
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


def wish(side: str, level: Level) -> Wish:
    return Wish(side, level.what, level.level)  # type: ignore[arg-type]


def schedule(stage: SourceStage, side: str, entries: list[Entry]) -> None:
    """What a journal says beforehand: from which offset on each level holds."""
    at_offset = 0
    for entry in entries:
        if isinstance(entry, Level):
            stage.shed(wish(side, entry), at_offset)
        elif not isinstance(entry, Advance):
            at_offset = entry[0] + 1


def take(stage: SourceStage, side: str, batch: list[Entry], *, is_scheduled: bool) -> None:
    if isinstance(batch[0], Advance):
        stage.advance(side, batch[0].watermark_ms)  # type: ignore[arg-type]
        return
    if isinstance(batch[0], Level):
        if not is_scheduled:
            stage.shed(wish(side, batch[0]))
        return
    raws = [entry for entry in batch if not isinstance(entry, Advance | Level)]
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
    decided = [(model, [age]) for model, (age, _) in ended.decisions.items()]
    decided += [(model, [of.age, of.until]) for model, of in ended.decisions.early.items()]
    lessons = [(p, model, said) for p in range(count) for model, said in decided]
    random.shuffle(lessons)
    lessons.sort(key=lambda lesson: len(lesson[2]))  # early ones are learned first
    is_scheduled = random.random() < 0.5
    if is_scheduled:
        for side, dealt in sides.items():
            for stage, entries in zip(stages, dealt, strict=True):
                schedule(stage, side, entries)
    for side, p, batch in steps(random, sides):
        take(stages[p], side, batch, is_scheduled=is_scheduled)
        if random.random() < 0.2:
            stages[p] = SourceStage.restore(rules, p, count, packed(stages[p].snapshot()))
        if lessons and random.random() < 0.2:
            learner, model, said = lessons.pop()
            stages[learner].learn(model, *said)
    for learner, model, said in reversed(lessons):
        stages[learner].learn(model, *said)
    return stages


def entries_of(random: Random, mix: Mix) -> dict[str, list[list[Entry]]]:
    return {
        side: with_advances(random, side, [list(raws) for raws in dealt])
        for side, dealt in (("predictions", mix.predictions), ("outcomes", mix.outcomes))
    }


@pytest.mark.parametrize("first", range(0, 40, 10))
@pytest.mark.parametrize("is_hurried", [False, True])
def test_advancing_restoring_and_learning_at_any_moment_agrees_with_the_oracle(
    first: int, is_hurried: bool
) -> None:
    reached: Counter[str] = Counter()
    for seed in range(first, first + 10):
        random = Random(seed)
        mix = draw_mix(random, 120)
        mix = hurried(mix, random) if is_hurried else mix
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
            reached["outcomes shed"] += expected["outcomes"]["shed"]
    assert reached["matured_labelled"]
    assert reached["late"]
    assert reached["duplicate"]
    assert reached["shed"]
    assert reached["outcomes shed"]
