"""The README against the code: what it shows is accepted, what there is, it names."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
import typer.main
import yaml
from prometheus_client import CollectorRegistry

from stream import control_refusals, records, schemas
from stream.cli import app, main
from stream.events import Alert, Kind, Records
from stream.identity import IdMemory, hash_ids
from stream.kafka_admin import topic_plan
from stream.metrics import Metrics
from stream.rules import Rules
from stream.settings import Settings
from stream.simulate.catalogue import FAULTS, MODELS
from stream.snapshot import packed
from stream.source_stage import SourceStage

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DAY_S = 86_400


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def rows_of(section: str) -> list[str]:
    """The table rows below a heading, up to the next heading."""
    body = re.split(rf"^#+ {re.escape(section)}$", README, maxsplit=1, flags=re.MULTILINE)[1]
    body = re.split(r"^#+ ", body, maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert len(rows) > 2, f"{section} has no table"
    return rows


def first_cells(rows: list[str]) -> set[str]:
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def paths(settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in settings.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}.")


def test_every_metric_is_documented_and_no_other() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    suffix = {"counter": "_total"}
    defined = {metric.name + suffix.get(metric.type, "") for metric in registry.collect()}
    assert first_cells(rows_of("Metrics")) == defined
    assert len(defined) > 10


def test_every_command_and_option_is_documented() -> None:
    rows = {next(iter(first_cells([row])), ""): row for row in rows_of("Commands")}
    commands = dict(leaves(typer.main.get_command(app), "leeway"))
    assert rows.keys() - {""} == commands.keys()
    for name, command in commands.items():
        for option in command.params:
            for flag in [] if getattr(option, "hidden", False) else option.opts:
                assert not flag.startswith("-") or flag in rows[name], f"{name} {flag}"


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for part, sub in inner.items():
        yield from leaves(sub, f"{name} {part}")


def test_the_example_configuration_names_every_key_with_its_default() -> None:
    (shown,) = blocks("yaml")
    content = yaml.safe_load(shown)
    models = content.pop("models")
    defaults = Settings().model_dump(mode="json")
    assert set(paths(defaults)) - {"models"} == set(paths(content))
    assert Settings.model_validate(content) == Settings()
    model = Settings.model_validate({"models": models}).models["fraud"]
    optional = {"labels"}  # its keys are the owner's own
    assert set(paths(model.model_dump(exclude=optional))) == set(paths(models["fraud"])) - {
        "labels",
        "labels.tier",
    }


def test_the_example_configuration_lets_be_found_what_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "leeway.yaml"
    path.write_text(blocks("yaml")[0], encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["validate", "-c", str(path)])
    assert not ended.value.code
    said = capsys.readouterr().out.replace(str(path), path.name)
    assert f"$ leeway validate -c leeway.yaml\n{said}" in README


def test_the_example_events_are_accepted() -> None:
    prediction, outcome = (json.loads(block) for block in blocks("json")[:2])
    for event, decode in (
        (prediction, records.decode_predictions),
        (outcome, records.decode_outcomes),
    ):
        batch = Records("t", 0, [0], [None], [json.dumps(event).encode()])
        decoded = decode(batch, Rules(), include_payload=False)
        assert len(decoded.events) == 1
        assert decoded.dead == []


def test_the_example_alert_has_every_field_and_each_is_explained() -> None:
    shown = next(block for block in blocks("json") if '"fingerprint"' in block)
    alert = msgspec.json.decode(shown, type=Alert)
    assert alert.scope.feature == "car_value"
    fields = list(msgspec.structs.asdict(alert))
    assert list(json.loads(shown)) == fields
    explained = first_cells(rows_of("An alert"))
    assert set(fields) <= explained


def test_every_alert_is_documented_with_its_severity_and_action() -> None:
    kinds = "|".join(get_args(Kind))
    facts = re.compile(rf'"([A-Z]\w+)", "(?:{kinds})", "(\w+)", "(\w+)"')
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "stream").glob("*.py"))
    told = {found for source in sources for found in facts.findall(source)}
    assert len(told) > 20
    rows = {name: row for row in rows_of("An alert") for name in first_cells([row])}
    for name, severity, action in told:
        assert severity in rows[name], name
        assert action in rows[name], name


def test_every_topic_is_documented_with_its_cleanup() -> None:
    rows = {next(iter(first_cells([row])), ""): row for row in rows_of("Topics")}
    plan = topic_plan(Settings())
    assert rows.keys() - {""} == {topic.name for topic in plan}
    for topic in plan:
        assert f"| {topic.config['cleanup.policy']} |" in rows[topic.name]


def test_every_reason_of_a_dead_letter_is_documented_and_no_other() -> None:
    source = inspect.getsource(records)
    given = set(re.findall(r'UnusableError\("(\w+)"', source))
    given |= set(re.findall(r'_refuse\([^"\n]*"(\w+)"', source))
    given |= set(re.findall(r'(?:return|else) "(\w+)"', source))
    given |= {reason for _, reason in records._REASONS}
    given |= {"not_finite", *get_args(control_refusals.Reason)}
    assert first_cells(rows_of("Bad input")) == given


def test_the_file_map_names_every_module_and_no_other() -> None:
    body = README.split("### File map")[1].split("Elsewhere:")[0]
    named = re.findall(r"^\| `((?:stream|detectors)/\w+\.py)` \|", body, re.MULTILINE)
    existing = [
        path.relative_to(ROOT).as_posix()
        for folder in ("stream", "detectors")
        for path in (ROOT / folder).glob("*.py")
    ]
    assert sorted(named) == sorted(existing)


def test_every_schema_and_script_is_named() -> None:
    assert "`leeway schema prediction.v1`" in README
    assert "prediction.v1" in schemas.NAMES
    for script in ("demo", "test", "check", "lock"):
        assert (ROOT / "scripts" / script).exists()
        assert f"`scripts/{script}`" in README


def test_the_python_example_parses_and_uses_the_documented_topics() -> None:
    (example,) = blocks("python")
    compile(example, "README.md", "exec")
    names = Settings().topics
    assert names.predictions in example
    assert names.outcomes in example


def test_the_cost_of_state_is_what_stage_one_holds(capsys: pytest.CaptureFixture[str]) -> None:
    row, memory, outcome = bytes_held(20_000)
    with capsys.disabled():
        print(
            f"\npending prediction {row} B, remembered id {memory} B, waiting outcome {outcome} B"
        )
    assert f"| a prediction waiting for its maturity | {row} |" in README
    assert f"| a remembered id (of a prediction, of an outcome) | {memory} |" in README
    assert f"| a waiting outcome | {outcome} |" in README
    for maturity_days, horizon_days in ((30.0, 30.0), (1.0, 2.0), (1 / 24, 2 / 24)):
        for rate in (1_000 / 60, 1_000.0):
            held_s = maturity_days * DAY_S + 40
            remembered_s = horizon_days * DAY_S + 70
            ids_s = held_s if maturity_days < horizon_days else horizon_days * DAY_S
            total = rate * (held_s * (row + outcome) + (ids_s + remembered_s) * memory)
            assert f"| {sized(total)} " in README, (
                f"{maturity_days} d, {rate:.0f}/s: {sized(total)}"
            )


def sized(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def bytes_held(count: int) -> tuple[int, int, int]:
    """Bytes in a snapshot of a held prediction, a remembered id, a waiting outcome."""

    def prediction(n: int) -> dict[str, Any]:
        return {
            "prediction_id": f"p-{n}",
            "model_id": "m",
            "model_version": "1",
            "predicted_at": 1_800_000_000_000 + n,
            "features": {},
            "prediction": {"label": "ab"[n % 2], "score": n / count},
        }

    def truth(n: int) -> dict[str, Any]:
        return {
            "prediction_id": f"p-{n}",
            "model_id": "m",
            "observed_at": 1_800_000_000_000 + n,
            "actual": {"label": "ba"[n % 2]},
        }

    def batch(of: Any) -> Records:
        values = [json.dumps(of(n)).encode() for n in range(count)]
        return Records("t", 0, list(range(count)), [None] * count, values)

    def size(maturity: Any, *, outcomes: bool) -> int:
        stage = SourceStage(Rules(maturity=maturity), 0, 1)
        stage.predictions(batch(prediction))
        if outcomes:
            stage.outcomes(batch(truth))
        return sum(map(len, packed(stage.snapshot()).values()))

    ids, seen = IdMemory(), hash_ids(f"p-{n}" for n in range(count))
    ids.apply(seen, np.zeros(count, np.int64), 10**15 + np.arange(count))
    memory = sum(map(len, packed(ids.parts()).values()))
    held = size("auto", outcomes=False)
    row = held - size(None, outcomes=False)
    outcome = size("auto", outcomes=True) - held - memory
    return round(row / count), round(memory / count), round(outcome / count)


def test_every_fault_and_model_of_the_simulation_is_named() -> None:
    named = re.findall(r"`(\w+)`", " ".join(row.split("|", 2)[2] for row in rows_of("Simulate")))
    assert sorted(named) == sorted(FAULTS)
    body = README.split("## Simulate")[1].split("## Operating it")[0]
    assert all(f"`{name}`" in body for name in MODELS)
    assert (ROOT / "scripts" / "simulate").exists()
