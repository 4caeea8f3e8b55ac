"""Nobody owns the fix: who is told, what is asked for, and what follows when nobody does it."""

from __future__ import annotations

from stream.alert_lines import epoch_ms
from stream.events import Alert
from stream.notices import Notice
from tests.scenarios.play import Play, play

NULLS = "null:amount@36h,30%"
MINUTE_MS = 60_000
ESCALATE = """
alerts:
  escalate:
    - {after: 30m, to: [payments-lead]}
    - {after: 2h, to: [head-of-payments]}
"""


def escalations(story: Play) -> list[Alert]:
    told = {"payments-lead", "head-of-payments"}
    found = [a for a in story.alerts if a.status == "firing" and {*a.owners.informed} & told]
    return [a for a in found if a.summary.endswith(("payments-lead", "head-of-payments"))]


def test_a_fault_that_nobody_takes_in_hand_is_told_to_the_lead_and_then_to_the_head() -> None:
    story, quiet = play(NULLS, config=ESCALATE), play(NULLS)
    first = story.of(story.fault["expected"][0])[0]
    lead, head = escalations(story)
    assert {lead.fingerprint, head.fingerprint} == {first.fingerprint}
    fired_ms = epoch_ms(first.evaluated_at)
    assert [epoch_ms(a.evaluated_at) - fired_ms for a in (lead, head)] == [
        30 * MINUTE_MS,
        120 * MINUTE_MS,
    ]
    assert lead.owners.informed == ["payments-lead"]
    assert head.owners.informed == ["payments-lead", "head-of-payments"]
    assert head.evidence["escalation"]["step"] == 2
    assert head.recommended_action == "fix_pipeline"
    assert [a.id for a in story.first] == [a.id for a in quiet.first], "nothing else is told"


def test_who_takes_it_in_hand_is_not_escalated_over() -> None:
    first = play(NULLS).of(play(NULLS).fault["expected"][0])[0]
    at_ms = epoch_ms(first.evaluated_at) + 45 * MINUTE_MS
    taken = Notice("acknowledgement", at_ms, incident_id=first.incident_id, by="ann")
    story = play(NULLS, config=ESCALATE, notices=(taken,))
    (lead,) = escalations(story)
    assert lead.owners.informed == ["payments-lead"]
