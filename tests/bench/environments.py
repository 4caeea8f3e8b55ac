"""Environments of their own, under .cache/, for what only benchmarks need: made on demand, kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
_CACHE = ROOT / ".cache" / "bench"
_INSTALL_S = 900
_OLDER = ("python3.12", "python3.11")  # which some that are not kept up still need


class NotInstalledError(Exception):
    """In one line: what could not be installed here, and why."""


def python_with(name: str, requirements: Sequence[str]) -> Path:
    """The Python of an environment with exactly these: as here, or as old as they need. Raises
    NotInstalledError."""
    folder = _CACHE / name
    python, stamp = folder / "bin" / "python", folder / "complete"
    wanted = "\n".join(requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    failed: list[NotInstalledError] = []
    for maker in _pythons():
        try:
            _make(name, maker, requirements)
        except NotInstalledError as error:
            failed.append(error)
            continue
        stamp.write_text(wanted)
        return python
    raise failed[0]


def _make(name: str, maker: str, requirements: Sequence[str]) -> None:
    folder = _CACHE / name
    try:
        _run([maker, "-m", "venv", "--clear", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        _run([*pip, "--only-binary", ":all:", "--disable-pip-version-check", *requirements])
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        lines = [line for line in said.splitlines() if line.strip()]
        reason = lines[-1][:160] if lines else type(error).__name__
        raise NotInstalledError(f"{name}: not installed here: {reason}") from error


def _pythons() -> Iterator[str]:
    yield sys.executable
    for older in _OLDER:
        found = subprocess.run(
            ["bash", "-c", ". scripts/python; find_python"], cwd=ROOT, check=False,
            env=os.environ | {"LEEWAY_PYTHON": older}, capture_output=True, text=True,
        )  # fmt: skip
        if found.returncode == 0:
            yield found.stdout.strip()


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
