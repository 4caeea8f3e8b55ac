"""The car-loan data: 100,000 predictions of one classifier, drifting at row 75,000.

README.md of this folder says where it comes from and what is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

ROWS = 100_000
DRIFT_ROW = 75_000
START_MS = 1_514_764_800_000  # 2018-01-01T00:00:00Z
STEP_MS = 523_152

FEATURES = (
    "car_value",
    "salary_range",
    "debt_to_income_ratio",
    "loan_length",
    "repaid_loan_on_prev_car",
    "size_of_downpayment",
    "driver_tenure",
)
UNCHANGED_FEATURES = ("debt_to_income_ratio", "driver_tenure", "size_of_downpayment")


def predicted_at_ms(rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """Event times of the rows: one prediction every 523.152 s."""
    return START_MS + STEP_MS * rows.astype(np.int64)


@dataclass(frozen=True, slots=True)
class CarLoan:
    """Columns of equal length, one entry a prediction, in event-time order."""

    features: dict[str, npt.NDArray[Any]]  # by name, in the order of FEATURES
    score: npt.NDArray[np.float64]  # probability of repayment, y_pred_proba
    label: npt.NDArray[np.uint8]  # y_pred
    repaid: npt.NDArray[np.uint8]  # the outcome

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        wrong: npt.NDArray[np.bool_] = self.label != self.repaid
        return wrong


def load() -> CarLoan:
    """All rows, every value the very double, integer or text of the source. Takes about 50 ms."""
    file = resources.files(__package__).joinpath("car_loan.npz")
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as packed:
        return CarLoan(
            features={
                "car_value": _integers(packed["car_value"]).astype(np.float64),
                "salary_range": packed["salary_range_texts"][packed["salary_range"]],
                "debt_to_income_ratio": _doubles(packed["debt_to_income_ratio"]),
                "loan_length": packed["loan_length"].astype(np.float64),
                "repaid_loan_on_prev_car": packed["repaid_loan_on_prev_car"],
                "size_of_downpayment": packed["size_of_downpayment_texts"][
                    packed["size_of_downpayment"]
                ],
                "driver_tenure": _doubles(packed["driver_tenure"]),
            },
            score=packed["y_pred_proba_percent"] / 100.0,
            label=packed["y_pred"],
            repaid=packed["repaid"],
        )


def _doubles(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Byte planes, shape (8, rows), least significant first, to doubles, shape (rows,)."""
    return np.ascontiguousarray(planes.T).view("<f8")[:, 0].astype(np.float64)


def _integers(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Byte planes, shape (bytes, rows), least significant first, to integers, shape (rows,)."""
    weights = np.int64(256) ** np.arange(planes.shape[0], dtype=np.int64)
    return weights @ planes.astype(np.int64)
