"""The command line: exit codes, one clear line an error, data apart from talk."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stream import cli, schemas

OWNED = "models: {fraud: {owners: {accountable: a}, runbook_url: 'https://r'}}"
NO_BROKER = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("LEEWAY_"):
            monkeypatch.delenv(name)


@pytest.fixture
def owned(tmp_path: Path) -> Path:
    path = tmp_path / "leeway.yaml"
    path.write_text(OWNED, encoding="utf-8")
    return path


def exit_code(arguments: Sequence[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    code = ended.value.code
    return code if isinstance(code, int) else int(code is not None)


@pytest.mark.parametrize(
    ("given", "spread"),
    [
        (["--predictions", "a", "b", "--outcomes", "c"],
         ["--predictions", "a", "--predictions", "b", "--outcomes", "c"]),
        (["--predictions", "a", "--predictions", "b"],
         ["--predictions", "a", "--predictions", "b"]),
        (["--predictions=a", "b", "-c", "x"], ["--predictions=a", "--predictions", "b", "-c", "x"]),
        (["schema", "config"], ["schema", "config"]),
        (["--predictions"], ["--predictions"]),
    ],
)  # fmt: skip
def test_several_files_after_one_flag_are_several_flags(
    given: list[str], spread: list[str]
) -> None:
    assert cli.spread(given) == spread


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["worker", "--bogus"], "No such option: --bogus"),
        (["validate", "-c", "/none.yaml"], "'/none.yaml' does not exist"),
        (["schema", "nope"], "no schema nope"),
        (["reference", "accept", ""], "no model ''"),
        (["reference", "accept", "m", "1", "--at", "noon"], "--at: 'noon' is no time"),
        (["backtest", "--predictions", "/none", "--outcomes", "/none", "--alerts", "a"],
         "'/none' does not exist"),
        (["backtest", "--outcomes", __file__, "--alerts", "a"], "Missing option '--predictions'"),
        (["backtest", "--predictions", __file__, "--alerts", "a", "--bootstrap", NO_BROKER],
         "--predictions: not with --bootstrap"),
        (["backtest", "--predictions", __file__, "--outcomes", __file__, "--alerts", "a",
          "--from", "5"], "--from: only with --bootstrap"),
        (["backtest", "--bootstrap", NO_BROKER, "--alerts", "a", "--from", "5",
          "--from-checkpoint", "5"], "--from-checkpoint: not with --from"),
        (["backtest", "--bootstrap", NO_BROKER, "--alerts", "a", "--to", "yesterday"],
         "'yesterday' is no time"),
        (["backtest", "--bootstrap", NO_BROKER, "--alerts", "a", "--from", "2026-01-01T00:00:00"],
         "has no offset from UTC"),
        (["backtest", "--predictions", __file__, "--outcomes", __file__, "--alerts", "/no/where/a"],
         "/no/where/a: the directory does not exist"),
        (["backtest", "--predictions", __file__, "--outcomes", __file__, "--alerts", "a",
          "--partitions", "0"], "--partitions"),
    ],
)  # fmt: skip
def test_a_usage_error_is_one_line_on_stderr_and_exit_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(arguments) == 2
    out, err = capsys.readouterr()
    *_, last = err.splitlines()
    assert says in last
    assert out == ""
    assert "Traceback" not in err
    assert not set(err) & set("╭│╰")


def test_validate_reports_every_fault_and_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("{pane: 10, models: {fraud: {}}}", encoding="utf-8")
    assert exit_code(["validate", "-c", str(path)]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 3
    assert "leeway: models.fraud.owners.accountable: required" in err


def test_validate_demands_an_owner_where_no_model_is_configured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("pane: 10s", encoding="utf-8")
    assert exit_code(["validate", "-c", str(path)]) == 2
    assert "models: required" in capsys.readouterr().err


def test_validate_prints_the_config_hash_as_data(
    owned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["validate", "-c", str(owned), "-o", "json"]) == 0
    out, err = capsys.readouterr()
    found: dict[str, Any] = json.loads(out)
    assert found["models"] == ["fraud"]
    assert len(found["config_hash"]) == 16
    assert err == ""


def test_validate_and_doctor_name_all_who_are_missing_and_only_doctor_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gaps.yaml"
    model = "{owners: {accountable: a}, runbook_url: 'https://r'}"
    path.write_text(f"models: {{fraud: {model}, churn: {model}}}", encoding="utf-8")
    assert exit_code(["validate", "-c", str(path)]) == 0
    said = [line.split(": ")[1:3] for line in capsys.readouterr().err.splitlines()]
    assert [path for what, path in said if what == "missing"] == [
        "models.churn.owners.responsible",
        "models.fraud.owners.responsible",
    ]
    assert [path for what, path in said if what != "missing"] == [
        "models.churn.objectives, budget, floors or thresholds",
        "models.fraud.objectives, budget, floors or thresholds",
    ]
    assert exit_code(["validate", "-c", str(path), "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["gaps"]) == 2
    assert exit_code(["doctor", "-c", str(path), "--bootstrap", NO_BROKER, "-o", "json"]) == 1
    (owners, *_) = json.loads(capsys.readouterr().out)
    assert not owners["passed"]
    assert all(name in owners["detail"] for name in ("models.churn", "models.fraud"))


@pytest.mark.parametrize("command", ["topics", "doctor"])
def test_a_broker_out_of_reach_is_a_failure_that_says_so(
    command: str, owned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code([command, "-c", str(owned), "--bootstrap", NO_BROKER]) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert f"cannot reach {NO_BROKER}" in out + err


def test_a_backtest_without_its_broker_is_a_failure_that_says_so(
    owned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alerts = tmp_path / "alerts.ndjson"
    arguments = ["backtest", "-c", str(owned), "--bootstrap", NO_BROKER, "--alerts", str(alerts)]
    assert exit_code(arguments) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"leeway: cannot reach {NO_BROKER}")
    assert not alerts.exists()


def test_doctor_says_what_to_do_about_each_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["doctor", "--bootstrap", NO_BROKER, "-o", "json"]) == 1
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert {name for name, check in checks.items() if not check["passed"]} == {"owners", "broker"}
    assert all(bool(check["remedy"]) != check["passed"] for check in checks.values())


def test_every_run_without_a_model_says_that_its_alerts_have_no_owner(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exit_code(["topics", "--bootstrap", NO_BROKER])
    assert "unassigned" in capsys.readouterr().err


@pytest.mark.parametrize("name", schemas.NAMES)
def test_schema_prints_what_the_directory_holds(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["schema", name]) == 0
    assert capsys.readouterr().out == schemas.schema_text(name)


def test_without_a_command_the_help_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "backtest" in err
