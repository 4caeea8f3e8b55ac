"""Units that begin anew while panes are walked: their bank is told of all at once.

A bank lays out its constants for all of its series together, so to begin twenty units anew one by
one takes twenty times as long as all at once. Nobody sees that it waits: before a unit is asked
for, the bank knows.
"""

from __future__ import annotations

import numpy as np

from detectors.cusum_bank import CusumBank
from stream.proven import MixedBank
from stream.unit_columns import UnitColumns
from stream.unit_tilts import Terms, tilts_of
from stream.units import Key


class Restarts:
    def __init__(self, bank: CusumBank | MixedBank, columns: UnitColumns) -> None:
        self.bank, self._columns = bank, columns
        self._waiting: dict[Key, Terms] = {}

    def begin(self, key: Key, terms: Terms) -> None:
        """This unit, on these terms."""
        self._waiting[key] = terms

    def bank_of(self, key: Key) -> CusumBank | MixedBank:
        """Where this unit is as it is to be."""
        if key in self._waiting:
            self.settle()
        return self.bank

    def settle(self) -> None:
        """All that wait."""
        if self._waiting:
            columns = np.concatenate([self._columns[key] for key in self._waiting])
            self.bank.restart(columns, tilts_of(list(self._waiting.values())))
            self._waiting = {}
