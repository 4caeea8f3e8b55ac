"""The same spec is the same bytes, and what one fault changes no other part of the stream sees."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from stream.simulate import Simulation, Spec
from stream.simulate.__main__ import main
from tests.simulate.naive import HOUR_MS, START_MS, Seen, seen

EVERY = (
    "null:amount@1h,30%", "missing:amount@1h", "rename:amount@1h", "retype:amount@1h",
    "new_category:country@1h", "unit:amount@1h,x100", "stale:amount@1h",
    "swap:amount+distance_km@1h", "skew:amount@1h,x0.8", "feature_set:amount@1h",
    "covariate:amount@1h,1", "covariate:country@1h,30%", "covariate:card_present@1h,30%",
    "concept@1h", "concept:amount@1h,ramp=30m", "prediction@1h", "false_positives@1h",
    "calibration@1h,x2", "latency@1h,x3", "latency:tail@1h,x9", "throughput@1h,x0.3",
    "throughput@1h,x3", "batch@1h,x5,every=30m", "silence:region=EU@1h", "silence@1h..90m",
    "labels_stop@1h", "label_delay@1h,x3", "version:new@1h", "version:worse@1h",
    "version:deprecated@1h,5%", "shadow:agree@1h", "shadow:disagree@1h", "shadow:slow@1h",
    "shadow:missing@1h", "shadow:schema@1h", "ab:none@1h", "ab:winner@1h", "ab:loser@1h",
    "ab:mismatch@1h",
)  # fmt: skip


def digest(lines: list[bytes]) -> str:
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def test_the_same_spec_gives_the_same_bytes_and_another_seed_others() -> None:
    faults = ("null:amount@1h,30%", "throughput@1h,x2", "shadow:slow@1h")
    again = Simulation(Spec.model_validate(settings(faults, seed=7)))
    assert digest([e.value for _, e in again.events()]) == digest(seen(*faults, rate="1/s").lines)
    other = Simulation(Spec.model_validate(settings(faults, seed=8)))
    assert digest([e.value for _, e in other.events()]) != digest(seen(*faults, rate="1/s").lines)


def settings(faults: tuple[str, ...], seed: int) -> dict[str, object]:
    labels, traffic = {"median": "2m", "never": "5%"}, {"rate": "1/s"}
    return {
        "length": "2h", "labels": labels, "traffic": traffic, "faults": faults, "seed": seed,
    }  # fmt: skip


def test_files_are_the_same_bytes_too_compressed_or_not(tmp_path: Path) -> None:
    given = ["--rate", "20/min", "--days", "0.5", "--label-median", "10m", "--training", "50"]
    for name in ("one", "two"):
        assert main([str(tmp_path / name), *given, "--gzip"]) == 0
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == [
        "outcomes.ndjson.gz", "predictions.ndjson.gz", "training_outcomes.ndjson.gz",
        "training_predictions.ndjson.gz", "truth.json",
    ]  # fmt: skip
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_longer_stream_begins_like_a_shorter_one() -> None:
    short, long = seen(length="1h", rate="1/s"), seen(rate="1/s")
    assert long.lines[: len(short.lines)] == short.lines


@pytest.mark.parametrize("fault", EVERY)
def test_a_fault_changes_nothing_before_its_onset_and_nothing_but_its_target(fault: str) -> None:
    plain, broken = seen(rate="1/s"), seen(fault, rate="1/s")
    before = early(plain)
    assert before == early(broken)
    assert len(before) > 5_000
    assert plain.lines != broken.lines
    kind, _, target = fault.partition("@")[0].partition(":")
    was = {p["prediction_id"]: p for p in plain.predictions}
    fixed = ["predicted_at", "segment", "model_id", "feature_set"]
    for now in broken.predictions:
        old = was.get(now["prediction_id"])
        if old is None:
            assert kind in {"throughput", "batch"}  # one that was added
            continue
        for name in fixed[: 3 if kind == "feature_set" else 4]:
            assert now[name] == old[name]
        for name, value in old["features"].items():
            if name not in target.split("+") and now["role"] != "shadow":
                assert now["features"][name] == value
    if kind not in {"concept", "covariate"}:  # the world itself is as it was
        shared = broken.actual.keys() & plain.actual.keys()
        assert len(shared) > 2_000
        assert all(broken.actual[name] == plain.actual[name] for name in shared)


def early(stream: Seen) -> list[bytes]:
    """What has arrived before the onset."""
    arrivals = zip(stream.lines, stream.arrivals_ms, strict=True)
    return [line for line, at in arrivals if at < START_MS + HOUR_MS]


def test_two_faults_together_do_what_each_does_alone() -> None:
    null, missing = "null:amount@1h,30%", "missing:distance_km@1h,20%"
    both = {p["prediction_id"]: p["features"] for p in seen(null, missing).predictions}
    for alone, name in ((null, "amount"), (missing, "distance_km")):
        for p in seen(alone).predictions:
            assert p["features"].get(name, "absent") == both[p["prediction_id"]].get(name, "absent")


def test_a_stronger_fault_hits_the_same_requests_and_more() -> None:
    def hit(fault: str) -> set[str]:
        rows = seen(fault, rate="1/s").predictions
        return {p["prediction_id"] for p in rows if p["features"]["amount"] is None}

    assert hit("null:amount@1h,10%") < hit("null:amount@1h,30%")


def test_a_second_model_changes_nothing_of_the_first() -> None:
    alone = [line for line in seen(rate="1/s").lines if b'"fraud"' in line]
    beside = [
        line for line in seen(models=("fraud", "pricing"), rate="1/s").lines if b'"fraud"' in line
    ]
    assert sorted(alone) == sorted(beside)


def test_the_same_fault_twice_draws_twice() -> None:
    twice = seen("null:amount@1h,30%", "null:amount@1h,30%").since
    share = sum(p["features"]["amount"] is None for p in twice) / len(twice)
    assert share == pytest.approx(0.51, abs=0.02)
