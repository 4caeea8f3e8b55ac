"""References that are deployed with a version: of its training or validation data, say.

Whoever deploys the version announces them on `leeway.control`, sealed, so that every worker and
every replay has the very same. The version is compared with them from its first prediction on.
What training data cannot know is left out of them (how long answers and outcomes take), or is
learned from the live ones: how much values depend, how many predictions come.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from stream.frozen_table import FrozenTable
from stream.judgement import DELAY
from stream.objective_watch import LATENCY
from stream.pane_kinds import PaneKind, checked_kind, further_age_of, is_judged
from stream.plain_panes import table_from_plain
from stream.profile import Profile
from stream.reference import VERSION, Reference
from stream.rules import SEASON_HOURS, Rules
from stream.snapshot import BrokenRecordError, formed, unpack
from stream.wire_forms import array, checked_table, fields

LARGEST_BYTES = 64_000_000  # of one reference, when it is not compressed
_UNKNOWN = frozenset({DELAY, LATENCY})
_LEVEL = 9  # written once


def of_source(reference: Reference, source: str) -> Reference:
    """The same, of what the source can know."""
    table = reference.table.without(_UNKNOWN & reference.table.features.keys())
    seasons = {name: of for name, of in reference.seasons.items() if name not in _UNKNOWN}
    values = {name: of for name, of in reference.values.items() if name not in _UNKNOWN}
    frozen = FrozenTable(table)
    return replace(reference, frozen=frozen, values=values, seasons=seasons, source=source)


def sealed(reference: Reference) -> bytes:
    return zlib.compress(reference.encode(), _LEVEL)


def opened(data: bytes) -> Reference:
    """Inverse of `sealed`. Raises BrokenRecordError."""
    inflate = zlib.decompressobj()
    try:
        encoded = inflate.decompress(data, LARGEST_BYTES)
    except zlib.error as error:
        raise BrokenRecordError(f"a sealed reference cannot be read: {error}") from None
    if not inflate.eof:
        raise BrokenRecordError(f"a sealed reference of more than {LARGEST_BYTES:,} bytes, or cut")
    return formed(b"R", _checked, unpack(b"R", VERSION, encoded))


def _checked(plain: Any) -> Reference:
    """It is to be one that panes can be compared with, whoever wrote it."""
    fields(plain["group"], str, str, str, str)
    fields([plain["start_ms"], plain["end_ms"], plain.get("source")], int, int, str)
    checked_table(table_from_plain(plain["table"]))
    reference = Reference.from_plain(plain)
    if not reference.source:
        raise BrokenRecordError("a reference that was not built to be deployed")
    if checked_kind(reference.kind) in {"pair", "trial"}:
        raise BrokenRecordError(f"a reference of {reference.kind}s")
    if len(reference.table) != 1 or not 0 <= reference.start_ms < reference.end_ms:
        raise BrokenRecordError("a reference is one pane")
    for feature in reference.table.features.values():
        each = [int(of[0]) for of in (feature.number, feature.text, feature.null, feature.other)]
        if min(each) < 0 or sum(each) > reference.count:
            raise BrokenRecordError("a feature with other counts than its rows allow")
    for values in reference.values.values():
        distinct = array(values.distinct, np.float64)
        counts = array(values.counts, np.int64, len(distinct))
        if not (len(distinct) and (distinct[1:] > distinct[:-1]).all() and (counts > 0).all()):
            raise BrokenRecordError("values of a sample that do not rise")
    for season in reference.seasons.values():
        if len(array(season.mean, np.int64)) not in SEASON_HOURS.values():
            raise BrokenRecordError("a season of other hours")
        fields([season.x, season.xx, season.tau, season.unknown], int, int, float, int)
    profile = Profile(reference, 1, len(reference.table.texts) + 1)
    for name in reference.frozen.names:
        profile.number(name), profile.text(name)
    return reference


@dataclass(frozen=True)
class Deployment:
    """Sealed references of one version, one for each kind of panes and segment."""

    sealed: tuple[bytes, ...]

    @cached_property
    def references(self) -> Mapping[tuple[PaneKind, str], Reference]:
        """By kind and segment. Raises BrokenRecordError."""
        opened_ones = [opened(one) for one in self.sealed]
        return {(one.kind, one.group[3]): one for one in opened_ones}

    def must_be_of(self, model_id: str, version: str) -> None:
        """Raises BrokenRecordError."""
        of = self.references
        if len(of) < len(self.sealed):
            raise BrokenRecordError("two references of the same kind and segment")
        for reference in of.values():
            if reference.group[:2] != (model_id, version):
                named = " v".join(reference.group[:2])
                raise BrokenRecordError(f"a reference of {named}, not of {model_id} v{version}")

    def misfits(self, built: Mapping[str, Any], model_id: str, rules: Rules) -> list[str]:
        """Why live predictions cannot be compared with these under these rules; empty: they can."""
        if not rules.knows(model_id):
            return [f"no model {model_id!r} in this configuration"]
        now = terms(self.references, model_id, rules)
        found = [
            f"{name}: built with {built.get(name)}, and {model_id} has {value} here"
            for name, value in now.items()
            if built.get(name) != value
        ]
        if now.get("maturity_ms") == "auto":
            found = [one for one in found if not one.startswith("maturity_ms")]
            found.append(
                "maturity is auto here: outcomes can be compared once "
                f"models.{model_id}.maturity says at which age they were judged"
            )
        few = [of for of in self.references.values() if of.count < rules.minimum_values]
        found += [f"{of.count} {of.kind}s are fewer than {rules.minimum_values}" for of in few]
        maturity = rules.maturity_of(model_id)
        ages = rules.ages_of(model_id, maturity if isinstance(maturity, int) else None)
        further = {further_age_of(kind) for kind, _ in self.references} - {None}
        found += [f"ages: none of {model_id} is {age} ms here" for age in sorted(further - {*ages})]  # type: ignore[type-var]
        return found


def terms(kinds: Iterable[tuple[PaneKind, str]], model_id: str, rules: Rules) -> dict[str, Any]:
    """What must be the same where references are built and where they are compared with."""
    of = list(kinds)
    found: dict[str, Any] = {
        "season": rules.season_of(model_id),
        "categories": rules.max_categories,
    }
    if any(is_judged(kind) for kind, _ in of):
        model = rules.model(model_id)
        found |= {"maturity_ms": rules.maturity_of(model_id)}
        found |= {"classes": model.classes, "costs": model.costs}
    if any(segment for _, segment in of):
        found["segments"] = rules.segments_of(model_id)
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
    return plain
