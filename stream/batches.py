"""How much the values of a series know of each other, from batches of panes of what is gathered.

A threshold for independent values is broken many times over where they depend. τ, the variance of
a sum against that of independent values, is measured from each provisional reference to the next,
on the scores and bins of the former; for the first one, from the panes that it is made of. Where
it cannot be told from 1, it is 1; else its upper bound. Where a tenth of all columns say otherwise,
the dependence is the traffic's, and the others take their estimates.

So few values say little of what each column depends by, and nothing of what has not happened yet.
What they say together is known earlier (`common_tau`), and holds for all that is compared with
what is only provisional.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.dependence import common_ratio, variance_ratio
from stream.pane_evidence import Evidence
from stream.panes import Ints
from stream.sum_rows import SumRows
from stream.units import Key, is_fault

BATCHES = 40  # from a provisional reference to its doubling
FEWEST = 20  # from which a variance can be told
_BY_CHANCE = 2.6  # standard deviations of a measured τ of 1: a column in 200 is beyond it
_SHARED = 0.1  # of the columns


def taus_of(x: Ints, n: Ints, xx: Ints) -> NDArray[np.float64]:
    """τ of each column, from panes or batches of panes: shape (panes, columns) each."""
    found = [variance_ratio(n[:, c], x[:, c], xx[:, c]) for c in range(x.shape[1])]
    batches = np.array([max(one.batches, 2) for one in found])
    estimate = np.array([one.estimate for one in found])
    upper = np.array([one.upper for one in found])
    beyond = estimate > 1.0 + _BY_CHANCE * np.sqrt(2.0 / (batches - 1))
    is_shared = beyond.mean() > _SHARED
    others = np.maximum(estimate, 1.0) if is_shared else np.ones(len(found))
    return np.where(beyond & np.isfinite(upper), upper, others)


def shares_of_all(n: Ints, shapes: Iterable[tuple[Ints, int]]) -> Ints:
    """`n`, where categories that have values in too few panes are shares of all there are: what
    hardly knows any has hardly any of the others to say how these depend. `shapes`: columns of the
    categories of a feature, and that of all values."""
    for at, of_all in shapes:
        if np.count_nonzero(n[:, at[0]]) < FEWEST:
            n = n.copy()
            n[:, at] = n[:, [of_all]]
    return n


def upper_taus_of(x: Ints, n: Ints, xx: Ints, unmeasured: float) -> NDArray[np.float64]:
    """The upper bounds of the same, whether or not they can be told from 1; `unmeasured`: of
    columns in too few panes."""
    upper = np.array([variance_ratio(n[:, c], x[:, c], xx[:, c]).upper for c in range(x.shape[1])])
    return np.where(np.isfinite(upper), upper, unmeasured)


def common_tau(columns: Mapping[Key, Ints], x: Ints, n: Ints, xx: Ints) -> float:
    """Of all values together: of panes or batches of panes, (panes, columns)."""
    values = [at for (_, measure), at in columns.items() if not is_fault(measure)]
    if not values:
        return 1.0
    at = np.concatenate(values)
    return common_ratio(n[:, at], x[:, at], xx[:, at])


class Batches:
    def __init__(self, rows: int = 1, *, is_deployed: bool = False) -> None:
        """`rows`: of what has been gathered when this begins; as many again are to come.
        `is_deployed`: beside a law that was deployed. A pane that is more than a batch of it says
        what it has to say by its size: to wait for twenty of them would be to see nothing in all
        that time."""
        self._size = max(rows // BATCHES, 1)
        self._is_deployed = is_deployed
        self._rows = 0
        self._sums = SumRows(3)  # x, n, xx

    def add(self, evidence: Evidence, rows: Ints) -> None:
        """Panes and their rows; a pane belongs to the batch in which it begins."""
        place = (self._rows + np.cumsum(rows) - rows) // self._size
        self._rows += int(rows.sum())
        starts = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
        whole = np.stack([evidence.x, evidence.n, evidence.xx])
        self._sums.add(place[starts], np.add.reduceat(whole, starts, axis=1))

    def sums(self) -> tuple[Ints, Ints, Ints] | None:
        """x, n, xx of the batches that are full; None: there are too few to tell."""
        full = self._rows // self._size
        if min(full, len(self._sums)) < FEWEST:
            return None
        x, n, xx = self._sums.sums(self._sums.columns)[:, :full]
        # a pane may be more than a batch: the others have nothing then
        is_told = self._is_deployed or np.count_nonzero(n.any(axis=1)) >= FEWEST
        return (x, n, xx) if is_told else None

    def snapshot(self) -> list[Any]:
        of_deployed = [True] if self._is_deployed else []
        return [self._size, self._rows, self._sums.snapshot(), *of_deployed]

    @classmethod
    def restore(cls, plain: list[Any]) -> Batches:
        batches = cls(is_deployed=len(plain) > 3)
        batches._size, batches._rows, sums = plain[:3]
        batches._sums = SumRows.restore(3, sums)
        return batches
