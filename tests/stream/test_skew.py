"""Offline/online skew: value by value, exact, in whatever order the two sides come."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import Prediction
from stream.simulate.spec import Spec
from stream.simulate.write import write
from stream.skew import Refused, Skew, compare
from stream.skew import offline_of as counted
from tests.stream.test_cli import exit_code


def online(prediction_id: str, role: str = "champion", **features: Any) -> Prediction:
    event = {
        "prediction_id": prediction_id,
        "model_id": "m",
        "model_version": "1",
        "predicted_at": 0,
        "role": role,
        "features": features,
        "prediction": {"score": 0.5},
    }
    return msgspec.convert(event, Prediction)


def offline(prediction_id: str, **features: Any) -> bytes:
    return json.dumps({"prediction_id": prediction_id, "features": features}).encode()


def offline_of(lines: list[bytes]) -> dict[Any, dict[str, Any]]:
    refused = Refused()
    found = counted(lines, refused)
    assert refused.count == 0
    return found


def only(skew: Skew) -> dict[str, Any]:
    (feature,) = skew.features
    return feature.facts()


@pytest.mark.parametrize(
    ("here", "there", "differs"),
    [
        (1, 1.0, False),
        (True, 1, False),
        (0.1 + 0.2, 0.3, False),
        (2**60 + 1, 2**60, False),
        (100.0, 100.1, True),
        ("1", 1, True),
        (None, None, False),
        (None, 0, True),
        ("a", "a", False),
        ([1], [1], False),
    ],
)
def test_values_are_equal_by_what_they_are(here: Any, there: Any, differs: bool) -> None:
    skew = compare([online("p", x=here)], offline_of([offline("p", x=there)]))
    assert only(skew)["differing"] == differs


def test_of_each_feature_the_share_the_mean_difference_and_an_example() -> None:
    predictions = [online("a", x=3), online("b", x=5.5), online("c"), online("d", x=1)]
    lines = [offline(name, x=value) for name, value in (("a", 3), ("b", 5), ("c", 1), ("d", "1"))]
    found = only(compare(predictions, offline_of(lines)))
    assert found == {
        "feature": "x",
        "compared": 4,
        "differing": 3,
        "share": 0.75,
        "mean_difference": 0.5,
        "not_online": 1,
        "not_offline": 0,
        "example": {"prediction_id": "b", "online": 5.5, "offline": 5},
    }


def test_other_roles_ids_on_one_side_and_features_that_offline_lacks_are_not_compared() -> None:
    predictions = [online("a", x=1, y=2), online("a", role="shadow", x=9), online("b", x=1)]
    skew = compare(predictions, offline_of([offline("a", x=1), offline("z", x=1)]))
    assert (skew.matched, skew.only_offline) == (1, 1)
    assert only(skew)["differing"] == 0
    assert skew.beyond(0.0) == []


def test_ids_without_offline_values_and_those_that_come_twice_are_counted() -> None:
    predictions = [online("a", x=1), online("a", x=9), online("b", x=1), online("c", x=1)]
    skew = compare(predictions, offline_of([offline("a", x=1), offline("a", x=9)]))
    assert (skew.matched, skew.only_online, skew.twice, skew.only_offline) == (1, 2, 1, 0)
    assert only(skew)["differing"] == 0


def test_a_line_that_is_no_value_of_a_prediction_is_counted_and_the_others_are_compared() -> None:
    refused = Refused()
    found = counted([b'{"features": {}}', b"\xff", offline("a", x=1)], refused)
    assert refused.count == 2
    assert "prediction_id" in refused.why
    assert compare([online("a", x=1)], found).matched == 1


VALUES = st.one_of(st.none(), st.integers(-9, 9), st.floats(-9, 9), st.sampled_from("ab"))
SIDES = st.dictionaries(
    st.sampled_from("pqrstu"), st.dictionaries(st.sampled_from("xyz"), VALUES), max_size=6
)


@given(SIDES, SIDES, st.randoms(use_true_random=False))
def test_the_order_does_not_show_and_what_is_counted_adds_up(
    here: dict[str, Any], there: dict[str, Any], random: Random
) -> None:
    predictions = [online(name, **features) for name, features in here.items()]
    lines = [offline(name, **features) for name, features in there.items()]
    skew = compare(predictions, offline_of(lines))
    random.shuffle(predictions)
    random.shuffle(lines)
    assert compare(predictions, offline_of(lines)) == skew
    both = here.keys() & there.keys()
    assert skew.matched == len(both)
    for feature in skew.features:
        assert feature.compared == sum(feature.name in there[name] for name in both)
        assert feature.numbers + feature.not_online <= feature.differing <= feature.compared


def test_a_feature_that_serving_computes_otherwise_is_named_with_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, faults in (("online", ["skew:amount@2h"]), ("offline", [])):
        spec = {"length": "4h", "traffic": {"rate": "5/min"}, "faults": faults}
        write(tmp_path / name, Spec.model_validate(spec))
    given, computed = (tmp_path / s / "predictions.ndjson" for s in ("online", "offline"))
    offline = ("--offline", str(computed))
    assert exit_code(["skew", "--predictions", str(given), *offline, "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["skewed"] == ["amount"]
    amount = next(f for f in found["features"] if f["feature"] == "amount")
    assert 0.4 < amount["share"] < 0.6
    assert amount["mean_difference"] < 0
    assert exit_code(["skew", "--predictions", str(computed), *offline]) == 0
    assert "features are the same" in capsys.readouterr().out


def test_nothing_in_common_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = {"a": msgspec.json.encode(online("p", x=1)), "b": offline("q", x=1)}
    for name, line in lines.items():
        (tmp_path / f"{name}.ndjson").write_bytes(line + b"\n")
    files = [str(tmp_path / f"{name}.ndjson") for name in lines]
    assert exit_code(["skew", "--predictions", files[0], "--offline", files[1]]) == 1
    assert "no prediction id" in capsys.readouterr().err


def test_what_cannot_be_read_is_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "online.ndjson", tmp_path / "offline.ndjson"
    here.write_bytes(msgspec.json.encode(online("p", x=1)) + b'\n{"prediction_id": 7}\n')
    there.write_bytes(offline("p", x=1) + b"\nno json\n[]\n")
    files = ("--predictions", str(here), "--offline", str(there))
    assert exit_code(["skew", *files, "-o", "json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["dead_letters"] == {"predictions": 1, "offline": 2}
    assert "dead letters: 1 records are no predictions" in err
    assert "dead letters: 2 records are no offline values" in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "one of --predictions and --predictions-topic"),
        (["--predictions", "F", "--predictions-topic", "t"], "one of --predictions and"),
        (["--predictions", "F"], "one of --offline and --offline-topic"),
        (["--predictions", "F", "--offline", "F", "--from", "5"], "only with --predictions-topic"),
        (["--predictions-topic", "t", "--offline", "F", "--to", "soon"], "'soon' is no time"),
    ],
)
def test_a_side_is_files_or_a_topic_and_bounds_are_of_a_topic(
    options: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lines.ndjson"
    file.write_bytes(offline("p", x=1) + b"\n")
    assert exit_code(["skew", *(str(file) if o == "F" else o for o in options)]) == 2
    assert says in capsys.readouterr().err


def test_a_difference_beyond_all_doubles_is_no_mean() -> None:
    lines = [offline("p", x=-1e308), offline("q", x=10**400)]
    facts = only(compare([online("p", x=1e308), online("q", x=1)], offline_of(lines)))
    assert (facts["differing"], facts["mean_difference"]) == (2, None)
