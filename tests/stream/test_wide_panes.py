"""Panes of very many features: cut into records that a broker takes, and whole again behind it."""

from __future__ import annotations

import json

import pytest

from stream.columns import Group
from stream.events import Records, ToPanes
from stream.model_stage import ModelStage
from stream.pane_kinds import PaneKind
from stream.panes import PaneTable
from stream.rules import ModelRule, Rules
from stream.snapshot import ChangedRulesError, packed
from stream.source_stage import SourceStage
from stream.wire import LARGEST_RECORD_BYTES

FEATURES, ROWS = 400, 600
RULES = Rules(maturity=None)


def wide_panes() -> list[bytes]:
    """What stage 1 sends of one pane of 600 predictions with 400 features each."""
    stage = SourceStage(RULES, 0, 1)
    values: list[bytes | None] = [
        json.dumps(
            {
                "prediction_id": f"p{i}",
                "model_id": "m",
                "model_version": "1",
                "predicted_at": 1_700_000_000_000 + i,
                "prediction": {"score": 0.5},
                "features": {f"f{k}": i * 1.7 + k for k in range(FEATURES)},
            }
        ).encode()
        for i in range(ROWS)
    ]
    records = Records("p", 0, list(range(ROWS)), [None] * ROWS, values)
    effects = [*stage.predictions(records), *stage.end_of_input(1_700_000_000_000 + ROWS)]
    return [effect.value for effect in effects if isinstance(effect, ToPanes)]


def merged(values: list[bytes], restore_at: int | None = None) -> list[dict[str, object]]:
    seen: list[PaneTable] = []

    def observe(kind: PaneKind, group: Group, table: PaneTable) -> None:
        assert (kind, group) == ("prediction", ("m", "1", "champion", ""))
        seen.append(table)

    stage = ModelStage(RULES, 0, 1, observe=observe)
    for number, value in enumerate(values):
        if number == restore_at:
            stage = ModelStage.restore(RULES, 0, 1, packed(stage.snapshot()), observe=observe)
        stage.handle(value)
    return [table.summary(pane) for table in seen for pane in range(len(table))]


def test_no_record_is_larger_than_a_broker_takes_by_default_and_nothing_is_lost() -> None:
    values = wide_panes()
    assert len(values) > 3
    assert max(map(len, values)) < 1_000_000
    assert max(map(len, values)) > LARGEST_RECORD_BYTES
    (pane,) = merged(values)
    assert pane["rows"] == ROWS
    features = pane["features"]
    assert isinstance(features, dict)
    assert {f["number"] for name, f in features.items() if name.startswith("feature:")} == {ROWS}
    assert sum(name.startswith("feature:") for name in features) == FEATURES


def test_a_restart_between_fragments_changes_nothing() -> None:
    values = wide_panes()
    for place in range(1, len(values)):
        assert merged(values, restore_at=place) == merged(values)


def test_an_owner_that_died_between_fragments_is_followed_by_one_that_begins_anew() -> None:
    values = wide_panes()
    for died in range(1, len(values)):
        assert merged([*values[:died], *values]) == merged(values)


def test_state_under_another_maturity_of_its_model_is_refused_and_a_new_model_is_not() -> None:
    stage = SourceStage(RULES, 0, 1)
    value = {"prediction_id": "p", "model_id": "m", "model_version": "1", "features": {}}
    value |= {"predicted_at": 1_700_000_000_000, "prediction": {"score": 0.5}}
    stage.predictions(Records("p", 0, [0], [None], [json.dumps(value).encode()]))
    state = packed(stage.snapshot())
    SourceStage.restore(Rules(maturity=None, models={"other": ModelRule()}), 0, 1, state)
    changed = Rules(maturity=None, models={"m": ModelRule(maturity=60_000)})
    with pytest.raises(ChangedRulesError, match="model m"):
        SourceStage.restore(changed, 0, 1, state)
