"""Environments of their own, under .cache/, for what only benchmarks need: made on demand, kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
_CACHE = ROOT / ".cache" / "bench"
_INSTALL_S = 900


class NotInstalledError(Exception):
    """In one line: what could not be installed here, and why."""


def python_with(name: str, requirements: Sequence[str]) -> Path:
    """The Python of an environment with exactly these. Raises NotInstalledError."""
    folder = _CACHE / name
    python, stamp = folder / "bin" / "python", folder / "complete"
    wanted = "\n".join(requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    try:
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        _run([*pip, "--disable-pip-version-check", *requirements])
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        lines = [line for line in said.splitlines() if line.strip()]
        reason = lines[-1][:160] if lines else type(error).__name__
        raise NotInstalledError(f"{name}: not installed here: {reason}") from error
    stamp.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
