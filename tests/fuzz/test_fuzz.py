"""Every decoder under fuzzing for half a minute; `scripts/chaos fuzz` does it for longer."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from stream import control
from stream.deployment import opened
from stream.events import Outcome, Prediction
from stream.records import Decoded, decode_outcomes, decode_predictions
from stream.snapshot import unpack
from stream.wire import VERSION, decode_finding, decode_journal, decode_pane_record
from tests.fuzz import targets
from tests.fuzz.forks import mutated
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import RULES, TARGETS, pane_record, sealed
from tests.streams import records

ROOT = Path(__file__).parents[2]
SECONDS = 30


def test_no_bytes_make_a_decoder_fail_or_misread() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-8_000:]
    tried = {line.split()[0]: line for line in done.stdout.splitlines()[:-1]}
    assert tried.keys() == TARGETS.keys()


def test_fuzzing_is_guided_where_its_wheel_is_locked() -> None:
    guided = importlib.util.find_spec("atheris") is not None
    assert guided == ((sys.platform, platform.machine()) == ("linux", "x86_64"))


def test_without_its_wheel_seeds_are_mutated_blindly_and_it_says_so_beside_the_targets(
    tmp_path: Path,
) -> None:
    (tmp_path / "journal").mkdir()
    for number, value in enumerate(seeds("journal")):
        (tmp_path / "journal" / str(number)).write_bytes(value)
    hidden = "import runpy, sys; sys.modules['atheris'] = None; runpy.run_module"
    run = f"{hidden}('tests.fuzz.forks', run_name='__main__')"
    command = [sys.executable, "-c", run, str(tmp_path), "0.2", "1", "journal"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "seeds are mutated blindly" in done.stderr
    told, summary = done.stdout.splitlines()
    name, inputs, _ = told.split()
    assert (name, int(inputs) > 0) == ("journal", True)
    assert summary == "1 targets, 0 failed"


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_and_what_a_plain_mutator_makes_of_it_is_understood_or_refused(
    name: str,
) -> None:
    inputs = seeds(name)
    random = Random(name)
    for value in [*inputs, *(mutated(random, inputs) for _ in range(30))]:
        TARGETS[name](value)


UNDERSTOOD: dict[str, Callable[[bytes], object]] = {
    "predictions": lambda data: predictions_of(data).events[0],
    "outcomes": lambda data: outcomes_of(data).events[0],
    "panes": lambda data: decode_pane_record(pane_record(data)),
    "findings": lambda data: decode_finding(sealed(b"F", data)),
    "journal": lambda data: decode_journal(sealed(b"J", data)),
    "state": lambda data: unpack(b"1", VERSION, sealed(b"1", data)),
    "control": control.decode,
    "deployed": lambda data: opened(zlib.compress(sealed(b"R", data))),
}


def predictions_of(data: bytes) -> Decoded[Prediction]:
    return decode_predictions(records([data]), RULES, include_payload=False)


def outcomes_of(data: bytes) -> Decoded[Outcome]:
    return decode_outcomes(records([data], "outcomes"), RULES, include_payload=False)


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_fuzzing_begins_from_what_is_understood(name: str) -> None:
    assert seeds(name)
    for value in seeds(name):
        UNDERSTOOD[name](value)


@pytest.mark.parametrize(
    ("name", "decoder"),
    [
        ("predictions", "decode_predictions"),
        ("batches", "decode_outcomes"),
        ("ledger", "SourceStage"),
        ("panes", "decode_pane_record"),
        ("findings", "decode_finding"),
        ("journal", "decode_journal"),
        ("state", "unpack"),
        ("configuration", "load"),
    ],
)
def test_a_target_fails_with_its_decoder(
    name: str, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr(targets, decoder, broken)
    with pytest.raises(KeyError):
        TARGETS[name](seeds(name)[0])


def test_a_value_that_is_read_otherwise_than_the_naive_reader_does_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (value, *_) = seeds("outcomes")
    other = outcomes_of(value.replace(b"2.5", b"2.25"))
    monkeypatch.setattr(targets, "decode_outcomes", lambda *_args, **_options: other)
    with pytest.raises(AssertionError):
        TARGETS["outcomes"](value)
