"""Versions, shadows and experiments."""

from __future__ import annotations

from statistics import median

import pytest

from tests.simulate.naive import Event, Seen, brier, error, seen, share


def of(rows: list[Event], **wanted: str) -> list[Event]:
    return [p for p in rows if all(p[name] == value for name, value in wanted.items())]


def test_versions_share_the_traffic() -> None:
    shared = seen(versions=(("1",), ("2", "20%")))
    assert share(shared.predictions, lambda p: p["model_version"] == "2") == pytest.approx(
        0.2, abs=0.01
    )
    assert len(shared.predictions) == len(seen().predictions)


def test_a_new_version_takes_over_at_once() -> None:
    new = seen("version:new@1h")
    assert {p["model_version"] for p in new.before} == {"7"}
    assert {p["model_version"] for p in new.since} == {"8"}
    assert error(new.since, new.actual) == pytest.approx(error(new.before, new.actual), rel=0.25)


def test_a_worse_version_errs_more_on_its_share_only() -> None:
    worse = seen("version:worse@1h,30%")
    new, old = of(worse.since, model_version="8"), of(worse.since, model_version="7")
    assert len(new) / len(worse.since) == pytest.approx(0.3, abs=0.02)
    assert brier(new, worse.actual) > 1.3 * brier(old, worse.actual)
    assert error(new, worse.actual) > 1.2 * error(old, worse.actual)


def test_a_deprecated_version_still_gets_requests() -> None:
    rows = seen("version:deprecated@1h,5%").since
    assert share(rows, lambda p: p["model_version"] == "6") == pytest.approx(0.05, abs=0.01)


def shadows(way: str) -> tuple[Seen, list[Event], list[Event]]:
    found = seen(f"shadow:{way}@1h")
    return found, of(found.since, role="champion"), of(found.since, role="shadow")


def agreement(ones: list[Event], others: list[Event]) -> float:
    labels = {p["prediction_id"]: p["prediction"]["label"] for p in ones}
    both = [p for p in others if p["prediction_id"] in labels]
    return share(both, lambda p: p["prediction"]["label"] == labels[p["prediction_id"]])


def test_a_shadow_answers_what_the_champion_answers() -> None:
    found, champion, shadow = shadows("agree")
    assert champion == seen().since
    assert [p["prediction_id"] for p in sorted(shadow, key=number)] == [
        p["prediction_id"] for p in sorted(champion, key=number)
    ]
    assert {p["model_version"] for p in shadow} == {"8"}
    assert brier(shadow, found.actual) == pytest.approx(brier(champion, found.actual), rel=0.06)
    assert found.fault["expected"] == []


def number(p: Event) -> int:
    return int(p["prediction_id"].rpartition("-")[2])


def test_shadows_disagree_are_slow_do_not_answer_or_lack_a_feature() -> None:
    _, champion, agreeing = shadows("agree")
    found, _, disagreeing = shadows("disagree")
    assert agreement(champion, disagreeing) < agreement(champion, agreeing) - 0.02
    assert brier(disagreeing, found.actual) > 1.3 * brier(champion, found.actual)
    _, _, slow = shadows("slow")
    taken = [median(p["latency_ms"] for p in rows) for rows in (champion, slow)]
    assert taken[1] == pytest.approx(5 * taken[0], rel=0.05)
    _, _, missing = shadows("missing")
    assert len(missing) / len(champion) == pytest.approx(0.6, abs=0.01)
    _, _, schema = shadows("schema")
    assert not any("amount" in p["features"] for p in schema)


@pytest.mark.parametrize(("way", "sign"), [("winner", 1), ("none", 0), ("loser", -1)])
def test_an_experiment_has_a_winner_a_loser_or_none(way: str, sign: int) -> None:
    found = seen(f"ab:{way}@1h", rate="16/s")
    control, treatment = (of(found.since, role=role) for role in ("control", "treatment"))
    assert {p["role"] for p in found.since} == {"control", "treatment"}
    gain = brier(control, found.actual) / brier(treatment, found.actual) - 1
    if sign:
        assert sign * gain > 0.1
    else:
        assert abs(gain) < 0.1


def test_a_customer_meets_one_variant_only() -> None:
    roles: dict[str, set[str]] = {}
    for p in seen("ab:none@1h").since:
        roles.setdefault(p["subject"], set()).add(p["role"])
    assert all(len(each) == 1 for each in roles.values())
    assert share([{"n": len(roles)}], lambda e: e["n"] > 5_000) == 1


def test_a_mismatch_gives_the_treatment_less_than_was_planned() -> None:
    def treated(way: str) -> float:
        rows = seen(f"ab:{way}@1h").since
        subjects = {p["subject"]: p["role"] for p in rows}
        return sum(role == "treatment" for role in subjects.values()) / len(subjects)

    assert treated("none") == pytest.approx(0.5, abs=0.015)
    assert treated("mismatch") == pytest.approx(0.4, abs=0.015)
    assert seen("ab:mismatch@1h").fault["decision"] == "sample ratio mismatch"
