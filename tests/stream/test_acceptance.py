"""Which models' events are taken changes at a record, and what is held of the others goes on."""

from __future__ import annotations

from stream.events import Effect, ToDeadLetters, ToPanes
from stream.numbering import content
from stream.rules import ModelRule, Rules
from stream.snapshot import packed
from stream.source_stage import SourceStage
from stream.wire import decode_pane_record
from tests.streams import blocks_of, outcome, prediction, records

COMMON = {"pane_ms": 1_000, "grace_ms": 2_000, "maturity": 20_000, "horizon_ms": 60_000}
BEFORE = Rules(models={"old": ModelRule(maturity=10_000)}, **COMMON)  # type: ignore[arg-type]
BEHIND = Rules(models={"new": ModelRule(maturity=5_000)}, **COMMON)  # type: ignore[arg-type]


def refused(effects: list[Effect]) -> list[str]:
    return [effect.letter.reason for effect in effects if isinstance(effect, ToDeadLetters)]


def cohorts(effects: list[Effect]) -> dict[str, int]:
    """Rows of each model's cohorts."""
    found: dict[str, int] = {}
    for effect in effects:
        if not isinstance(effect, ToPanes):
            continue
        for block in blocks_of(decode_pane_record(content(effect.value))):
            if block.kind == "cohort" and block.rows is not None:
                found[block.group[0]] = found.get(block.group[0], 0) + len(block.rows)
    return found


def sent(stage: SourceStage, model: str, name: str, at_ms: int) -> list[Effect]:
    return stage.predictions(records([prediction(name, at_ms, model_id=model)]))


def restored(stage: SourceStage) -> SourceStage:
    state = packed(stage.snapshot())
    again = SourceStage.restore(BEFORE, 0, 1, state)
    assert packed(again.snapshot()) == state
    return again


def test_from_the_decision_on_other_models_are_taken_and_what_is_held_still_matures() -> None:
    for restarts in (False, True):
        stage = SourceStage(BEFORE, 0, 1)
        assert refused(sent(stage, "new", "n0", 500)) == ["unknown_model"]
        assert refused(sent(stage, "old", "o0", 600)) == []
        stage.accept("predictions", BEHIND, 3)
        stage = restored(stage) if restarts else stage
        assert stage.has_accepted("predictions", 3)
        assert not stage.has_accepted("outcomes", 3)
        assert refused(sent(stage, "new", "n1", 700)) == []
        assert refused(sent(stage, "old", "o1", 800)) == ["unknown_model"]
        truth = records([outcome("n1", 900, model_id="new")], "outcomes")
        assert refused(stage.outcomes(truth)) == ["unknown_model"], "each side has its record"
        stage.accept("outcomes", BEHIND, 3)
        stage = restored(stage) if restarts else stage
        assert refused(stage.outcomes(truth)) == []
        assert cohorts(stage.advance("predictions", 100_000)) == {}
        assert cohorts(stage.advance("outcomes", 1_000 + 2_000 + 5_000)) == {"new": 1}
        assert cohorts(stage.advance("outcomes", 1_000 + 2_000 + 10_000)) == {"old": 1}


def test_an_app_that_took_any_model_may_name_some_and_take_any_again() -> None:
    anybody = Rules(**COMMON)  # type: ignore[arg-type]
    some = Rules(models={"old": ModelRule()}, **COMMON)  # type: ignore[arg-type]
    stage = SourceStage(anybody, 0, 1)
    assert refused(sent(stage, "other", "a", 500)) == []
    stage.accept("predictions", some, 1)
    assert refused(sent(stage, "other", "b", 600)) == ["unknown_model"]
    stage.accept("predictions", anybody, 2)
    stage.accept("predictions", some, 1)  # heard of twice
    assert refused(sent(stage, "other", "c", 700)) == []
