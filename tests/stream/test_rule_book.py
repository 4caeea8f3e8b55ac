"""Which configuration may follow which, and from when on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from stream.rule_book import ConfigChange, RefusedConfigError, RuleBook, Schedule
from stream.rules import (
    AdwinRule,
    ModelRule,
    Owners,
    PageHinkleyRule,
    RateRule,
    ReferenceRule,
    Rules,
)
from stream.snapshot import packed

FRAUD = {"fraud": ModelRule(owners=Owners("risk"), maturity=60_000)}


@pytest.mark.parametrize(
    "changed",
    [
        {"adwin": AdwinRule(delta=0.1)},
        {"page_hinkley": PageHinkleyRule(enabled=True)},
        {"rates": RateRule(min_rise=0.2)},
        {"minimum_values": 5},
        {"resolve_after_panes": 5},
        {"models": {"fraud": replace(FRAUD["fraud"], owners=Owners("others"))}},
        {"models": {**FRAUD, "churn": ModelRule(maturity=None)}},
        {"models": {"churn": ModelRule(reference=ReferenceRule(5, 5))}},
    ],
)
def test_what_no_state_depends_on_may_change(changed: dict[str, Any]) -> None:
    former = Rules(models=FRAUD)
    assert replace(former, **changed).cannot_follow(former) == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"pane_ms": 1}, "pane_ms"),
        ({"max_features": 3}, "max_features"),
        ({"horizon_ms": 1, "grace_ms": 2}, "grace_ms, horizon_ms"),
        ({"models": {"fraud": ModelRule(maturity=1)}}, "models.fraud: its maturity"),
        ({"models": {}}, "models.fraud: its maturity"),  # known as ever, under the common maturity
    ],
)
def test_what_state_depends_on_is_refused_by_its_name(changed: dict[str, Any], named: str) -> None:
    former = Rules(models=FRAUD)
    book = RuleBook(former)
    with pytest.raises(RefusedConfigError, match=named) as refused:
        book.announce(ConfigChange(0, replace(former, **changed)))
    assert "another `app`" in str(refused.value)
    assert book.changes == []
    assert book.hashes() == [former.config_hash()]


def test_a_model_that_comes_back_must_come_back_as_it_was() -> None:
    book = RuleBook(Rules(models=FRAUD))
    book.announce(ConfigChange(1, Rules(models={"churn": ModelRule()})))
    with pytest.raises(RefusedConfigError, match=r"models\.fraud"):
        book.announce(ConfigChange(2, Rules(models={"fraud": ModelRule(maturity=None)})))


def test_an_announcement_comes_back_whole_and_a_damaged_one_is_refused() -> None:
    rules = Rules(maturity=None, models={**FRAUD, "b": ModelRule(labels=(("tier", "1"),))})
    plain = msgspec.json.decode(ConfigChange(7, rules).encode())
    assert plain["type"] == "config"
    read = ConfigChange.of_plain(7, plain["config_hash"], plain["rules"])
    assert read == ConfigChange(7, rules)
    with pytest.raises(RefusedConfigError, match="another build"):
        ConfigChange.of_plain(7, plain["config_hash"], {**plain["rules"], "minimum_values": 1})
    with pytest.raises(RefusedConfigError, match="minimum_values"):
        ConfigChange.of_plain(7, plain["config_hash"], {"minimum_values": "many"})


def test_the_rules_in_force_are_those_of_the_last_change_at_or_before_a_ready_time() -> None:
    first, second, third = (Rules(minimum_values=n) for n in (1, 2, 3))
    schedule = Schedule(first)
    schedule.add(200, third)
    schedule.add(100, second)
    found = [schedule.at(ready_ms).minimum_values for ready_ms in (-(10**15), 99, 100, 199, 200)]
    assert found == [1, 1, 2, 2, 3]
    assert schedule.changes_within(99, 200) == [100, 200]
    assert schedule.changes_within(100, 199) == []
    schedule.add(200, first)
    assert schedule.at(200) == first
    restored = Schedule.restore(schedule.snapshot(), packed(schedule.parts()))
    assert restored.snapshot() == schedule.snapshot()
    assert restored.at(150) == second


def test_a_models_own_rules_are_those_that_name_it_first() -> None:
    schedule = Schedule(Rules(models=FRAUD))
    churn = Rules(models={"churn": ModelRule(maturity=5)})
    schedule.add(100, churn)
    assert schedule.of_model("churn").maturity_of("churn") == 5
    assert schedule.of_model("fraud").maturity_of("fraud") == 60_000
