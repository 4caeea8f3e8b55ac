"""Which Python the scripts take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def found_on(path: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """What `find_python` says where nothing but this is on the path."""
    names = {"PATH": str(path), **given}
    kept = {n: v for n, v in os.environ.items() if n not in ("PYENV_VERSION", "LEEWAY_PYTHON")}
    return subprocess.run(
        ["/bin/bash", "-c", ". scripts/python; find_python"],
        cwd=ROOT,
        env=kept | names,
        capture_output=True,
        text=True,
        check=False,
    )


def put(path: Path, name: str, script: str) -> None:
    (path / name).write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
    (path / name).chmod(0o755)


HERE = Path(sys._base_executable)  # type: ignore[attr-defined]
RUNS = f'exec "{sys.executable}" "$@"'
STAND_IN = f'[ "$PYENV_VERSION" = {{}} ] || exit 127; {RUNS}'


def test_a_version_that_pyenv_keeps_is_found(tmp_path: Path) -> None:
    put(tmp_path, "python3.13", STAND_IN.format("3.13"))
    assert found_on(tmp_path).stdout == f"{HERE}\n"


def test_what_pyenv_was_told_is_obeyed(tmp_path: Path) -> None:
    put(tmp_path, "python3.13", STAND_IN.format("3.13"))
    put(tmp_path, "python3", "exit 1")
    found = found_on(tmp_path, PYENV_VERSION="3.12.1")
    assert (found.returncode, found.stdout) == (2, "")
    assert "needs Python 3.11" in found.stderr


def test_what_pyenv_was_told_for_this_folder_is_obeyed(tmp_path: Path) -> None:
    put(tmp_path, "python3.13", STAND_IN.format("3.13"))
    put(tmp_path, "python3.12", RUNS)
    put(tmp_path, "pyenv", "echo 3.12.1")
    assert found_on(tmp_path, PYENV_VERSION="").stdout == f"{HERE}\n"
    (tmp_path / "python3.12").unlink()
    assert found_on(tmp_path).returncode == 2


def test_an_environment_is_none_to_make_another_with(tmp_path: Path) -> None:
    """It may be the very one that is removed then."""
    made = tmp_path / "stale"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    found = found_on(made / "bin", LEEWAY_PYTHON="python3").stdout
    assert found == f"{HERE}\n"


def test_what_does_not_run_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "python3.13", "exit 127")
    put(tmp_path, "python3.12", "echo too old; exit 1")
    put(tmp_path, "python3", RUNS)
    assert found_on(tmp_path).stdout == f"{HERE}\n"


@pytest.mark.parametrize("name", ["python3.13", "other"])
def test_one_that_is_named_is_the_only_one_asked(tmp_path: Path, name: str) -> None:
    put(tmp_path, "python3.13", RUNS)
    found = found_on(tmp_path, LEEWAY_PYTHON=name)
    assert found.returncode == (0 if name == "python3.13" else 2)
