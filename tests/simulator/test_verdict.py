"""What a replaced owner said late, by other rules, is set apart; all else is compared as ever."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from random import Random

import pytest

from stream.records import encode
from tests.simulator.log import Place
from tests.simulator.scenario import draw
from tests.simulator.simulation import Run, Simulation
from tests.simulator.slot import SETTINGS
from tests.simulator.verdict import faults_of

TOPICS = SETTINGS.topics
SAID = (TOPICS.alerts, TOPICS.actions, TOPICS.alerts_state)


def run_with_a_notice() -> Run:
    """The first in which something is acknowledged and something asked for."""
    for seed in count(20):
        random = Random(seed)
        scenario = draw(random, seed)
        if scenario.notice is not None:
            run = Simulation(scenario, random).run()
            if run.log.end((TOPICS.actions, 0)):
                return run
    raise AssertionError


def say(run: Run, topic: str, *, is_late: bool) -> None:
    """An alert as it never was."""
    place: Place = topic, 0
    alert = run.log.part((TOPICS.alerts, 0))[0]
    assert alert.value is not None
    value = alert.value.replace(b'"schema_version":1', b'"schema_version":2')
    offset = run.log.append(place, value, key=alert.key)
    if is_late:
        run.log.late.add((place, offset))


def test_what_was_said_late_by_other_rules_is_no_fault_and_said_in_time_it_is() -> None:
    late, in_time = run_with_a_notice(), run_with_a_notice()
    assert faults_of(late) == []
    for topic in SAID:
        say(late, topic, is_late=True)
    assert faults_of(late) == []
    assert late.happened["said late, by other rules"] == 1
    assert late.happened["asked late, by other rules"] == 1
    for topic in SAID:
        say(in_time, topic, is_late=False)
    told = "\n".join(faults_of(in_time))
    assert all(f"{what}: " in told for what in ("alerts", "actions", "alerts.state"))


@pytest.mark.parametrize("topic", SAID)
def test_what_is_missing_is_missed_beside_what_was_said_late(topic: str) -> None:
    run = run_with_a_notice()
    for other in SAID:
        say(run, other, is_late=True)
    part = run.log.part((topic, 0))
    gone = part[0].value
    for n, entry in enumerate(part):
        if entry.value == gone or (topic == TOPICS.alerts_state and entry.key == part[0].key):
            part[n] = replace(entry, value=None)
    found = faults_of(run)
    assert found
    assert all("missing" in fault for fault in found), encode(found)
