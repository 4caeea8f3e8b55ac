"""`leeway reference build --of`: a version's reference of its training data, in a file.

Rows of training and validation files are in any order, and there are as many as there are: so they
are sorted by time, run through the worker's own stages, and all panes of a version are sealed as
one reference. A line of the file is for people, and for `leeway reference deploy`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from stream.backtest_files import values_of
from stream.cli_output import FAILURE, USAGE, say, tell
from stream.columns import Group
from stream.deployment import Deployment, of_source, sealed, terms
from stream.event_columns import FEATURE_SET
from stream.events import EventTime, Records
from stream.judgement import DELAY
from stream.pane_kinds import PaneKind, is_judged
from stream.panes import PaneTable
from stream.pipeline import RELEASE_EVERY, Pipeline
from stream.profile import Profile
from stream.reference import Reference
from stream.reference_builder import ReferenceBuilder
from stream.renewals import Renewal
from stream.rules import CHAMPION, HOUR_MS, SEASON_HOURS, Rules
from stream.season import SeasonGathering
from stream.settings import Settings
from stream.source_stage import Side
from stream.times import to_ms

_CHUNK = 4_096  # lines
_FIRST = 2**62  # predictions: no provisional reference is wanted


class _Timed(msgspec.Struct):
    predicted_at: EventTime | None = None
    observed_at: EventTime | None = None


@dataclass
class _Gathered:
    """All panes of a group and kind, in order."""

    builder: ReferenceBuilder
    season: SeasonGathering | None
    labelled: int = 0
    rows: int = 0

    def add(self, panes: PaneTable, kind: PaneKind) -> None:
        if FEATURE_SET in panes.features:
            panes = panes.without({FEATURE_SET})
        self.builder.add(panes, _FIRST)
        self.rows += int(panes.rows.sum())
        if self.season is not None:
            self.season.add(panes)
        if is_judged(kind) and DELAY in panes.features:
            self.labelled += int(panes.features[DELAY].number.sum())


@dataclass
class _Builders:
    rules: Rules
    has_outcomes: bool
    found: dict[tuple[PaneKind, Group], _Gathered] = field(default_factory=dict)

    def observe(self, kind: PaneKind, group: Group, panes: PaneTable) -> None:
        if group[2] != CHAMPION or (is_judged(kind) and not self.has_outcomes):
            return
        of = self.found.get((kind, group))
        if of is None:
            hours = SEASON_HOURS[self.rules.season_of(group[0])]
            season = SeasonGathering(hours, self.rules.max_categories) if hours else None
            builder = ReferenceBuilder(self.rules.reference_of(group[0]), self.rules)
            of = self.found[kind, group] = _Gathered(builder, season)
        of.add(panes, kind)

    def sealed(self, source: str) -> Iterator[Reference]:
        """Raises ValueError where one would not do."""
        rules = self.rules
        for (kind, group), of in sorted(self.found.items(), key=lambda one: (one[0][1], one[0][0])):
            who = " v".join(group[:2])
            if of.rows < rules.minimum_values:
                if group[3]:
                    continue  # the segment gathers its own
                raise ValueError(
                    f"{who}: {of.rows} {kind}s; a reference takes {rules.minimum_values}"
                )
            if is_judged(kind) and not of.labelled:
                raise ValueError(
                    f"{who}: no outcome was there at the age at which {kind}s are judged: "
                    "`observed_at` must be within the model's `maturity` of `predicted_at`"
                )
            reference = of_source(of.builder.seal(group, kind), source)
            if of.season is not None:
                profile = Profile(reference, rules.minimum_values, rules.max_categories)
                seasons = of.season.find(profile).seasons
                cycles_ms = 2 * SEASON_HOURS[rules.season_of(group[0])] * HOUR_MS
                if not seasons or reference.end_ms - reference.start_ms < cycles_ms:
                    raise ValueError(
                        f"{who}: season is {rules.season_of(group[0])}, and these rows say nothing "
                        "of its hours: they need their own times, over two cycles or more"
                    )
                reference = replace(reference, seasons=seasons)
            yield reference


def build(
    settings: Settings, predictions: list[Path], outcomes: list[Path], *, source: str, out: Path
) -> int:
    """A line for each kind of panes of each version. Returns the exit code."""
    rules = settings.rules()
    try:
        references = [*_built(rules, predictions, outcomes, source.strip())]
    except (OSError, ValueError) as error:
        say(str(error))
        return USAGE
    if not references:
        say("no prediction of a champion could be read: are these the events that Leeway reads?")
        return FAILURE
    with out.open("wb") as file:
        for reference in references:
            file.write(msgspec.json.encode(_line(reference, rules)) + b"\n")
            model_id, version, _, segment = reference.group
            tell(f"{reference.id} {model_id} {version} {reference.kind} {segment}".rstrip())
    return 0


def _built(
    rules: Rules, predictions: list[Path], outcomes: list[Path], source: str
) -> Iterator[Reference]:
    if not source:
        raise ValueError("--of: what the files hold, such as training")
    builders = _Builders(rules, bool(outcomes))
    pipeline = Pipeline(rules, 1, observe=builders.observe, release_every=RELEASE_EVERY)
    last_ms = 0
    for side, paths in (("predictions", predictions), ("outcomes", outcomes)):
        last_ms = max(last_ms, _feed(pipeline, side, paths))  # type: ignore[arg-type]
    matured_ms = [_matured_ms(rules, model_id) for model_id in ["", *rules.models]]
    pipeline.end_of_input(last_ms + max(matured_ms) + rules.grace_ms + rules.pane_ms)
    for dead in pipeline.dead_letters[:5]:
        say(f"{dead.letter.topic}: {dead.letter.reason}: {dead.letter.detail}")
    left_out = len(pipeline.dead_letters) + pipeline.ledger()["total"]["predictions"]["duplicate"]
    if left_out:
        say(f"{left_out} lines, those with an id that was there before too, are in no reference")
    yield from builders.sealed(source)
    models = {group[0] for _, group in builders.found}
    auto = sorted(m for m in models if outcomes and rules.maturity_of(m) == "auto")
    if auto:
        raise ValueError(
            f"maturity of {', '.join(auto)} is auto: outcomes can be compared once models."
            f"{auto[0]}.maturity says at which age (or leave --outcomes out)"
        )


def _matured_ms(rules: Rules, model_id: str) -> int:
    maturity = rules.maturity_of(model_id)
    return maturity if isinstance(maturity, int) else 0


def _feed(pipeline: Pipeline, side: Side, paths: list[Path]) -> int:
    """All lines by their times; the latest of these."""
    lines: list[tuple[float, bytes]] = []
    decoder = msgspec.json.Decoder(_Timed)
    for path in paths:
        lines += [(_time_ms(decoder, v, side), v) for v in values_of(path) if v.strip()]
    lines.sort(key=lambda line: line[0])  # stable: of one time, as they are in the files
    for start in range(0, len(lines), _CHUNK):
        chunk = lines[start : start + _CHUNK]
        records = Records(
            topic=side,
            partition=0,
            offsets=[*range(start, start + len(chunk))],
            timestamps_ms=[None] * len(chunk),
            values=[line[1] for line in chunk],
        )
        (pipeline.predictions if side == "predictions" else pipeline.outcomes)(records)
    return int(lines[-1][0]) if lines and math.isfinite(lines[-1][0]) else 0


def _time_ms(decoder: msgspec.json.Decoder[_Timed], value: bytes, side: Side) -> float:
    """What has none comes first, and says so as a dead letter."""
    try:
        timed = decoder.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return -math.inf
    time = timed.predicted_at if side == "predictions" else timed.observed_at
    return -math.inf if time is None else to_ms(time)


# -- the file


class _Deployable(msgspec.Struct):
    sealed: bytes
    built: dict[str, Any]


class _Line(msgspec.Struct):
    model: dict[str, str]
    deploy: _Deployable | None = None


_lines: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)


def _line(reference: Reference, rules: Rules) -> dict[str, Any]:
    built = terms([(reference.kind, reference.group[3])], reference.group[0], rules)
    return reference.describe() | {"deploy": {"sealed": sealed(reference), "built": built}}


def read_references(path: Path) -> list[Renewal]:
    """Of each version in it. Raises OSError and ValueError."""
    parts: dict[tuple[str, str], list[_Deployable]] = {}
    for number, value in enumerate(path.read_bytes().splitlines(), 1):
        try:
            line = _lines.decode(value)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}:{number}: not a reference: {error}") from None
        if line.deploy is None:
            raise ValueError(
                f"{path}:{number}: not to be deployed: build it with --of training, say"
            )
        parts.setdefault((line.model["id"], line.model["version"]), []).append(line.deploy)
    found = []
    for (model_id, version), of in parts.items():
        references = tuple(one.sealed for one in of)
        Deployment(references).must_be_of(model_id, version)
        built: dict[str, Any] = {}
        for one in of:
            built |= one.built
        found.append(Renewal(0, model_id, version, references, built))
    return found
