"""What comes back at the same hour says so; what two versions tell at once is one incident."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from stream.events import Alert
from stream.recurrence import came_before
from stream.rules import DAY_MS, HOUR_MS
from stream.times import iso
from stream.wire import Finding
from tests.stream.test_incidents import finding, told
from tests.streams import SMALL

START = 100 * DAY_MS
WEEK_MS = 7 * DAY_MS
KEPT = replace(SMALL, cooldown_ms=DAY_MS, horizon_ms=30 * DAY_MS)


def at_each(*onsets_ms: int, alertname: str = "FeatureDrift", ends: bool = True) -> list[Finding]:
    feature = "x" if alertname in {"FeatureDrift", "NullRate"} else None
    found = []
    for onset_ms in onsets_ms:
        at_ms = START + onset_ms
        found.append(finding(at_ms + 30, alertname, feature, since_ms=at_ms))
        if ends:
            found.append(finding(at_ms + HOUR_MS, alertname, feature, verdict="quiet"))
    return found


def firing(alerts: list[Alert]) -> list[Alert]:
    return [alert for alert in alerts if alert.status == "firing"]


@pytest.mark.parametrize(("cycle", "every_ms"), [("day", DAY_MS), ("week", WEEK_MS)])
def test_the_third_time_in_a_row_says_when_it_was_so_before(cycle: str, every_ms: int) -> None:
    nights = at_each(0, every_ms + 600_000, 2 * every_ms - 600_000)
    first, second, third = firing(told(nights, rules=KEPT))
    assert "again" not in first.evidence
    assert "again" not in second.evidence
    assert third.evidence["again"] == {
        "each": cycle,
        "before": [iso(START + every_ms + 600_000), iso(START)],
    }
    hours = every_ms // HOUR_MS
    assert third.summary.endswith(
        f"; so it was {hours} h and {2 * hours} h before: "
        f"if that is how each {cycle} goes, consider season: {cycle}"
    )


def test_a_fault_is_not_taken_for_a_season_nor_is_what_knows_one() -> None:
    nights = at_each(0, DAY_MS, 2 * DAY_MS, alertname="NullRate")
    assert firing(told(nights, rules=KEPT))[-1].summary.endswith("so it was 24 h and 48 h before")
    seasonal = replace(KEPT, season="day")
    found = firing(told(at_each(0, DAY_MS, 2 * DAY_MS), rules=seasonal))[-1]
    assert found.summary.endswith("so it was 24 h and 48 h before")


def test_from_the_third_night_on_what_is_as_it_was_is_not_told_again() -> None:
    nights = at_each(*(n * DAY_MS for n in range(8)), alertname="ThroughputChange")
    twice_as_much = finding(
        START + 8 * DAY_MS, "ThroughputChange", since_ms=START + 8 * DAY_MS, estimate=9.0
    )
    for one in (*nights, twice_as_much):
        if one.verdict == "drift":
            one.detail["detector"] = one.detail["detector"] | {"name": "poisson_rate"}
            effect = one.detail["effect"]
            ends = {"low": effect["estimate"] - 0.1, "high": effect["estimate"] + 0.1}
            one.detail["effect"] = effect | ends
    assert len(firing(told(nights, rules=KEPT))) == 3
    found = firing(told([*nights, twice_as_much], rules=KEPT))
    assert len(found) == 4
    assert found[-1].incident_id == found[0].incident_id


@pytest.mark.parametrize(
    "onsets",
    [
        [],
        [0],
        [0, DAY_MS],
        [0, 5 * HOUR_MS, DAY_MS, 2 * DAY_MS + 3 * HOUR_MS],
        [DAY_MS, 2 * DAY_MS + 2 * HOUR_MS],
    ],
)
def test_what_comes_at_other_hours_or_only_twice_is_no_cycle(onsets: list[int]) -> None:
    assert came_before(3 * DAY_MS, onsets) is None


def beside(alertname: str, apart_ms: int, missed: tuple[list[str], list[str]]) -> list[Alert]:
    """Of two versions."""
    found = []
    for n, (version, series) in enumerate(zip("12", missed, strict=True)):
        at_ms = START + 10_000 + n * apart_ms
        one = finding(at_ms, alertname, version=version, since_ms=at_ms - 10_000)
        one.detail["evidence"] = {"reference": {"version": "0", "same_hours": True}}
        if series:
            one.detail["evidence"] |= {"current": {"missed": series}}
        found.append(one)
    return told(found, rules=KEPT)


@pytest.mark.parametrize(
    ("alertname", "apart_ms", "missed", "is_one"),
    [
        ("ErrorRateDrift", 5_000, ([], []), True),
        ("ErrorRateDrift", 50_000, ([], []), False),
        ("ObjectiveMissed", 5 * DAY_MS, (["e", "c"], ["c"]), True),
        ("ObjectiveMissed", 5_000, (["e"], ["c"]), True),
        ("ObjectiveMissed", 50_000, (["e"], ["c"]), False),
        ("LatencyDrift", 5_000, ([], []), True),
        ("VersionWorse", 5_000, ([], []), False),
    ],
)
def test_what_two_versions_tell_at_once_is_of_the_model(
    alertname: str, apart_ms: int, missed: tuple[list[str], list[str]], *, is_one: bool
) -> None:
    first, second = beside(alertname, apart_ms, missed)
    assert (first.incident_id == second.incident_id) == is_one
    is_named = is_one and {*missed[0]} & {*missed[1]} == {*missed[1]}
    assert second.summary.endswith("; v1 too: it is not one version") == is_named
    if is_named:
        assert second.evidence["versions"] == {"also": [{"version": "1", "role": "champion"}]}


def test_a_version_that_is_told_of_when_the_other_is_well_again_stands_alone() -> None:
    at_ms = START + 10_000
    first = finding(at_ms, "ObjectiveMissed", version="1", since_ms=START)
    end = finding(at_ms + 10, "ObjectiveMissed", version="1", verdict="quiet")
    other = finding(at_ms + DAY_MS, "ObjectiveMissed", version="2", since_ms=at_ms + DAY_MS - 10)
    for one in (first, other):
        one.detail["evidence"] = {"current": {"missed": ["e"]}}
    fired = firing(told([first, end, other], rules=KEPT))
    assert len({alert.incident_id for alert in fired}) == 2
    assert "too" not in fired[-1].summary


def test_a_fault_is_one_incident_whether_its_cause_was_named_in_the_segment_only() -> None:
    whole = finding(START + 30, "OutOfRange", "x", since_ms=START)
    part = finding(START + 40, "OutOfRange", "x", since_ms=START)
    part = msgspec.structs.replace(part, group=("m", "1", "champion", "region=EU"))
    part.detail["kind"], part.detail["evidence"] = "schema", {"cause": {"what": "swapped"}}
    assert len({alert.incident_id for alert in told([whole, part], rules=KEPT)}) == 1
