"""The monitors of a model: those at work are objects, the others sleep as a few bytes.

What a monitor needs at each pane is three times what there is to remember of it, in hundreds of
small objects. So only some stay awake, the others are pickled and compressed until they are asked
for, which costs up to half of what a pane of few rows does, and nothing where monitors are few.
These bytes never leave the process that made them: a checkpoint has its own. Nothing that is told
depends on who sleeps.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cramjam
import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.columns import Group
from stream.monitor import Monitor
from stream.monitor_told import MonitorStatus
from stream.own_pages import Pages
from stream.pane_kinds import PaneKind
from stream.reference import Reference
from stream.rules import Rules
from stream.unit_columns import UnitColumns, columns_of
from stream.units import Unit

AWAKE = 64  # of a partition: some 10 MB
_ROUNDS = 16  # times as much work as there are monitors since its own, and one counts as idle
_APART = (Pages, Reference, Rules, Unit)  # compact, or shared with others
_LEVEL = 1  # of zstd
_FOREIGN = {
    *(("builtins", name) for name in ("frozenset", "set")),
    *(("collections", name) for name in ("Counter", "OrderedDict", "defaultdict", "deque")),
    *(("numpy", name) for name in ("dtype", "ndarray")),
    *(("numpy._core.multiarray", name) for name in ("_reconstruct", "scalar")),
    ("numpy._core.numeric", "_frombuffer"),  # arrays in the order of Fortran
}
"""What a monitor consists of beside objects of this program: nothing else is made of its bytes."""
_told = msgspec.msgpack.Decoder(MonitorStatus)
Place = tuple[PaneKind, Group]


@dataclass(slots=True)
class _Asleep:
    state: bytes
    apart: tuple[Any, ...]
    is_restless: bool  # its inputs are to be settled
    told: bytes = b""  # where it stands, once somebody has asked


class Monitors:
    """By kind and group, in the order in which they came."""

    def __init__(self, awake: Awake) -> None:
        self._awake = awake
        self._of: dict[Place, Monitor | _Asleep] = {}

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[Place]:
        return iter(self._of)

    def __getitem__(self, place: Place) -> Monitor:
        found = self._of[place]
        if isinstance(found, _Asleep):
            found = self._of[place] = _woken(found)
        self._awake.note(self, place)
        return found

    def __setitem__(self, place: Place, monitor: Monitor) -> None:
        self._awake.all += place not in self._of
        self._of[place] = monitor
        self._awake.note(self, place)

    def __delitem__(self, place: Place) -> None:
        del self._of[place]
        self._awake.all -= 1
        self._awake.forget(self, place)

    def get(self, place: Place) -> Monitor | None:
        return self[place] if place in self._of else None

    def seen(self) -> Iterator[Monitor]:
        """To be looked at, not changed: who sleeps sleeps on."""
        for found in self._of.values():
            yield _woken(found) if isinstance(found, _Asleep) else found

    def asked(self) -> Iterator[Monitor | MonitorStatus]:
        """To be asked where they stand. What a sleeper said is remembered: metrics ask often."""
        for found in self._of.values():
            if isinstance(found, Monitor):
                yield found
                continue
            if not found.told:
                told = msgspec.msgpack.encode(_woken(found).told())
                found.told = bytes(cramjam.zstd.compress(told, _LEVEL))
            yield _told.decode(bytes(cramjam.zstd.decompress(found.told)))

    def settle(self, ready_ms: int) -> None:
        """Cohorts are asked about only that have later ready times than this."""
        for place, found in self._of.items():
            if place[0] != "prediction" or (isinstance(found, _Asleep) and not found.is_restless):
                continue
            inputs = (found if isinstance(found, Monitor) else self[place]).inputs
            if inputs is not None:
                inputs.settle(ready_ms)

    def lull(self, place: Place) -> None:
        """To sleep."""
        found = self._of[place]
        if isinstance(found, Monitor):
            self._of[place] = _asleep(found)


class Awake:
    """The monitors that are awake, of all models of a partition."""

    def __init__(self, limit: int) -> None:
        self.all = 0  # those asleep included
        self._limit = limit
        self._noted = 0
        self._last: OrderedDict[tuple[int, Place], tuple[Monitors, int]] = OrderedDict()

    def note(self, monitors: Monitors, place: Place) -> None:
        """It has work."""
        key = id(monitors), place
        self._noted += 1
        self._last[key] = monitors, self._noted
        self._last.move_to_end(key)

    def forget(self, monitors: Monitors, place: Place) -> None:
        self._last.pop((id(monitors), place), None)

    def rest(self) -> None:
        """Nobody holds a monitor now: as many go to sleep as are too many. Those that had work last
        go first: where all have work in turn, some are awake whenever they have. But for one that
        has been idle for long."""
        while len(self._last) > self._limit:
            _, noted = next(iter(self._last.values()))
            is_idle = self._noted - noted > _ROUNDS * self.all
            (_, place), (monitors, _) = self._last.popitem(last=not is_idle)
            monitors.lull(place)


class _Unpickler(pickle.Unpickler):
    def __init__(self, asleep: _Asleep) -> None:
        super().__init__(io.BytesIO(bytes(cramjam.zstd.decompress(asleep.state))))
        self._apart = asleep.apart

    def find_class(self, module_name: str, global_name: str) -> Any:
        if global_name == _kept.__name__:
            return self._apart.__getitem__
        # no name with a dot: it would be looked up in what the module uses
        is_own = module_name.partition(".")[0] in {"detectors", "stream"} and "." not in global_name
        if not is_own and (module_name, global_name) not in _FOREIGN:
            raise pickle.UnpicklingError(f"no part of a monitor: {module_name}.{global_name}")
        return super().find_class(module_name, global_name)


def _kept(place: int) -> Any:
    """Stands for what is kept apart."""
    raise AssertionError(place)


def _columns(of: UnitColumns) -> Any:
    return columns_of, of.units


def _reduced(array: NDArray[Any]) -> Any:
    if not array.flags.c_contiguous or array.dtype.hasobject or array.dtype.isbuiltin != 1:
        return array.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    return _array, (array.dtype.str, array.shape, array.tobytes())


def _array(dtype: str, shape: tuple[int, ...], data: bytes) -> NDArray[Any]:
    """That owns its numbers: as numpy makes it, it is a view of three objects more."""
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _asleep(monitor: Monitor) -> _Asleep:
    apart: list[Any] = []

    def keep(value: Any) -> tuple[Any, tuple[int]]:
        apart.append(value)
        return _kept, (len(apart) - 1,)

    file = io.BytesIO()
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    reduced: dict[type, Callable[[Any], Any]] = dict.fromkeys(_APART, keep)
    reduced |= {UnitColumns: _columns, np.ndarray: _reduced}
    pickler.dispatch_table = {**copyreg.dispatch_table, **reduced}
    pickler.dump(monitor)
    inputs = monitor.inputs
    state = bytes(cramjam.zstd.compress(file.getvalue(), _LEVEL))
    return _Asleep(state, tuple(apart), inputs is not None and inputs.is_restless)


def _woken(asleep: _Asleep) -> Monitor:
    monitor: Monitor = _Unpickler(asleep).load()
    return monitor
