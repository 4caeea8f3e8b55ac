"""What a monitor tells: findings for stage 3, and where its series and labels stand for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stream.columns import Group
from stream.pane_kinds import PaneKind
from stream.wire import Verdict


@dataclass(frozen=True, slots=True)
class MonitorFinding:
    pane_end_ms: int
    series: str
    alertname: str
    detail: dict[str, Any] | None  # None: nothing more than the verdict
    verdict: Verdict = "drift"
    because: str = ""  # of a quiet one: why it ends, where it is not well again
    reference: str = ""  # of a quiet one: the sealed reference by which it is well again


@dataclass(frozen=True, slots=True)
class SeriesStatus:
    """For metrics: `score` reaches `threshold` when the detector tells."""

    group: Group
    series: str
    detector: str
    score: float
    threshold: float
    firing: bool


@dataclass(frozen=True, slots=True)
class LabelStatus:
    """How many of the judged predictions were labelled, and how late their labels were."""

    labelled: int
    judged: int
    delay_p50_ms: int | None
    delay_p90_ms: int | None


@dataclass(frozen=True, slots=True)
class MonitorStatus:
    """What a monitor answers to whoever asks where it stands."""

    group: Group
    kind: PaneKind
    refused_features: int
    of_series: list[SeriesStatus]
    of_labels: LabelStatus | None

    def status(self) -> list[SeriesStatus]:
        return self.of_series

    def labels(self) -> LabelStatus:
        assert self.of_labels is not None, self.kind
        return self.of_labels
