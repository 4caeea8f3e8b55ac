"""`leeway backtest`: the car-loan history, a stream without drift, imperfect files."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.demo import car_loan, stationary, write
from stream.pipeline import imbalance
from stream.times import to_ms
from stream.wire import Claim, Idle

PANE_AND_GRACE_MS = 40_000
DRIFT_MS = int(car_loan.predicted_at_ms(np.array([car_loan.DRIFT_ROW]))[0])
STEP_MS = 523_152  # between two predictions of the car-loan history


def backtest(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stream", "backtest", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def moment_ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("car_loan")
    write.write(directory, with_faults=False)
    done = backtest(
        *("--predictions", directory / "predictions.ndjson"),
        *("--outcomes", directory / "outcomes.ndjson"),
        *("--alerts", directory / "alerts.ndjson", "--summary", directory / "summary.json"),
    )
    assert done.returncode == 0, done.stderr
    return directory


def firing(alerts: list[dict[str, Any]], name: str, feature: str | None) -> dict[str, Any]:
    found = [
        a
        for a in alerts
        if a["status"] == "firing" and a["alertname"] == name and a["scope"]["feature"] == feature
    ]
    assert found, f"no {name} of {feature}"
    return found[0]


def test_the_drift_of_car_value_is_alerted_within_300_predictions(history: Path) -> None:
    alert = firing(read(history / "alerts.ndjson"), "FeatureDrift", "car_value")
    assert 0 < moment_ms(alert["evaluated_at"]) - DRIFT_MS <= 300 * STEP_MS + PANE_AND_GRACE_MS
    assert alert["evidence"]["reference"]["mean"] < 31_000 < alert["evidence"]["current"]["mean"]


def test_the_rise_of_the_error_is_alerted_within_3500_matured_predictions(history: Path) -> None:
    alert = firing(read(history / "alerts.ndjson"), "ErrorRateDrift", None)
    assert alert["kind"] == "performance"
    window_end_ms = moment_ms(alert["window"]["end"])  # of the cohort that decided
    assert 0 < window_end_ms - DRIFT_MS <= 3_500 * STEP_MS


def test_nothing_is_alerted_before_the_drift_nor_on_features_that_did_not_change(
    history: Path,
) -> None:
    alerts = read(history / "alerts.ndjson")
    assert alerts
    assert min(moment_ms(a["evaluated_at"]) for a in alerts) > DRIFT_MS
    assert not {a["scope"]["feature"] for a in alerts} & set(car_loan.UNCHANGED_FEATURES)


def test_the_ledger_of_the_history_balances_and_counts_everything(history: Path) -> None:
    summary = json.loads((history / "summary.json").read_text())
    total = summary["ledger"]["total"]
    assert imbalance(total) == []
    assert all(imbalance(partition) == [] for partition in summary["ledger"]["partitions"])
    assert total["predictions"]["consumed"] == total["predictions"]["applied"] == 100_000
    assert summary["joined"] == total["outcomes"]["joined"] > 70_000
    assert summary["alerts"] == len(read(history / "alerts.ndjson"))
    assert summary["events_per_s"] > 0


def test_a_stream_of_200_000_predictions_without_drift_stays_silent(tmp_path: Path) -> None:
    predictions, outcomes = stationary.events()
    assert len(predictions) == 200_000
    files = [
        write.write_lines(tmp_path / name, (event.value for event in side))
        for name, side in (("p.ndjson", predictions), ("o.ndjson", outcomes))
    ]
    alerts, summary = tmp_path / "a.ndjson", tmp_path / "s.json"
    done = backtest(
        *("--predictions", files[0], "--outcomes", files[1]),
        *("--alerts", alerts, "--summary", summary),
    )
    assert done.returncode == 0, done.stderr
    assert alerts.read_text() == ""
    facts = json.loads(summary.read_text())
    assert facts["ledger"]["total"]["predictions"]["matured_labelled"] > 150_000
    assert len(facts["references"]) == 2  # of the predictions and of the cohorts: it did watch


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("small")
    return write.write(directory, rows=3_000)


def run_small(
    small: tuple[Path, Path], directory: Path, *more: str | Path
) -> tuple[dict[str, Any], bytes]:
    alerts, summary = directory / "a.ndjson", directory / "s.json"
    done = backtest(
        *("--predictions", small[0], "--outcomes", small[1]),
        *("--alerts", alerts, "--summary", summary, *more),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(summary.read_text()), alerts.read_bytes()


def test_gzipped_files_and_files_in_parts_say_the_same(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    facts, alerts = run_small(small, tmp_path)
    lines = small[0].read_bytes().splitlines(keepends=True)
    parts = [tmp_path / "1.ndjson.gz", tmp_path / "2.ndjson"]
    parts[0].write_bytes(gzip.compress(b"".join(lines[:1_000])))
    parts[1].write_bytes(b"".join(lines[1_000:]))
    done = backtest(
        *("--predictions", *parts, "--outcomes", small[1]),
        *("--alerts", tmp_path / "b.ndjson", "--summary", tmp_path / "b.json"),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.ndjson").read_bytes() == alerts
    assert json.loads((tmp_path / "b.json").read_text())["ledger"] == facts["ledger"]


def test_parquet_says_the_same(small: tuple[Path, Path], tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    facts, alerts = run_small(small, tmp_path)
    packed = []
    for path in small:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        packed.append(path.name.replace(".ndjson", ".parquet"))
        parquet.write_table(pa.Table.from_pylist(rows), tmp_path / packed[-1])
    done = backtest(
        *("--predictions", tmp_path / packed[0], "--outcomes", tmp_path / packed[1]),
        *("--alerts", tmp_path / "b.ndjson", "--summary", tmp_path / "b.json"),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.ndjson").read_bytes() == alerts
    assert json.loads((tmp_path / "b.json").read_text())["ledger"] == facts["ledger"]


def test_bad_lines_are_listed_with_their_number_and_lose_nothing_else(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    facts, alerts = run_small(small, tmp_path)
    lines = small[0].read_bytes().splitlines(keepends=True)
    broken = tmp_path / "broken.ndjson"
    broken.write_bytes(b"".join([*lines[:2], b"{oops\n", *lines[2:], b'{"prediction_id":"x"}\n']))
    worse, same = run_small((broken, small[1]), tmp_path)
    assert [(d["line"], d["reason"]) for d in worse["dead_letters"]] == [
        (3, "not_json"),
        (len(lines) + 2, "missing_field"),
    ]
    assert worse["dead_lettered"] == 2
    assert same == alerts
    assert worse["joined"] == facts["joined"]


def test_a_timestamp_column_finds_events_of_the_future(tmp_path: Path) -> None:
    lines = [
        {
            "prediction_id": f"p{i}",
            "model_id": "m",
            "model_version": "1",
            "predicted_at": 1_700_000_000_000 + (i == 3) * 86_400_000 + i,
            "prediction": {"score": 0.5},
            "features": {},
            "arrived": "2023-11-14T22:13:20Z",
        }
        for i in range(6)
    ]
    predictions, outcomes = tmp_path / "p.ndjson", tmp_path / "o.ndjson"
    predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcomes.write_text("")
    facts, _ = run_small((predictions, outcomes), tmp_path, "--timestamp-column", "arrived")
    assert facts["ledger"]["total"]["predictions"]["future"] == 1
    assert facts["future_check"] == "arrived"
    blind, _ = run_small((predictions, outcomes), tmp_path)
    assert blind["ledger"]["total"]["predictions"]["future"] == 0
    assert blind["future_check"] == "off"


def test_a_journal_moves_the_watermark_before_the_record_it_was_written_at(tmp_path: Path) -> None:
    def line(i: int, at_ms: int) -> str:
        return json.dumps(
            {
                "prediction_id": f"p{i}",
                "model_id": "m",
                "model_version": "1",
                "predicted_at": at_ms,
                "prediction": {"score": 0.5},
                "features": {},
            }
        )

    predictions, outcomes = tmp_path / "p.ndjson", tmp_path / "o.ndjson"
    predictions.write_text("\n".join(line(i, 1_000 * i) for i in range(4)))
    outcomes.write_text("")
    journal = tmp_path / "journal.ndjson"
    entries = [
        Claim(1, 0, "a"),
        Claim(1, 0, "b"),
        Idle(1, 0, 0, "predictions", 1, 10_000_000),  # void: written behind a newer claim
        Idle(1, 0, 1, "predictions", 2, 10_000_000),
    ]
    lines = [{"offset": at} | msgspec.to_builtins(entry) for at, entry in enumerate(entries)]
    journal.write_text("\n".join(map(json.dumps, lines)))
    facts, _ = run_small(
        (predictions, outcomes), tmp_path, "--journal", journal, "--partitions", "1"
    )
    assert facts["ledger"]["total"]["predictions"]["late"] == 2  # the third and the fourth


def test_a_journal_moves_the_watermark_behind_the_last_line_too(tmp_path: Path) -> None:
    line = {
        "prediction_id": "p",
        "model_id": "m",
        "model_version": "1",
        "predicted_at": 1_000,
        "prediction": {"score": 0.5},
        "features": {},
    }
    predictions, outcomes = tmp_path / "p.ndjson", tmp_path / "o.ndjson"
    predictions.write_text(json.dumps(line))
    outcomes.write_text("")
    config, journal = tmp_path / "leeway.yaml", tmp_path / "journal.ndjson"
    config.write_text("outcomes: {maturity: 1h, horizon: 2h}\n")
    entries = [Claim(1, 0, "a"), Idle(1, 0, 0, "predictions", 1, 10_000_000)]
    lines = [{"offset": at} | msgspec.to_builtins(entry) for at, entry in enumerate(entries)]
    journal.write_text("\n".join(map(json.dumps, lines)))
    given: list[str | Path] = ["-c", config, "--partitions", "1"]
    without, _ = run_small((predictions, outcomes), tmp_path, *given)
    assert without["ledger"]["total"]["predictions"]["pending"] == 1
    facts, _ = run_small((predictions, outcomes), tmp_path, *given, "--journal", journal)
    assert facts["ledger"]["total"]["predictions"]["matured_unlabelled"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--predictions", "no-such.ndjson", "--outcomes", "no-such.ndjson"], "no-such.ndjson"),
        (["--no-such-flag"], "no-such-flag"),
        (["--predictions", __file__], "outcomes"),
    ],
)
def test_a_missing_file_or_a_bad_flag_is_exit_2_with_one_line(
    arguments: Sequence[str], said: str, tmp_path: Path
) -> None:
    done = backtest(*arguments, "--alerts", tmp_path / "a.ndjson")
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_references_are_built_from_files(small: tuple[Path, Path], tmp_path: Path) -> None:
    config = tmp_path / "leeway.yaml"
    config.write_text("reference: {predictions: 500, span: 1h}\n")
    out = tmp_path / "references.ndjson"
    command = [sys.executable, "-m", "stream", "reference", "build", "-c", str(config)]
    command += ["--predictions", str(small[0]), "--references", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (reference,) = read(out)
    assert reference["count"] == 500
    assert reference["features"]["feature:car_value"]["number"] == 500
    assert done.stdout.strip() == reference["id"]
