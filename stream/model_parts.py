"""Stage 2's state as parts: models in buckets, each written again only when it has changed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

import cramjam
import msgspec

from stream.model_state import ModelState
from stream.monitor_state import Sealed, names_apart
from stream.rules import Rules
from stream.snapshot import Part, encoded, pack, unpack

STATE_VERSION = 2
BUCKETS = 1_024  # of models, by hash: so many parts of a kind at most, however many models
_MAGIC = b"2"
_LEVEL = 1  # of zstd
Kind = Literal["arrivals", "monitors"]
"""What changes with each block that comes; what changes when panes are released."""
_KINDS: tuple[Kind, ...] = ("arrivals", "monitors")


def encode(state: dict[str, Any]) -> bytes:
    return pack(_MAGIC, STATE_VERSION, state)


def decode(data: bytes) -> dict[str, Any]:
    """Raises BrokenRecordError."""
    found: dict[str, Any] = unpack(_MAGIC, STATE_VERSION, data)
    return found


class Changes:
    """Numbers the changes of a stage's buckets, so that equal versions are equal bytes."""

    def __init__(self) -> None:
        self._latest = 0
        self._versions: dict[tuple[Kind, int], int] = {}
        # of the last snapshot, by the bucket's part: its version, and what else it had written
        self._made: dict[str, tuple[int, list[tuple[str, int | None]]]] = {}

    def note(self, kind: Kind, model_id: str) -> None:
        self._latest += 1
        self._versions[kind, _bucket(model_id)] = self._latest

    def parts(self, models: Mapping[str, ModelState]) -> Iterable[Part]:
        """Of every bucket, its own part and those that never change again."""
        buckets: dict[int, list[ModelState]] = {}
        for model_id in sorted(models):
            buckets.setdefault(_bucket(model_id), []).append(models[model_id])
        made = dict[str, tuple[int, list[tuple[str, int | None]]]]()
        given = dict[str, Part]()
        for bucket, members in buckets.items():
            for kind in _KINDS:
                name, version = f"{kind}/{bucket}", self._versions.get((kind, bucket), 0)
                before = self._made.get(name)
                again = _Again(partial(_captured, kind, name, version, members))
                if before is not None and before[0] == version:
                    parts = [again.part(*of) for of in before[1]]
                    made[name] = before
                else:
                    known = {*before[1]} if before is not None else set()
                    now = {(p.name, p.version): p for p in _captured(kind, name, version, members)}
                    parts = [again.part(*of) if of in known else p for of, p in now.items()]
                    made[name] = version, [*now]
                for part in parts:  # groups may share one: a reference that was inherited
                    given.setdefault(part.name, part)
        self._made = made
        return given.values()

    def restore(self, latest: int, state: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
        """Arrivals by model, each with the monitors stored for it."""
        self._latest = latest
        found: dict[str, dict[str, Any]] = {}
        for kind in _KINDS:
            for name in sorted(name for name in state if name.startswith(f"{kind}/")):
                plain = decode(state[name])
                version = self._versions[kind, int(name.partition("/")[2])] = plain["version"]
                made = self._made[name] = version, [(name, version)]
                if kind == "monitors":
                    monitors = [one for of in plain["models"].values() for one in of]
                    made[1].extend((part, 0) for one in monitors for part in names_apart(one))
                for model_id, of_model in plain["models"].items():
                    found.setdefault(model_id, {})[kind] = of_model
        return found

    @property
    def latest(self) -> int:
        return self._latest


def _captured(kind: Kind, name: str, version: int, members: Iterable[ModelState]) -> list[Part]:
    plain: dict[str, Callable[[], Any]] = {}
    apart: list[Part] = []
    for model in members:
        if kind == "arrivals":
            plain[model.model_id] = model.arrivals()
            continue
        # one after the other: what all of them say takes several times what they hold
        said = list[bytes]()
        for monitor in model.monitors.seen():
            held = monitor.snapshot()
            said.append(bytes(cramjam.zstd.compress(encoded(held.to_plain()), _LEVEL)))
            apart += held.parts()
        plain[model.model_id] = partial(_raw, said)

    def body() -> bytes:
        return encode({"version": version, "models": {m: made() for m, made in plain.items()}})

    return [Part(name, version, body), *apart]


def _raw(said: Iterable[bytes]) -> list[msgspec.Raw]:
    return [msgspec.Raw(bytes(cramjam.zstd.decompress(one))) for one in said]


class _Again:
    """Parts that have not changed, captured once somebody asks for one."""

    def __init__(self, capture: Callable[[], list[Part]]) -> None:
        self._capture = capture
        self._parts: dict[str, Part] | None = None

    def part(self, name: str, version: int | None) -> Part:
        return Part(name, version, None, partial(self._pack, name))

    def _pack(self, name: str) -> Callable[[], bytes]:
        if self._parts is None:
            self._parts = {part.name: part for part in self._capture()}
        return self._parts[name].captured()


def restore_model(
    model: ModelState, found: dict[str, Any], sealed: Sealed, by_hash: Mapping[str, Rules]
) -> None:
    """Raises ChangedRulesError."""
    model.restore(found["arrivals"], [sealed.held(plain) for plain in found["monitors"]], by_hash)


def of_version_1(data: bytes) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The stage's own state and its models', from the one part that 0.1.0 wrote."""
    plain: dict[str, Any] = unpack(_MAGIC, 1, data)
    reached = {source: cohort_ms for source, _, cohort_ms in plain["reached"]}
    found: dict[str, dict[str, Any]] = {}
    for model_id, saved in plain["models"].items():
        learned = {
            source: None if cohort_ms >= reached.get(source, cohort_ms + 1) else cohort_ms
            for source, cohort_ms in saved["learned"].items()
        }
        arrivals = saved | {"learned": learned, "applied": [], "delays_applied": {}}
        found[model_id] = {"arrivals": arrivals, "monitors": arrivals.pop("monitors")}
    for place in plain["applied"]:
        found[place[2][0]]["arrivals"]["applied"].append(place)
    for source, model_id, end in plain["delays_applied"]:
        found[model_id]["arrivals"]["delays_applied"][source] = end
    inbox = {name: plain[name] for name in ("announced", "reached", "fragments", "listener")}
    base = {"inbox": inbox, "speaker": plain["speaker"], "progress": plain["progress"]}
    return base | {"changes": 0}, found


def _bucket(model_id: str) -> int:
    return zlib.crc32(model_id.encode()) % BUCKETS
