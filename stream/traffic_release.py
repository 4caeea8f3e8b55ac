"""The traffic of a model and of its segments, when its panes are ready and when none come."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from stream.columns import Group
from stream.due import Due, Told
from stream.model_state import ModelState
from stream.panes import Ints
from stream.renewals import Renewals
from stream.rule_book import Schedule
from stream.rules import SHADOW, Rules
from stream.traffic import NEVER, Came, Traffic, TrafficSaid
from stream.traffic_words import finding_of


class TrafficRelease:
    def __init__(self, schedule: Schedule, renewals: Renewals) -> None:
        self._schedule = schedule
        self._renewals = renewals

    def told(
        self, model: ModelState, due: Due, came: Came, *, until_ms: int, seen_ms: int
    ) -> Iterator[Told]:
        """Of the predictions that have come up to one end, and of none having come, up to the
        other."""
        panes: dict[str, list[tuple[Group, Ints, Ints]]] = {of: [] for of in model.traffic}
        for one in came:
            if one[0][2] != SHADOW:
                panes.setdefault(one[0][3], []).append(one)
        whole = TrafficSaid.of(model.traffic[""])

        def renewed_at(group: Group, end_ms: int) -> int | None:
            held = self._renewals.accepted(group, due.ready_ms(end_ms))
            return None if held is None else held.announced_at

        for segment in sorted(panes):  # the whole first
            traffic = model.traffic.setdefault(segment, Traffic.of(model.model_id, segment))

            rules_at = partial(self._rules_at, model, due, segment)
            holds = whole.holds if segment else None
            for told in traffic.walk(panes[segment], seen_ms, rules_at, renewed_at, holds):
                if not segment:
                    whole.note(told)
                finding = finding_of(told, rules_at(told.at_ms))
                yield due.told(told.group, finding, due.ready_ms(told.at_ms))
            if seen_ms < until_ms:
                traffic.skip(until_ms, rules_at(until_ms))
            self._rest(traffic, model.model_id, due)
            if segment and traffic.is_forgotten:
                del model.traffic[segment]

    def plan(self, model: ModelState, due: Due) -> None:
        """Anew: other rules are to come into force."""
        for segment, traffic in model.traffic.items():
            traffic.plan(partial(self._rules_at, model, due, segment))
            self._rest(traffic, model.model_id, due)

    def _rules_at(self, model: ModelState, due: Due, segment: str, end_ms: int) -> Rules:
        rules = self._schedule.at(due.ready_ms(end_ms))
        return rules.of_group(model.model_id, is_segment=bool(segment))

    def _rest(self, traffic: Traffic, model_id: str, due: Due) -> None:
        """Until predictions come, where no rules that are known let it tell anything before."""
        if traffic.next_ms == NEVER or traffic.firing:
            return
        spans = self._schedule.spans(due.ready_ms(traffic.next_ms))
        if not any(rules.traffic_of(model_id).enabled for _, _, rules in spans):
            traffic.next_ms = NEVER
