"""What every detector takes and gives: vectors of weighted updates in, changes out."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

State = dict[str, Any]
"""A snapshot: plain Python numbers, strings and lists, and numpy arrays."""

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Change:
    """One detection inside a vector of updates, in the units of the values.

    `before` is the older sub-window or the reference, `after` what came since.
    Variances are population variances (divided by the weight, not by weight - 1).
    """

    index: int  # position in the vector given to update_many
    statistic: float  # ADWIN: |mean0 - mean1|; Page-Hinkley: cumulative deviation; rates: CUSUM
    threshold: float  # what the statistic reached or exceeded
    direction: Direction
    before_mean: float
    before_weight: int
    before_variance: float
    after_mean: float
    after_weight: int
    after_variance: float
    weight_since_change: int  # estimated number of values since the change


class Detector(Protocol):
    """Numbers in, changes out.

    A detector holds no time, keys or randomness: its state is a function of the updates alone,
    so cutting the vector of updates anywhere, or restoring a snapshot in between, changes nothing.
    """

    def update_many(self, *columns: Any, **named_columns: Any) -> list[Change]:
        """Feed columns of equal length; changes come back in ascending `index`."""

    def snapshot(self) -> State:
        """Everything needed to go on later: parameters and state."""

    @classmethod
    def restore(cls, state: State) -> Self:
        """The detector that `snapshot` described; it goes on exactly as the original would."""
