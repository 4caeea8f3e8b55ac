"""The demo's data and the events made of it."""

import hashlib
import json
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest

from stream.demo import car_loan, events, staged, stationary, write

# SHA-256 of each column of the published files: doubles as little-endian bytes, others as lines.
PUBLISHED = {
    "car_value": "af6c7c569c14f23f66b28b4ac7cb1075b089f3bf1ef28e858dfcc1dd809c00a7",
    "salary_range": "fc76263f25bdff448a56d33d5f233294d6907aa7d03f805c7399b264168af17d",
    "debt_to_income_ratio": "321a96a485e2ba5e15bf2d379c514aa6471d93dd77e0f9a8846206688c21872b",
    "loan_length": "0c47e0ba394f9d547f4b46a594885b31d53d17c35b33594bf655394bc0e39ec8",
    "repaid_loan_on_prev_car": "f95231c88e81969196c13ca2f56af627be55fd78e388f1ffa5db849fce1c05e8",
    "size_of_downpayment": "ddb335914b8d7cb38038add4cc91b8e8ce2d6339891d2e3922150ed20ed21cc3",
    "driver_tenure": "2e97aeca999a19f3036f3cc6691c013bb408f69a55179ec681b56096cd6107c4",
    "score": "8289b122df269492827f004d66700837465fa399ed045f4a31291b35320712e1",
    "label": "403f6e4089e17af56a4a45e6d717d20192f8eb6f8d58d0997d6ebc4ad84d890d",
    "repaid": "f61ee8310d81a109176591065537ddb31c3df07d847198847f2e14413f1ce439",
}


def digest(column):
    if column.dtype == np.uint8:
        return hashlib.sha256(column.tobytes()).hexdigest()
    if column.dtype == np.float64:
        return hashlib.sha256(column.astype("<f8").tobytes()).hexdigest()
    return hashlib.sha256("\n".join(map(str, column.tolist())).encode()).hexdigest()


@pytest.fixture(scope="module")
def data():
    return car_loan.load()


@pytest.fixture(scope="module")
def streams():
    return events.events()


def epoch_ms(text):
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def test_every_value_is_the_published_one_bit_for_bit(data):
    assert tuple(data.features) == car_loan.FEATURES
    columns = {**data.features, "score": data.score, "label": data.label, "repaid": data.repaid}
    assert {name: digest(column) for name, column in columns.items()} == PUBLISHED


def test_the_data_drifts_at_the_stated_row_and_only_in_the_stated_columns(data):
    before, after = slice(0, car_loan.DRIFT_ROW), slice(car_loan.DRIFT_ROW, car_loan.ROWS)
    car_value = data.features["car_value"]
    assert car_value[before].mean() == pytest.approx(29_900, rel=0.01)
    assert car_value[after].mean() == pytest.approx(48_600, rel=0.01)
    assert data.wrong[before].mean() == pytest.approx(0.056, abs=0.001)
    assert data.wrong[after].mean() == pytest.approx(0.084, abs=0.001)
    for name in ("debt_to_income_ratio", "driver_tenure"):
        column = data.features[name]
        assert abs(column[after].mean() - column[before].mean()) < 0.02 * column.std()


def test_predictions_carry_the_rows_and_arrive_in_order(data, streams):
    predictions, _ = streams
    assert len(predictions) == car_loan.ROWS
    assert all(a.arrival_ms < b.arrival_ms for a, b in pairwise(predictions))
    for row in (0, 49_999, 50_000, car_loan.DRIFT_ROW, 99_999):
        arrival_ms, key, value = predictions[row]
        event = json.loads(value)
        assert key.decode() == event["prediction_id"] == f"loan-{row}"
        assert epoch_ms(event["predicted_at"]) == arrival_ms == 1_514_764_800_000 + 523_152 * row
        assert event["features"] == {name: data.features[name][row] for name in car_loan.FEATURES}
        assert event["prediction"] == {"label": data.label[row], "score": data.score[row]}


def test_outcomes_are_late_lognormal_out_of_order_and_one_in_ten_never_comes(data, streams):
    predictions, outcomes = streams
    assert len(outcomes) == pytest.approx(0.9 * car_loan.ROWS, rel=0.01)
    parsed = [json.loads(event.value) for event in outcomes]
    rows = [int(event["prediction_id"].removeprefix("loan-")) for event in parsed]
    assert len(set(rows)) == len(rows)
    assert [event["actual"]["label"] for event in parsed] == data.repaid[rows].tolist()

    observed_ms = np.array([epoch_ms(event["observed_at"]) for event in parsed])
    arrival_ms = np.array([event.arrival_ms for event in outcomes])
    predicted_ms = np.array([predictions[row].arrival_ms for row in rows])
    delay_days = np.log((observed_ms - predicted_ms) / 86_400_000)
    assert np.exp(np.median(delay_days)) == pytest.approx(7, rel=0.02)
    assert delay_days.std() == pytest.approx(1.2, rel=0.02)
    assert (arrival_ms - observed_ms).mean() == pytest.approx(6 * 3_600_000, rel=0.02)
    assert (np.diff(arrival_ms) >= 0).all()
    assert 0.2 < (np.diff(observed_ms) < 0).mean() < 0.5


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_outcomes(streams):
    some = range(100, 200)
    first, again = events.events(rows=some), events.events(rows=some)
    assert first == again
    assert first[0] == streams[0][100:200]
    assert set(first[1]) < set(streams[1])
    assert events.events(rows=some, seed=1)[1] != first[1]


def test_interleaved_events_advance_both_topics_together(streams):
    mixed = list(events.interleaved(*streams))
    assert len(mixed) == len(streams[0]) + len(streams[1])
    assert all(a.arrival_ms <= b.arrival_ms for (_, a), (_, b) in pairwise(mixed))
    assert [event for is_prediction, event in mixed if is_prediction] == streams[0]
    assert [event for is_prediction, event in mixed if not is_prediction] == streams[1]


def test_the_short_form_keeps_the_drift():
    chosen = events.around_the_drift(15_000)
    assert chosen == range(65_000, 80_000)
    with pytest.raises(ValueError, match="rows must be"):
        events.around_the_drift(80_000)


def test_the_demo_stages_nulls_and_later_outcomes_and_changes_nothing_else(streams):
    faulty = events.events(with_faults=True)
    parsed = [[json.loads(event.value) for event in of[0]] for of in (streams, faulty)]
    name, changed = staged.NULL_FEATURE, []
    for row, (before, after) in enumerate(zip(*parsed, strict=True)):
        if before != after:
            changed.append(row)
            assert after["features"] == before["features"] | {name: None}
    assert set(changed) < set(staged.NULL_ROWS)
    assert len(changed) == pytest.approx(0.3 * len(staged.NULL_ROWS), rel=0.15)

    first = {event.key: event.arrival_ms for event in streams[1]}
    assert len(faulty[1]) == len(first)
    for key, arrival_ms in ((event.key, event.arrival_ms) for event in faulty[1]):
        is_later = int(key.removeprefix(b"loan-")) >= staged.LATER_ROW
        assert (arrival_ms > first[key]) == is_later


def test_written_files_hold_the_events_in_the_order_of_arrival(tmp_path):
    chosen = events.around_the_drift(300)
    predictions, outcomes = events.events(rows=chosen, with_faults=True)
    plain = write.write(tmp_path / "plain", rows=300)
    packed = write.write(tmp_path / "packed", rows=300, compress=True)
    assert [path.name for path in packed] == ["predictions.ndjson.gz", "outcomes.ndjson.gz"]
    for path, stream in zip(plain, (predictions, outcomes), strict=True):
        assert path.read_bytes().splitlines() == [event.value for event in stream]
    again = write.write(tmp_path / "again", rows=300, compress=True)
    for first, second in zip(packed, again, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_the_stationary_stream_has_the_same_distributions_in_both_halves():
    predictions, outcomes = stationary.events(rows=40_000)
    parsed = [json.loads(event.value) for event in predictions]
    assert all(a.arrival_ms <= b.arrival_ms for a, b in pairwise(predictions))
    assert all(a.arrival_ms <= b.arrival_ms for a, b in pairwise(outcomes))
    assert len(outcomes) == pytest.approx(0.95 * 40_000, rel=0.01)

    features = [event["features"] for event in parsed]
    kinds = {name: type(features[0][name]) for name in features[0]}
    assert list(kinds.values()).count(str) == 3
    assert list(kinds.values()).count(bool) == 1
    assert len(kinds) == 12
    for name, kind in kinds.items():
        halves = features[:20_000], features[20_000:]
        nulls = [sum(row[name] is None for row in half) for half in halves]
        assert abs(nulls[0] - nulls[1]) <= 5 * max(1, sum(nulls)) ** 0.5
        first, second = ([row[name] for row in half if row[name] is not None] for half in halves)
        if kind is str:  # the share of the commonest categories
            first, second = (np.isin(half, ["DE", "m1", "web"]) for half in (first, second))
        first, second = np.array(first, dtype=float), np.array(second, dtype=float)
        error = np.hypot(first.std() / len(first) ** 0.5, second.std() / len(second) ** 0.5)
        assert abs(first.mean() - second.mean()) < 5 * error

    known = [json.loads(event.value) for event in outcomes]
    labels = np.array([event["actual"]["label"] for event in known])
    rows = [int(event["prediction_id"].removeprefix("s-")) for event in known]
    scores = np.array([parsed[row]["prediction"]["score"] for row in rows])
    assert labels.mean() == pytest.approx(scores.mean(), abs=0.01)


def test_the_stationary_stream_is_the_same_for_the_same_seed():
    assert stationary.events(rows=500) == stationary.events(rows=500)
    assert stationary.events(rows=500, seed=8) != stationary.events(rows=500)
