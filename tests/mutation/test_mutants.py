"""Mutants are what they are said to be, one mistake each; and the court's verdicts are right."""

from __future__ import annotations

import ast

import pytest

from tests.mutation import __main__ as command
from tests.mutation import trial
from tests.mutation.mutants import mutants
from tests.mutation.plan import PLAN

SOURCE = '''\
"""A docstring."""

LIMIT = 3


def between(low: int, high: int = 9) -> bool:
    """Another."""
    if low < 0:
        raise ValueError("below")
    return low <= LIMIT and not high == low + 1
'''


def test_every_mutant_is_another_program_with_one_mistake() -> None:
    found = list(mutants(SOURCE))
    texts = [ast.unparse(mutant.tree) for mutant in found]
    assert len(set(texts)) == len(texts)
    assert len({mutant.name for mutant in found}) == len(found)
    assert [mutant.number for mutant in found] == list(range(len(found)))
    original = ast.unparse(ast.parse(SOURCE)).splitlines()
    for text in texts:
        differing = [1 for a, b in zip(original, text.splitlines(), strict=True) if a != b]
        assert len(differing) == 1


def test_the_usual_mistakes_are_all_there_and_no_text_for_people_is_touched() -> None:
    names = [mutant.name for mutant in mutants(SOURCE)]
    for mistake in (
        "module: 3 -> 4",
        "between(): 9 -> 10",
        "between(): if low < 0 -> if not low < 0",
        "between(): low < 0 -> low <= 0",
        "between(): low <= LIMIT and (not high == low + 1) -> low <= LIMIT or not high == low + 1",
        "between(): low <= LIMIT -> low < LIMIT",
        "between(): not high == low + 1 -> high == low + 1",
        "between(): high == low + 1 -> high != low + 1",
        "between(): low + 1 -> low - 1",
    ):
        assert mistake in names
    assert not any("below" in name or "docstring" in name for name in names)
    assert [m.outside for m in mutants(SOURCE)] == [True] + [False] * (len(names) - 1)


def test_mistakes_about_lateness_are_killed_and_an_innocent_change_is_not() -> None:
    verdicts: dict[str, bool] = {}

    def work(court: trial.Court) -> None:
        assert court.survives(None, 120), "its tests pass without any mutant"
        for mutant in mutants(trial.source_of("watermark").read_text(encoding="utf-8")):
            if mutant.name.startswith("late()") or mutant.outside:
                verdicts[mutant.name] = court.survives(mutant, 120)

    trial.Court("watermark", PLAN["watermark"], work).sit()
    assert len(verdicts) > 5
    # any time far before all others would do
    assert [name for name, survives in verdicts.items() if survives] == ["module: 4 -> 5"]


def test_without_tests_there_is_no_verdict() -> None:
    with pytest.raises(RuntimeError, match="no verdict"):
        trial.Court("watermark", ("tests/no_such_test.py",), lambda _: None).sit()


def test_every_module_of_the_plan_is_there_with_its_tests() -> None:
    for module, tests in PLAN.items():
        assert trial.source_of(module).exists()
        for test in tests:
            assert test.startswith("--") or (command.ROOT / test).exists()
