"""How many of the judged predictions of a group were labelled, and how late their labels were."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.monitor_told import LabelStatus, MonitorFinding
from stream.panes import PaneTable
from stream.recent_rows import RecentRows

DELAY = "outcome:delay_ms"


class LabelCounts:
    def __init__(self, labelled: int = 0, rows: int = 0) -> None:
        self._labelled, self._rows = labelled, rows

    def count(self, run: PaneTable, findings: list[MonitorFinding]) -> None:
        """Cohorts; what they let us find is told with the coverage as of its pane."""
        labelled = self._labelled + np.cumsum(run.features[DELAY].number)
        rows = self._rows + np.cumsum(run.rows)
        for finding in findings:
            if finding.detail is not None and finding.verdict == "drift":
                at = int(np.searchsorted(run.pane_end, finding.pane_end_ms))
                covered = float(f"{int(labelled[at]) / int(rows[at]):.6g}")
                finding.detail["impact"]["label_coverage"] = covered
        self._labelled, self._rows = int(labelled[-1]), int(rows[-1])

    def status(self, recent: RecentRows) -> LabelStatus:
        """The delay is of the recent ones."""
        column = recent.column(DELAY)
        delays = np.zeros(0) if column is None else column.numbers()[1]
        p50, p90 = None, None
        if len(delays):
            p50, p90 = map(int, np.quantile(delays, [0.5, 0.9], method="inverted_cdf").tolist())
        return LabelStatus(self._labelled, self._rows, p50, p90)

    def snapshot(self) -> dict[str, Any]:
        return {"rows": self._rows, "labelled": self._labelled}
