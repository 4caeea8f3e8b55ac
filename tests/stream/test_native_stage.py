"""Stage 1 by the extension says, and keeps, what it does without: byte for byte."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from stream import native, record_columns
from stream.events import Effect, Records, ToDeadLetters, ToPanes
from stream.rules import Rules
from stream.snapshot import packed
from stream.source_stage import SourceStage
from tests.parsers import Called, needs_the_native_parser
from tests.streams import SMALL, Event, Side, dealt, draw_events, with_maturity

pytestmark = needs_the_native_parser
CROWDED = replace(SMALL, pane_rows=2)
RULES = {
    "rows": SMALL,
    "summaries": CROWDED,
    "long panes": replace(CROWDED, pane_ms=8_000),
    "auto": with_maturity(replace(CROWDED, horizon_ms=20_000), "auto"),
    "no maturity": with_maturity(SMALL, None),
    "few features": replace(CROWDED, max_features=2),
    "little room": replace(CROWDED, max_pending=20, max_outcomes=20, max_ids=40),
    "further ages": replace(CROWDED, ages=(5_000,)),
}
Fed = list[tuple[Side, Records]]


def told(effects: list[Effect]) -> list[bytes]:
    return [e.value for e in effects if isinstance(e, ToPanes | ToDeadLetters)]


def walked(rules: Rules, fed: Fed, *, in_use: bool) -> tuple[list[Any], dict[str, bytes]]:
    """What a stage says at each batch, and what it keeps at the end. It is restored halfway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "IN_USE", in_use)
        patch.setattr(record_columns, "PARSER", "native" if in_use else "python")
        stage = SourceStage(rules, 0, 2)
        said: list[Any] = []
        for number, (side, batch) in enumerate(fed):
            said.append(
                told((stage.predictions if side == "predictions" else stage.outcomes)(batch))
            )
            for wish in stage.wishes():
                stage.shed(wish)
            said.append(stage.ledger())
            if number == len(fed) // 2:
                state = packed(stage.snapshot())
                said.append(state)
                stage = SourceStage.restore(rules, 0, 2, state)
        if rules.maturity == "auto":
            said.append(told(stage.learn("m", 3_000)))
        said.append(told(stage.end_of_input(fed[-1][1].timestamps_ms[-1] or 0)))
        return [*said, stage.ledger()], packed(stage.snapshot())


def drawn(seed: int, size: int, **changed: Any) -> Fed:
    random = Random(seed)
    predictions, outcomes = draw_events(random, size, tidy=seed % 3 == 0, **changed)
    stream = dealt(predictions, outcomes, 1)
    return [*stream.batches(random, random.choice((5, 60, 200)))]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_a_stage_by_the_extension_says_and_keeps_what_one_without_it_does(
    rules: str, seed: int
) -> None:
    fed = drawn(seed, 250, models=("m", "n")[: 1 + seed % 2])
    in_c, in_python = (walked(RULES[rules], fed, in_use=use) for use in (True, False))
    assert in_c[0] == in_python[0]
    assert in_c[1] == in_python[1]


def steady(rows: int) -> Fed:
    """Of one model and one shape, in order, with all outcomes: what most traffic is like."""
    random = Random(5)
    predictions: list[Event] = []
    outcomes: list[Event] = []
    for i in range(rows):
        at = 1_763_800_000_000 + 20 * i
        features = {"a": round(random.gauss(0, 1), 3), "t": random.choice("xyz"), "n": None}
        said = {"score": round(random.random(), 3)}
        shown = {"predicted_at": at, "model_id": "m", "model_version": "1", "_arrival": at}
        predictions.append(
            {"prediction_id": f"p{i}", "features": features, "prediction": said, **shown}
        )
        seen = at + random.randint(0, 9_000)
        outcomes.append(
            {"prediction_id": f"p{i}", "model_id": "m", "observed_at": seen, "_arrival": seen,
             "actual": {"label": random.randint(0, 1)}}
        )  # fmt: skip
    return [*dealt(predictions, outcomes, 1).batches(random, 600)]


def test_steady_traffic_goes_through_the_extension_and_says_the_same() -> None:
    fed = steady(4_000)
    with pytest.MonkeyPatch.context() as patch:
        called = Called(native.EXTENSION)
        patch.setattr(native, "EXTENSION", called)
        in_c = walked(CROWDED, fed, in_use=True)
    assert in_c == walked(CROWDED, fed, in_use=False)
    assert called.names >= {"predictions", "outcomes", "new_ids", "run_of", "blocks"}
    assert called.names >= {"meetings", "marked", "judged"}


def test_a_list_of_integers_becomes_a_column() -> None:
    integers, most = native.EXTENSION.integers, 2**63 - 1
    given = [0, None, -1, 1_763_800_000_000, most, -most - 1, True]
    expected = [0, 7, -1, 1_763_800_000_000, most, -most - 1, 1]
    assert np.frombuffer(integers(given, 7), np.int64).tolist() == expected
    for beyond in (most + 1, -most - 2, 2**64, 2**70):
        with pytest.raises(OverflowError):
            integers([1, beyond], 7)
    for wrong in (1.5, "1", b"1"):
        with pytest.raises(TypeError):
            integers([wrong], 7)
