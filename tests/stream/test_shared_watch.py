"""A feature that models share, watched once more across them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from detectors.rank_scores import SCORE_UNIT
from stream.alert_stage import AlertStage
from stream.events import ToAlerts
from stream.numbering import Speaker
from stream.rules import DAY_MS, HOUR_MS, Rules
from stream.shared_book import SharedBook
from stream.shared_sums import NAME, SERIES
from stream.snapshot import pack, unpack
from stream.wire import Finding, Progress, encode_finding

MODELS = ("churn", "fraud", "limits", "pricing", "upsell")
RULES = Rules(shared=(("customer_score", MODELS),))
AN_HOUR = 60  # predictions of each model


def hour(model: str, number: int, z: np.ndarray[Any, Any], **said: Any) -> Finding:
    """What stage 2 says of an hour in which the values of a model had these ranks."""
    scores = np.rint(z * SCORE_UNIT).astype(np.int64)
    end_ms = (number + 1) * HOUR_MS + 10_000
    detail = {
        "hour_ms": number * HOUR_MS,
        "x": int(scores.sum()), "n": len(scores), "xx": int((scores**2).sum()),
        "reference": f"ref-{model}", "known": 10_000,
        "tau": 1.0, "rate": 1e-9, "share": 0.01, "floor": 0.1, "fires": False,
    }  # fmt: skip
    group = (model, "1", "champion", "")
    ready_ms = end_ms + 30_000
    return Finding(
        0, 0, "prediction", ready_ms, end_ms, group, SERIES + "customer_score", NAME, "pooled",
        detail | said,
    )  # fmt: skip


def hours(
    count: int,
    shift: dict[str, float],
    *,
    since: int = 180,
    until: int = 10**9,
    seed: int = 1,
    alike: bool = False,
) -> Iterator[Finding]:
    """Of all models; `alike`: they are asked about the same customers. References err as they do
    where they have 10,000 values, or one and the same 10,000."""
    rng = np.random.default_rng(seed)
    error = dict(zip(MODELS, rng.standard_normal(len(MODELS)) / 100.0, strict=True))
    for number in range(count):
        same = rng.standard_normal(AN_HOUR)
        for model in MODELS:
            z = same if alike else rng.standard_normal(AN_HOUR)
            moved = shift.get(model, 0.0) if since <= number < until else 0.0
            fires = moved > 1.0 and number > since  # it has told by then
            yield hour(model, number, z + moved - error[MODELS[0] if alike else model], fires=fires)


def told(findings: Iterator[Finding], book: SharedBook | None = None) -> list[Finding]:
    book = SharedBook() if book is None else book
    return [one for finding in findings for one in book.hear(finding, RULES)]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_drift_too_small_for_each_model_is_told_of_all_together(sign: float) -> None:
    (one,) = told(hours(320, dict.fromkeys(MODELS, 0.09 * sign)))
    assert (one.verdict, one.alertname, one.series) == ("drift", NAME, "feature:customer_score")
    assert one.group == ("churn", "*", "champion", "")
    assert one.detail["effect"]["estimate"] == pytest.approx(0.09 * sign, abs=0.03)
    assert one.detail["detector"]["direction"] == ("up" if sign > 0 else "down")
    assert abs(one.detail["change_at_ms"] - 180 * HOUR_MS) < 12 * HOUR_MS
    assert set(one.detail["evidence"]["current"]["models"]) == set(MODELS)
    assert "5 models together (churn, fraud, limits and 2 more)" in one.detail["summary"]


def test_one_model_alone_is_not_of_the_upstream_however_far_it_moves() -> None:
    assert told(hours(320, {"fraud": 1.5})) == []


def test_what_moves_in_some_is_told_though_another_moves_more() -> None:
    shift = dict.fromkeys(MODELS, 0.12) | {"fraud": 1.5}
    (one, *_) = told(hours(320, shift))
    assert one.verdict == "drift"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alike", [False, True])
def test_nothing_is_told_where_nothing_moves(alike: bool, seed: int) -> None:
    assert told(hours(1_000, {}, seed=seed, alike=alike)) == []


def test_the_same_customers_in_all_models_are_no_more_evidence_than_in_one() -> None:
    book = SharedBook()
    told(hours(180, {}, alike=True), book)
    assert book.status()["customer_score"]["tau"] > 4.0
    apart = SharedBook()
    told(hours(180, {}), apart)
    assert apart.status()["customer_score"]["tau"] == 1.0


def test_it_is_well_again_when_the_interval_lies_within_the_floor() -> None:
    drift, quiet = told(hours(520, dict.fromkeys(MODELS, 0.09), until=270))
    assert (drift.verdict, quiet.verdict) == ("drift", "quiet")
    assert quiet.pane_end_ms > 270 * HOUR_MS


def test_it_is_over_when_no_model_says_anything_for_a_day() -> None:
    book = SharedBook()
    (drift,) = told(hours(270, dict.fromkeys(MODELS, 0.09)), book)
    last_ms = hour("churn", 269, np.zeros(1)).ready_ms
    assert [*book.silent(last_ms + DAY_MS - 1)] == []
    ((ready_ms, quiet),) = book.silent(last_ms + DAY_MS)
    assert (ready_ms, quiet.verdict, quiet.group) == (last_ms + DAY_MS, "quiet", drift.group)
    assert [*book.silent(last_ms + 2 * DAY_MS)] == []


def test_with_another_model_dependence_is_measured_anew() -> None:
    def alike(number: int) -> np.ndarray[Any, Any]:
        return np.random.default_rng(number).standard_normal(AN_HOUR)

    book = SharedBook()
    for number in range(180):
        told(iter([hour(model, number, alike(number)) for model in MODELS[:2]]), book)
    before = book.status()["customer_score"]["tau"]
    for number in range(180, 360):
        told(iter([hour(model, number, alike(number)) for model in MODELS]), book)
    assert 1.5 < before < 4.0 < book.status()["customer_score"]["tau"]


def test_a_version_with_the_reference_of_its_predecessor_knows_no_more_than_that() -> None:
    def known(suffix: str) -> int:
        book = SharedBook()
        found = []
        for said in hours(320, dict.fromkeys(MODELS, 0.2)):
            newer = msgspec.structs.replace(said, group=(said.group[0], "2", "champion", ""))
            newer.detail = said.detail | {"reference": said.detail["reference"] + suffix}
            found += told(iter([said, newer]), book)
        count: int = found[0].detail["reference"]["count"]
        return count

    assert known("") == pytest.approx(50_000, rel=0.01)
    assert known("-own") == pytest.approx(100_000, rel=0.01)


def test_models_that_share_it_no_more_are_not_heard() -> None:
    book = SharedBook()
    assert [*book.hear(hour("fraud", 0, np.zeros(1)), Rules())] == []
    assert not book


@pytest.mark.parametrize("at", [3, 501, 870, 1_020, 1_300])
def test_state_put_away_and_taken_up_tells_the_same(at: int) -> None:
    said = [*hours(520, dict.fromkeys(MODELS, 0.09), until=270)]
    whole = told(iter(said))
    book = SharedBook()
    parts = told(iter(said[:at]), book)
    state = unpack(b"T", 1, pack(b"T", 1, {"shared": book.snapshot()}))
    again = SharedBook()
    again.restore(state["shared"])
    assert parts + told(iter(said[at:]), again) == whole
    assert len(whole) == 2


def test_what_comes_and_goes_too_often_ends_by_silence_whenever_it_is_released() -> None:
    rng, said, number = np.random.default_rng(1), list[Finding](), 0
    for count, shift, silent in [(180, 0.0, 0), *[(20, 0.4, 26)] * 5, (3, 0.0, 480)]:
        for _ in range(count):
            ranks = [rng.standard_normal(AN_HOUR) + shift for _ in MODELS]
            said += [hour(m, number, of) for m, of in zip(MODELS, ranks, strict=True)]
            number += 1
        number += silent

    def released(steps: list[int]) -> list[tuple[Any, ...]]:
        stage, speaker, effects = AlertStage(RULES, 1), Speaker(0), []
        left = list(said)
        for until_ms in steps:
            now = [one for one in left if one.ready_ms <= until_ms]
            left = left[len(now) :]
            for one in [*now, Progress(0, 1, 0, until_ms, until_ms)]:
                effects += stage.handle(speaker.say(0, encode_finding(one)))
        told = sorted((e for e in effects if isinstance(e, ToAlerts)), key=lambda e: e.order)
        return [(e.alert.status, e.alert.sequence, e.value) for e in told]

    end_ms = said[-1].ready_ms + 30 * DAY_MS
    whole = released([end_ms])
    assert released([*range(said[0].ready_ms, end_ms, 3 * HOUR_MS), end_ms]) == whole
    assert [status for status, _, _ in whole].count("resolved") >= 3


@pytest.mark.parametrize("seed", range(6))
def test_what_is_told_is_as_large_as_all_references_together_can_tell(seed: int) -> None:
    """15 standard errors of 50,000 values are .067; so many hours make .05 sure, and little."""
    found = told(hours(900, dict.fromkeys(MODELS, 0.05), seed=seed))
    effects = [one.detail["effect"] for one in found if one.verdict == "drift"]
    assert all(of["estimate"] >= of["floor"] >= 0.067 for of in effects)


def test_what_lasts_is_asked_for_once_behind_14_days() -> None:
    found = told(hours(900, dict.fromkeys(MODELS, 0.2)))
    assert [one.verdict for one in found] == ["drift", "lasting"]
    first, asked = found
    assert 0 <= asked.pane_end_ms - first.pane_end_ms - RULES.ask_after_ms <= 2 * HOUR_MS
    assert "accept new ones" in asked.detail["summary"]
