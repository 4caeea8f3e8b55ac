"""A model in production with faults, simulated and run through the whole pipeline in process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import yaml

from stream.alert_lines import epoch_ms
from stream.demo.events import Event
from stream.events import Alert, Records, Request
from stream.notices import Notice
from stream.partitioning import partition_of
from stream.pipeline import Pipeline, imbalance
from stream.reference_files import build, read_references
from stream.renewals import Renewal
from stream.settings import Settings
from stream.simulate.simulation import Simulation
from stream.simulate.spec import Spec
from stream.wire import Noticed
from tests.streams import TOPIC, Side, feed

PARTITIONS = 2
OWNERS = {"fraud": "payments-risk", "pricing": "freight-desk"}
RATE_PER_MIN = 10


@dataclass(frozen=True)
class Play:
    alerts: list[Alert]  # in event-time order
    requests: list[Request]
    truth: dict[str, Any]
    summary: dict[str, Any]
    feature_sets: frozenset[str]  # that predictions named

    @property
    def fault(self) -> dict[str, Any]:
        fault: dict[str, Any] = self.truth["faults"][0]
        return fault

    @property
    def onset_ms(self) -> int:
        return epoch_ms(self.fault["onset"])

    @property
    def first(self) -> list[Alert]:
        """Each alert as it was when it fired."""
        return [alert for alert in self.alerts if alert.sequence == 1]

    def of(self, expected: dict[str, Any]) -> list[Alert]:
        """What is told first of a kind and scope that the truth expects, with its action."""
        return [
            alert
            for alert in self.first
            if alert.kind in expected["kinds"]
            and alert.recommended_action in expected["actions"]
            and alert.scope.feature == expected["feature"]
        ]

    def events_until(self, alert: Alert) -> float:
        """Predictions from the onset to the pane that told, about."""
        return (epoch_ms(alert.window.end) - self.onset_ms) / 60_000 * RATE_PER_MIN


@cache
def play(
    *faults: str,
    models: tuple[str, ...] = ("fraud",),
    hours: int = 48,
    seed: int = 7,
    versions: tuple[tuple[tuple[str, Any], ...], ...] = (),
    config: str = "",
    notices: tuple[Notice, ...] = (),
    rate: str = f"{RATE_PER_MIN}/min",
    trained: int = 0,
) -> Play:
    """At default settings, but for `config` (YAML). Labels have a median of 30 minutes, so that two
    days hold it all. `notices` as a replay has them. `trained`: rows of training data that a
    reference is deployed of, in any order, as another seed makes them without faults."""
    spec = Spec.model_validate(
        {
            "seed": seed,
            "length": f"{hours}h",
            "models": models,
            "traffic": {"rate": rate},
            "labels": {"median": "30m"},
            "faults": faults,
            **({"versions": [dict(version) for version in versions]} if versions else {}),
        }
    )
    simulation = Simulation(spec)
    pipeline = Pipeline(settings(config).rules(), PARTITIONS, release_every=5_000)
    for n, notice in enumerate(notices):
        noticed = Noticed(3, 0, 0, n, notice.effective_at_ms or 0, notice)
        pipeline.alert_stage.notice(noticed)
    if trained:
        pipeline.deploy(references_of(trained, models, config))
    offsets: dict[tuple[Side, int], int] = {}
    sets: set[str] = set()
    for predictions, outcomes in simulation.blocks():
        sets |= {set_of(event) for event in predictions} - {""}
        deal(pipeline, "predictions", predictions, offsets)
        deal(pipeline, "outcomes", outcomes, offsets)
    pipeline.end_of_input(None)
    assert imbalance(pipeline.ledger()["total"]) == []
    assert not pipeline.dead_letters
    alerts = [told.alert for told in pipeline.sorted_alerts()]
    requests = [asked.request for asked in pipeline.sorted_actions()]
    return Play(alerts, requests, simulation.truth(), pipeline.summary(), frozenset(sets))


@cache
def references_of(
    rows: int, models: tuple[str, ...], config: str, *, has_outcomes: bool = True
) -> tuple[Renewal, ...]:
    """Sealed of so many rows of a training set."""
    hours = rows // (60 * RATE_PER_MIN) + 2
    spec = {"seed": 1_000, "length": f"{hours}h", "models": models, "labels": {"median": "30m"}}
    simulation = Simulation(
        Spec.model_validate(spec | {"traffic": {"rate": f"{RATE_PER_MIN}/min"}})
    )
    blocks = [*simulation.blocks()]
    predictions = [event.value for block, _ in blocks for event in block]
    Random(rows).shuffle(predictions)
    with TemporaryDirectory() as directory:
        files = [Path(directory) / name for name in ("predictions", "outcomes", "references")]
        files[0].write_bytes(b"\n".join(predictions[:rows]))
        files[1].write_bytes(b"\n".join(event.value for _, block in blocks for event in block))
        given = settings(config)
        sides = files[:1], files[1 : 1 + has_outcomes]
        is_built = build(given, *sides, source="training", out=files[2]) == 0
        assert is_built
        return tuple(read_references(files[2]))


class _Named(msgspec.Struct):
    feature_set: str = ""


_named = msgspec.json.Decoder(_Named)


def set_of(event: Event) -> str:
    return _named.decode(event.value).feature_set


def settings(config: str = "") -> Settings:
    more = yaml.safe_load(config) or {}
    models = {
        name: {
            "owners": {"accountable": owner, "responsible": [owner]},
            "runbook_url": f"https://example.com/{name}",
            **more.get("models", {}).get(name, {}),
        }
        for name, owner in OWNERS.items()
    }
    return Settings.model_validate({**more, "models": models})


def deal(
    pipeline: Pipeline,
    side: Side,
    events: Iterable[Event],
    offsets: dict[tuple[Side, int], int],
) -> None:
    dealt: dict[int, list[Event]] = {}
    for event in events:
        dealt.setdefault(partition_of(event.key, PARTITIONS), []).append(event)
    for partition, mine in sorted(dealt.items()):
        first = offsets.get((side, partition), 0)
        offsets[side, partition] = first + len(mine)
        times: list[int | None] = [event.arrival_ms for event in mine]
        places = list(range(first, first + len(mine)))
        values: list[bytes | None] = [event.value for event in mine]
        feed(pipeline, side, Records(TOPIC[side], partition, places, times, values))
