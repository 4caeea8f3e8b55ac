"""The two import packages are this repository's, and keep the rules no linter states."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCES = sorted([*(ROOT / "stream").rglob("*.py"), *(ROOT / "detectors").rglob("*.py")])


def imported_by(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("name", ["stream", "detectors"])
def test_both_packages_resolve_inside_this_repository(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / name / "__init__.py"


def test_nothing_that_runs_code_out_of_data_is_imported() -> None:
    unsafe = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    assert len(SOURCES) > 20
    found = {
        str(source.relative_to(ROOT)): name
        for source in SOURCES
        for name in imported_by(source)
        if name.split(".")[0] in unsafe
    }
    # what sleeps in the memory of one process, and is made of classes of this program alone
    assert found == {"stream/monitors.py": "pickle"}


def test_every_package_of_the_tree_is_packaged() -> None:
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in SOURCES
        if path.name == "__init__.py"
    }
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == on_disk


def test_every_core_module_is_held_to_the_contract_of_no_io() -> None:
    contracts = {
        contract["name"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
    }
    layers = contracts["shell above core"]["layers"]
    core = {
        f"stream.{module.strip(' ()')}"
        for layer in layers[layers.index("(pipeline)") :]
        for module in layer.split(":")
    }
    existing = {f"stream.{path.stem}" for path in (ROOT / "stream").glob("*.py")}
    held = set(contracts["core and detectors do no I/O"]["source_modules"])
    assert held == {"detectors"} | (core & existing)


def test_the_lock_names_no_place_and_holds_a_hash_for_everything() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--index" not in lock
    requirements = [line for line in lock.splitlines() if line and line[0].isalnum()]
    assert len(requirements) > 40
    assert all("==" in line and line.endswith("\\") for line in requirements)
    locked = {line.split("==")[0] for line in requirements}
    wanted = {"faust-streaming", "aiokafka", "numpy", "river", "orjson", "prometheus-client"}
    assert wanted | {"pytest", "testcontainers", "setuptools"} <= locked


def test_help_loads_neither_faust_nor_numpy() -> None:
    code = (
        "import sys, contextlib, stream.cli\n"
        "with contextlib.suppress(SystemExit): stream.cli.main(['--help'])\n"
        "slow = {'faust', 'aiokafka', 'numpy', 'pydantic', 'rich', 'msgspec'} & set(sys.modules)\n"
        "sys.exit(f'loaded {slow}' if slow else 0)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "backtest" in run.stdout
