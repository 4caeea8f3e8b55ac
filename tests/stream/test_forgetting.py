"""Stage 3 forgets what can count for nothing any more, and nobody sees when it does."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.alert_stage import AlertStage
from stream.alert_state import AlertState
from stream.events import ToActions
from stream.firing_alerts import unpack_state
from stream.notices import Notice
from stream.numbering import Speaker
from stream.rules import DAY_MS, HOUR_MS, EscalationRule, RetrainRule
from stream.snapshot import packed
from stream.times import iso
from stream.wire import Finding, Noticed, Progress, encode_finding
from tests.stream.test_governance import OWNED, ruled, seen, told
from tests.stream.test_incidents import alerts_of, finding, in_order, requests, run
from tests.streams import SMALL

DAYS = 24.0  # in hours
STEPS = (EscalationRule(2 * HOUR_MS, "info", ("lead",)), EscalationRule(9 * DAY_MS, "info", ("x",)))
RULES = replace(
    SMALL,
    models={"m": OWNED, "n": OWNED},
    cooldown_ms=0,
    escalate=STEPS,
    retrain=RetrainRule(events=("e",), cooldown_ms=3 * DAY_MS, drifts=1),
)
YEAR = 365


def test_a_version_that_returns_when_it_was_forgotten_behaves_as_new() -> None:
    rules = ruled(requires=("rollback",))
    first, second = seen(0), seen(40 * DAYS, "2", since=40 * DAYS)
    assert told([first, second], rules) == [], "nobody was there before"
    soon = seen(20 * DAYS, "2", since=20 * DAYS)
    assert [a.model.version for a in told([first, soon], rules)] == ["2"]
    again = seen(41 * DAYS, since=41 * DAYS)
    assert [a.model.version for a in told([first, second, again], rules)] == ["1"]
    known = seen(41 * DAYS)  # stage 2 has not forgotten it: it was seen all the while
    assert told([first, *(seen(d * DAYS) for d in range(1, 41)), second, known], rules) != []


def notice(at_ms: int, type_: Any, **about: str) -> Noticed:
    return Noticed(3, 0, 0, at_ms, at_ms, Notice(type_, by="ann", **about))


def test_an_event_that_could_not_be_asked_for_is_past_some_day() -> None:
    """It waits for its owner to name it, and then for the cooldown, but not for ever."""
    event = notice(DAY_MS, "business_event", model_id="m", name="e")
    named = replace(RULES, retrain=RetrainRule(events=("e",), cooldown_ms=3 * DAY_MS))
    for after_days, is_asked in ((5, True), (40, False)):
        stage = AlertStage(replace(RULES, retrain=RetrainRule()), 1)
        stage.notice(event)
        stage.activate(after_days * DAY_MS, named)
        speaker, asked = Speaker(0), []
        for day in range(1, 50):
            record = encode_finding(Progress(0, 1, 0, day * DAY_MS, day * DAY_MS))
            asked += stage.handle(speaker.say(0, record))
        assert bool(asked) is is_asked


def story(random: Random) -> tuple[list[Finding], list[Noticed]]:
    """A year: alerts that fire for days or months, and what people and systems say of them."""
    findings, notices, at_ms = [], [], 0
    while at_ms < YEAR * DAY_MS:
        at_ms += random.randint(1, 6 * DAY_MS)
        name = random.choice(("NullRate", "FeatureDrift", "ErrorRateDrift"))
        feature = None if name == "ErrorRateDrift" else random.choice("xyz")
        model = random.choice("mn")
        findings.append(finding(at_ms, name, feature, model=model, version="12"[at_ms % 2]))
        until_ms = at_ms + random.choice((HOUR_MS, 10 * DAY_MS, 90 * DAY_MS))
        quiet = finding(
            until_ms, name, feature, model=model, version="12"[at_ms % 2], verdict="quiet"
        )
        findings.append(quiet)
    alerts = alerts_of(run(findings, [(10**12, 10**12)], rules=RULES))
    for at in random.sample(range(30 * DAY_MS, YEAR * DAY_MS), 150):
        alert = random.choice([a for a in alerts if a.evaluated_at < iso(at)])  # it was told
        model_id, name, version = alert.model.id, random.choice("ex"), random.choice(("", "1"))
        about: tuple[Any, dict[str, str]] = random.choice((
            ("acknowledgement", {"alert_id": alert.id}),
            ("acknowledgement", {"incident_id": alert.incident_id or ""}),
            ("acknowledgement", {"fingerprint": alert.fingerprint}),
            ("business_event", {"model_id": model_id, "name": name}),
            ("retrained", {"model_id": model_id, "model_version": version}),
        ))  # fmt: skip
        notices.append(notice(at, about[0], **about[1]))
    return sorted(findings, key=lambda f: f.ready_ms), sorted(notices, key=lambda n: n.at_ms)


@pytest.mark.parametrize("seed", range(6))
def test_bytes_do_not_depend_on_when_it_forgets(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    findings, notices = story(random)
    days = sorted(random.sample(range(1, YEAR + 120), 120))
    steps = [(day * DAY_MS, int((day - random.random() * 3) * DAY_MS)) for day in days]
    steps = [(p, max(c for _, c in steps[: n + 1])) for n, (p, _) in enumerate(steps)]
    steps.append(((YEAR + 130) * DAY_MS, (YEAR + 130) * DAY_MS))
    restored = frozenset(random.sample(range(len(steps)), 15))
    known = {"rules": RULES, "notices": tuple(notices)}
    in_steps = run(findings, steps, **known, restored_at=restored)
    monkeypatch.setattr(AlertState, "forget", lambda _: None)
    never = run(findings, steps, **known)
    assert in_order(in_steps) == in_order(never)
    assert requests(in_steps) == requests(never)
    said = " ".join(alert.summary for alert in alerts_of(never))
    assert "unacknowledged" in said
    assert any(isinstance(e, ToActions) and e.request.type == "retrain" for e in never)


def test_what_is_said_every_day_of_a_year_does_not_pile_up() -> None:
    stage, speaker = AlertStage(RULES, 1), Speaker(0)
    for day in range(1, YEAR):
        at_ms = day * DAY_MS
        stage.notice(notice(at_ms + 1, "acknowledgement", fingerprint=f"f{day}"))
        stage.notice(notice(at_ms + 2, "retrained", model_id="m"))
        stage.notice(notice(at_ms + 3, "business_event", model_id="m", name="e"))
        version = seen(day * DAYS, str(day), since=day * DAYS)
        for record in (version, Progress(0, 1, 0, at_ms, at_ms)):
            stage.handle(speaker.say(0, encode_finding(record)))
    state = packed(stage.snapshot())
    base = unpack_state(state["base"])
    assert len(base["notices"]) < 100
    assert len(base["requested"]["asked"]) < 50
    again = AlertStage.restore(RULES, 1, state)
    assert packed(again.snapshot()) == state
    first = notice(DAY_MS + 1, "acknowledgement", fingerprint="f1")
    assert again.has_activated(first.announced_at), "it is not announced once more"
