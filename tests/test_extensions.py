"""Where there is a compiler, the extensions in C were built: what did not compile is no matter of
taste, and without them all tests of what they do would be skipped."""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
import tomllib
from pathlib import Path

import pytest

import detectors.native
import stream.native


def has_a_compiler() -> bool:
    """That setuptools would ask, and what it needs of Python."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return bool(command) and shutil.which(command[0]) is not None and header.is_file()


@pytest.mark.skipif(
    not has_a_compiler() and os.environ.get("CI") != "true", reason="no compiler of C"
)
def test_the_extensions_are_built_where_there_is_a_compiler() -> None:
    missing = [of.__name__ for of in (stream.native, detectors.native) if not of.IS_BUILT]
    assert not missing, "not built: see what scripts/install says, after rm .venv/leeway-stamp"


def test_every_header_goes_with_the_source() -> None:
    """A distribution of the source has what is named, and what is named is built anew."""
    root = Path(__file__).parents[1]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    named = {
        name for one in settings["tool"]["setuptools"]["ext-modules"] for name in one["depends"]
    }
    headers = [*root.glob("stream/native/*.h"), *root.glob("detectors/c/*.h")]
    assert named == {str(header.relative_to(root)) for header in headers}
