"""When requests come: a rate, its season, its bursts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.simulate.draws import Draws

Times = npt.NDArray[np.float64]
Factor = Callable[[Times], npt.NDArray[np.float64]]
"""Event times (ms) to what the rate is multiplied by there."""

DAY_MS = 86_400_000
BLOCK_REQUESTS = 16_384  # about that many are made at once
BLOCK_MAX_MS = 14 * DAY_MS
STEPS = 4_096  # of a block, at least: within one step the rate is constant
STEP_MAX_MS = 60_000


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests a millisecond, and how that varies. Amplitudes are shares of the rate."""

    per_ms: float
    daily: float = 0.0  # busiest at 15:00 UTC, quietest at 03:00
    weekly: float = 0.0  # quietest as Saturday turns into Sunday
    bursts_per_day: float = 0.0
    burst_factor: float = 5.0
    burst_ms: int = 300_000

    @property
    def block_ms(self) -> int:
        """The length of a block. It depends on the rate alone, so no fault can move a block."""
        return int(min(max(BLOCK_REQUESTS / self.per_ms, 1_000), BLOCK_MAX_MS))

    def season(self, times_ms: Times) -> npt.NDArray[np.float64]:
        """The rate's factor at these times, bursts left out; 1 on average over a week."""
        day = 2 * np.pi * ((times_ms - 15 * 3_600_000) / DAY_MS)
        week = 2 * np.pi * ((times_ms / DAY_MS - 6.5) / 7)  # the epoch was a Thursday
        found: npt.NDArray[np.float64] = (1 + self.daily * np.cos(day)) * (
            1 + self.weekly * np.cos(week)
        )
        return found

    def arrivals(
        self, draws: Draws, start_ms: int, source: str = "", factor: Factor | None = None
    ) -> Times:
        """Poisson arrivals in the block that begins at start_ms: sorted whole ms, as floats.

        A source draws by itself; its factor multiplies the rate. O(n log n).
        """
        steps = max(STEPS, -(-self.block_ms // STEP_MAX_MS))
        edges = start_ms + np.linspace(0.0, self.block_ms, steps + 1)
        middles = (edges[:-1] + edges[1:]) / 2
        rate = self.per_ms * self.season(middles) * self._bursts(draws, middles)
        if factor is not None:
            rate = rate * factor(middles)
        total = np.concatenate([[0.0], np.cumsum(rate * np.diff(edges))])
        draw = draws("arrivals", source, start_ms)
        count = draw.poisson(total[-1])
        if not count:
            return np.empty(0)
        found: Times = np.floor(np.interp(np.sort(draw.random(count)) * total[-1], total, edges))
        return found

    def _bursts(self, draws: Draws, times_ms: Times) -> npt.NDArray[np.float64]:
        """Every day's bursts are drawn for that day, so that blocks agree on them."""
        factor = np.ones(len(times_ms))
        if not self.bursts_per_day:
            return factor
        first = int(times_ms[0] - self.burst_ms) // DAY_MS
        for day in range(first, int(times_ms[-1]) // DAY_MS + 1):
            draw = draws("bursts", day)
            count = draw.poisson(self.bursts_per_day)
            for start in (day + draw.random(count)) * DAY_MS:
                factor[(times_ms >= start) & (times_ms < start + self.burst_ms)] = self.burst_factor
        return factor
