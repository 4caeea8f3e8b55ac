"""What one seed draws: a stream under some rules, and how rough the weather is.

A seed is a stream (seed // SCHEDULES) under one schedule of what happens when (the seed itself):
several seeds share a stream, so that what an undisturbed run says of it is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from stream.deployment import of_source, sealed
from stream.notices import Notice
from stream.reference import Reference
from stream.renewals import Renewal
from stream.rule_book import ConfigChange
from stream.rules import EscalationRule, ModelRule, Requirement, Rules
from tests.simulator.events import draw_events, draw_rules, draw_theme
from tests.streams import Raw, Side, Stream, dealt, run

SCHEDULES = 10  # of one stream
CALM = "calm 492"  # of the first 600 that resolve an alert, one with few boundaries
OF_ERRORS = "calm 139"  # one that tells of errors
DEPLOYED = "calm 331"  # one that a reference is deployed in, of a version that answers already
_TRIES = 4
_AHEAD_MS = (-9_000, 9_000)  # of what is being produced
Arrival = tuple[Side, int, Raw]


@dataclass(frozen=True)
class Scenario:
    name: str  # of the stream and its rules
    rules: Rules
    state_hash: str
    partitions: int
    stream: Stream
    arrivals: list[Arrival]  # in the order in which producers append them
    end_ms: int  # the greatest event time, as the end of the input says it
    idle_s: float | None  # None: nothing is ever idle
    change: ConfigChange | None = None  # of the configuration
    announced_after: int = 0  # arrivals
    renewal: Renewal | None = None  # of a model's reference
    renewed_after: int = 0  # arrivals
    notice: Notice | None = None  # of an alert
    noticed_after: int = 0  # arrivals
    workers: int = 2
    faults: int = 0
    repeat: float = 0.0  # chance that a record of a topic between the stages is there twice
    fragment_bytes: int = 900_000


def draw(random: Random, seed: int) -> Scenario:
    return replace(
        _of_stream(f"stream {seed // SCHEDULES}"),
        workers=random.randint(1, 3),
        faults=random.randint(2, 8),
        repeat=random.choice((0.0, 0.03)),
        fragment_bytes=random.choice((900_000, 900_000, 700)),
    )


def calm(name: str = CALM) -> Scenario:
    """A fixed scenario in which nothing fails by itself: an alert fires and is resolved, and a
    maturity is decided; or, `OF_ERRORS`, errors are told; or, `DEPLOYED`, a reference is given to a
    version, and told against. For crashes at counted places."""
    made = _of_stream(name)
    kept = made.renewal if name == DEPLOYED else None
    return replace(made, idle_s=None, change=None, renewal=kept, notice=None)


@lru_cache(maxsize=8)
def _of_stream(name: str) -> Scenario:
    random = Random(name)
    partitions = random.choice((2, 2, 3))
    idle_s = random.choice((None, None, 1.0, 3.0))
    rules, stream = _telling(random, partitions)
    rules = replace(rules, ages=_further_ages(name))
    made = scenario_of(name, random, rules, stream, idle_s)
    made = made if random.random() < 0.7 else _changing(random, made)
    made = made if random.random() < 0.7 else _renewing(random, made)
    return made if random.random() < 0.6 else _escalating(random, made)


def _further_ages(name: str) -> tuple[int, ...]:
    """Of some streams; drawn apart, so that the others are what they were."""
    apart = Random(f"ages of {name}")
    return apart.choice(((), (), (1_000,), (500, 2_000))) if name.startswith("stream") else ()


def _changing(random: Random, scenario: Scenario) -> Scenario:
    """Other rules come into force, announced some way ahead or too late."""
    after = random.randrange(len(scenario.arrivals))
    at_ms = max(0, scenario.arrivals[after][2][0] + random.randint(*_AHEAD_MS))
    rules = replace(
        scenario.rules,
        minimum_values=8,
        resolve_after_panes=3,
        models={"m": ModelRule(runbook_url="https://runbooks.example/m")},
    )
    return replace(scenario, change=ConfigChange(at_ms, rules), announced_after=after)


def _renewing(random: Random, scenario: Scenario) -> Scenario:
    """A new reference is accepted, some way ahead or too late."""
    after = random.randrange(len(scenario.arrivals))
    at_ms = max(0, scenario.arrivals[after][2][0] + random.randint(*_AHEAD_MS))
    renewal = Renewal(at_ms, "m", random.choice((None, None, "1")))
    return replace(scenario, renewal=_deployed(scenario, renewal), renewed_after=after)


def _deployed(scenario: Scenario, renewal: Renewal) -> Renewal:
    """Or one that the stream itself would have made is deployed with version 1; drawn apart, so
    that the others are what they were."""
    apart = Random(f"deployed of {scenario.name}")
    if apart.random() < 0.5:
        return renewal
    made = run(scenario.rules, scenario.stream, largest=500).references
    references = [Reference.decode(one.value) for one in made]
    mine = {of.kind: of for of in references if of.group == ("m", "1", "champion", "")}
    if not mine:
        return renewal
    given = tuple(sealed(of_source(of, "training")) for of in mine.values())
    at_ms = apart.choice((0, renewal.effective_at_ms))
    return Renewal(at_ms, "m", "1", given)


def _escalating(random: Random, scenario: Scenario) -> Scenario:
    """What nobody acknowledges is told again; one alert is acknowledged at some time."""
    escalate = (EscalationRule(1_500, "info", ("lead",)), EscalationRule(4_000, "info", ("head",)))
    asked: tuple[Requirement, ...] = random.choice(((), ("owner",), ("reference", "rollback")))
    rules = replace(scenario.rules, escalate=escalate, requires=asked)
    change = scenario.change
    if change is not None and random.random() < 0.5:
        change = replace(change, rules=replace(change.rules, escalate=escalate[:1], requires=asked))
    alerts = run(rules, scenario.stream, largest=500).alerts
    after = random.randrange(len(scenario.arrivals))
    at_ms = max(0, scenario.arrivals[after][2][0] + random.randint(*_AHEAD_MS))
    named = random.choice(alerts).fingerprint if alerts else "none"
    when = random.choice((None, at_ms))
    notice = Notice("acknowledgement", when, fingerprint=named, by="ann")
    return replace(scenario, rules=rules, change=change, notice=notice, noticed_after=after)


def scenario_of(
    name: str, random: Random, rules: Rules, stream: Stream, idle_s: float | None
) -> Scenario:
    return Scenario(
        name=name,
        rules=rules,
        state_hash=rules.state_hash(),
        partitions=len(stream.predictions),
        stream=stream,
        arrivals=_arrivals(random, stream, silent=idle_s is not None),
        end_ms=_latest_ms(stream),
        idle_s=idle_s,
    )


def _telling(random: Random, partitions: int) -> tuple[Rules, Stream]:
    """A stream of which there is something to tell, if one is drawn in a few tries."""
    for _ in range(_TRIES):
        rules = draw_rules(random)
        predictions, outcomes = draw_events(random, draw_theme(random, rules))
        stream = dealt(predictions, outcomes, partitions)
        if run(rules, stream, largest=500).alerts:
            break
    return rules, stream


def _latest_ms(stream: Stream) -> int:
    return max(raw[0] for part in [*stream.predictions, *stream.outcomes] for raw in part)


def _arrivals(random: Random, stream: Stream, *, silent: bool) -> list[Arrival]:
    """By record timestamp; where something is `silent`, one partition for a part of the time."""
    sides: dict[Side, list[list[Raw]]] = {
        "predictions": stream.predictions,
        "outcomes": stream.outcomes,
    }
    flat: list[Arrival] = [
        (side, p, raw)
        for side, parts in sides.items()
        for p, part in enumerate(parts)
        for raw in part
    ]
    flat.sort(key=lambda arrival: arrival[2][0])  # stable: a partition keeps its order
    if not silent:
        return flat
    start = int(len(flat) * random.uniform(0.1, 0.5))
    end = start + int(len(flat) * random.uniform(0.2, 0.5))
    sleeper = random.randrange(len(stream.predictions))
    during = flat[start:end]
    kept = [a for a in during if a[1] != sleeper]
    held = [a for a in during if a[1] == sleeper]
    return [*flat[:start], *kept, *held, *flat[end:]]
