"""Mutants on trial: the tests are collected once, then each mutant has a fork of its own in which
its functions' code is put in place of the module's, and the tests run until one fails.

What stands outside of functions cannot be exchanged like that: such a mutant has a process of its
own, into which it is imported instead of the module.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import hypothesis
import pytest

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
_POLL_S = 0.005
_OPTIONS = ("-x", "-q", "-s", "--no-header", "--no-summary", "-p", "no:cacheprovider")
_PASSED, _FAILED = 0, 1

# A counterexample is enough: it need not be small, nor the only one.
hypothesis.settings.register_profile(
    "mutation",
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    report_multiple_bugs=False,
    database=None,
)


class Court:
    """Collects the tests, and calls `work` with itself; `survives` judges a mutant."""

    def __init__(self, module: str, tests: Sequence[str], work: Callable[[Court], None]) -> None:
        self._path, self._tests, self._work = source_of(module), tests, work
        self._name = f"stream.{module}"
        self._items: list[pytest.Item] = []
        self._session: Any = None
        self._ended = False

    def sit(self) -> None:
        """Raises RuntimeError if the tests cannot be collected, or `work` did not come to its
        end: pytest itself swallows whatever it raises."""
        former = hypothesis.settings.get_current_profile_name()
        hypothesis.settings.load_profile("mutation")
        try:
            pytest.main([*_OPTIONS, *self._tests], plugins=[self])
        finally:
            hypothesis.settings.load_profile(former)
        if not self._ended:
            raise RuntimeError(f"{self._name}: no verdict, see above")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._session, self._items = session, list(session.items)
        self._work(self)
        self._ended = True
        return True

    def survives(self, mutant: Mutant | None, limit_s: float) -> bool:
        """Whether all tests pass with it, within the time: one that hangs is killed, in both
        senses. None: the module as it is."""
        swaps = [] if mutant is None else list(self._swaps(mutant))
        if mutant is not None and not swaps:
            return self._survives_alone(mutant, limit_s)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            self._run(swaps, writer)
        os.close(writer)
        status = _waited(child, limit_s)
        said = os.read(reader, 16)
        os.close(reader)
        if said:  # what has caught one mistake may well catch the next
            self._items.insert(0, self._items.pop(int(said)))
        return status == _PASSED

    def _run(self, swaps: list[tuple[FunctionType, FunctionType]], writer: int) -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        try:
            for old, new in swaps:
                old.__code__, old.__defaults__ = new.__code__, new.__defaults__
                old.__kwdefaults__ = new.__kwdefaults__
            for place, item in enumerate(self._items):
                following = self._items[place + 1 : place + 2]
                item.config.hook.pytest_runtest_protocol(
                    item=item, nextitem=next(iter(following), None)
                )
                if self._session.testsfailed:
                    os.write(writer, str(place).encode())
                    os._exit(_FAILED)
        except BaseException:  # noqa: BLE001  a mutant may do anything; only passing lets it live
            os._exit(_FAILED)
        os._exit(_PASSED)

    def _swaps(self, mutant: Mutant) -> Iterator[tuple[FunctionType, FunctionType]]:
        """(function, the mutant's) where the code differs; none if it differs elsewhere."""
        if mutant.outside:
            return
        other = ModuleType(self._name)
        other.__file__ = str(self._path)
        sys.modules["mutant"] = other
        other.__name__ = "mutant"
        exec(compile(mutant.tree, str(self._path), "exec"), other.__dict__)
        theirs = dict(functions_of(other, "mutant"))
        for name, mine in functions_of(importlib.import_module(self._name), self._name):
            if mine.__code__ != theirs[name].__code__:
                yield mine, theirs[name]

    def _survives_alone(self, mutant: Mutant, limit_s: float) -> bool:
        command = [sys.executable, "-m", "tests.mutation.trial", self._path.stem]
        try:
            done = subprocess.run(
                [*command, str(mutant.number), *self._tests],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=limit_s + 60,
                check=False,
                cwd=ROOT,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == _PASSED


def source_of(module: str) -> Path:
    return ROOT / "stream" / f"{module}.py"


def functions_of(module: ModuleType, name: str) -> Iterator[tuple[str, FunctionType]]:
    """The functions and methods that a module defines, by their names."""
    for key, value in vars(module).items():
        if getattr(value, "__module__", None) != name:
            continue
        if isinstance(value, FunctionType):
            yield key, value
        elif isinstance(value, type):
            for method, inner in vars(value).items():
                function = getattr(inner, "fget", None) or getattr(inner, "__func__", inner)
                if isinstance(function, FunctionType) and function.__module__ == name:
                    yield f"{key}.{method}", function


def _waited(child: int, limit_s: float) -> int | None:
    """The exit code; None: it was killed for its slowness."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from this code."""

    def __init__(self, module: str, code: CodeType) -> None:
        self._module, self._code = module, code

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self._code.co_filename)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self._code.co_filename
        exec(self._code, module.__dict__)


def alone(module: str, number: int, tests: Sequence[str]) -> int:
    """Runs the tests with one mutant imported in place of its module."""
    path = source_of(module)
    mutant = next(m for m in mutants(path.read_text(encoding="utf-8")) if m.number == number)
    code = compile(mutant.tree, str(path), "exec")
    sys.meta_path.insert(0, _Instead(f"stream.{module}", code))
    hypothesis.settings.load_profile("mutation")
    return int(pytest.main([*_OPTIONS, *tests]))


if __name__ == "__main__":
    sys.exit(alone(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
