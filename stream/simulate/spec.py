"""What to simulate, as a file or a command line says it. Every error at once, with its path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from stream.setting_types import Duration, PositiveDuration, ms
from stream.simulate.catalogue import MODELS, faults_of
from stream.simulate.deployment import LAST_MS, SKILL, Deployment
from stream.simulate.fault import Fault
from stream.simulate.fault_text import FaultText, parse_fault, parse_number
from stream.simulate.traffic import DAY_MS, Traffic

_PER_MS = {"s": 1e-3, "m": 1 / 60e3, "min": 1 / 60e3, "h": 1 / 3.6e6, "d": 1 / DAY_MS}
_LATEST = timedelta(days=3_650)


class SpecError(ValueError):
    """What is wrong, a line each."""


def parse_rate(text: object) -> float:
    """`10/s`, `1/min`, `5/h` as requests a millisecond. Raises ValueError for anything else.

    >>> parse_rate("10/s")
    0.01
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/(s|m|min|h|d)", str(text).strip())
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is no rate: write 10/s, 1/min or 5/h")
    return float(match[1]) * _PER_MS[match[2]]


def _share(value: object) -> object:
    return parse_number(value) if isinstance(value, str) else value


Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_share)]
Rate = Annotated[float, BeforeValidator(parse_rate)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bursts(_Section):
    """Now and then the rate is a multiple of itself."""

    per_day: float = Field(default=0.0, ge=0, le=1_000)
    factor: float = Field(default=5.0, ge=0, le=1_000)
    length: PositiveDuration = timedelta(minutes=5)


class TrafficSpec(_Section):
    """Requests of each model. Amplitudes are shares of the rate."""

    rate: Rate = Field(default=0.01)
    daily: Share = 0.0
    weekly: Share = 0.0
    bursts: Bursts = Bursts()

    def traffic(self) -> Traffic:
        return Traffic(
            per_ms=self.rate,
            daily=self.daily,
            weekly=self.weekly,
            bursts_per_day=self.bursts.per_day,
            burst_factor=self.bursts.factor,
            burst_ms=ms(self.bursts.length),
        )


class Labels(_Section):
    """Where not given, as the model has it."""

    median: PositiveDuration | None = None  # until an outcome is observed
    never: Share | None = None


class VersionSpec(_Section):
    """A version that runs: the first is the champion, the others take their shares from it."""

    version: str = Field(min_length=1)
    share: Share = 1.0
    role: str = Field(default="champion", min_length=1)
    since: Duration | None = None  # of the run
    until: Duration | None = None
    skill: float = Field(default=SKILL, ge=0, lt=1)
    latency: float = Field(default=1.0, gt=0)

    def deployment(self, start_ms: int) -> Deployment:
        return Deployment(
            version=self.version,
            share=self.share,
            role=self.role,
            since_ms=0 if self.since is None else start_ms + ms(self.since),
            until_ms=LAST_MS if self.until is None else start_ms + ms(self.until),
            skill=self.skill,
            latency=self.latency,
        )


class Spec(_Section):
    """One simulation. The same spec, the same bytes."""

    seed: int = Field(default=7, ge=0)
    start: datetime = datetime.fromisoformat("2026-01-01T00:00:00Z")
    length: PositiveDuration = timedelta(days=30)
    models: tuple[str, ...] = Field(default=("fraud",), min_length=1)
    traffic: TrafficSpec = TrafficSpec()
    labels: Labels = Labels()
    versions: tuple[VersionSpec, ...] = Field(default=(VersionSpec(version="7"),), min_length=1)
    training: int = Field(default=0, ge=0, le=10_000_000)  # requests of before the start
    faults: tuple[FaultText, ...] = ()

    @field_validator("faults", mode="before")
    @classmethod
    def _parsed(cls, given: object) -> object:
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise ValueError("write a list of faults")  # noqa: TRY004 pydantic wants ValueError
        return tuple(each if isinstance(each, FaultText) else parse_fault(each) for each in given)

    @field_validator("models")
    @classmethod
    def _known(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        for name in models:
            if name not in MODELS:
                raise ValueError(f"no model {name!r}: there is {', '.join(MODELS)}")
        if len(set(models)) < len(models):
            raise ValueError("a model is named twice")
        return models

    @model_validator(mode="after")
    def _whole(self) -> Spec:
        if self.start.tzinfo is None:
            raise ValueError("start: a time with an offset, such as 2026-01-01T00:00:00Z")
        if self.length > _LATEST:
            raise ValueError("length: ten years at most")
        if self.versions[0].role == "shadow" or self.versions[0].share < 1:
            raise ValueError(
                "versions: the first takes what the others do not: no share, no shadow"
            )
        self.faults_of_models()
        for fault in self.faults:
            if fault.onset_ms >= ms(self.length):
                raise ValueError(f"faults: {fault.kind} begins after the end")
        return self

    @property
    def start_ms(self) -> int:
        return round(self.start.timestamp() * 1000)

    @property
    def end_ms(self) -> int:
        return self.start_ms + ms(self.length)

    def deployments(self) -> list[Deployment]:
        return [version.deployment(self.start_ms) for version in self.versions]

    def faults_of_models(self) -> dict[str, list[Fault]]:
        """New faults, which have touched nothing yet, by model."""
        champion = self.deployments()[0]
        return faults_of(self.faults, dict.fromkeys(self.models, champion), self.start_ms)


def read_spec(file: Path | None, given: dict[str, Any]) -> Spec:
    """The file's content, and what is given instead of it (faults: beside it).

    Raises SpecError for what cannot be read, and for every part that is wrong.
    """
    content: dict[str, Any] = {}
    if file is not None:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise SpecError(f"{file}: {error}") from None
        if not isinstance(content, dict):
            raise SpecError(f"{file}: not a mapping of settings")
    traffic = {**content.get("traffic", {}), **given.pop("traffic", {})}
    labels = {**content.get("labels", {}), **given.pop("labels", {})}
    faults = [*content.get("faults", []), *given.pop("faults", [])]
    merged = {**content, "traffic": traffic, "labels": labels, "faults": faults, **given}
    try:
        return Spec.model_validate(merged)
    except ValidationError as invalid:
        raise SpecError("\n".join(map(_line, invalid.errors()))) from None


def _line(error: Any) -> str:
    path = ".".join(map(str, error["loc"]))
    message = "unknown key" if error["type"] == "extra_forbidden" else error["msg"]
    message = message.removeprefix("Value error, ")
    return f"{path}: {message}" if path else message
