"""Makes car_loan.npz from the public wheel it came from.

    pip download --no-deps nannyml==0.13.1
    python -m stream.demo.pack nannyml-0.13.1-py3-none-any.whl car_loan.npz

Doubles are stored as byte planes (all first bytes, all second bytes, ...): the planes of sign and
exponent compress, the others cannot. Nothing is rounded; every column is checked as it is packed.
"""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.demo import car_loan

FOLDER = "nannyml/datasets/data/synthetic_car_loan_"


def _rows(wheel: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    with wheel.open(f"{FOLDER}{name}.csv") as file:
        return list(csv.DictReader(io.TextIOWrapper(file, "utf-8")))


def _exact(
    texts: list[str], dtype: npt.DTypeLike, scale: float = 1.0
) -> npt.NDArray[np.integer[Any]]:
    """The texts as integers of dtype, refused where integer / scale is not the very double."""
    doubles = np.array([float(text) for text in texts])
    integers = np.rint(doubles * scale).astype(dtype)
    if not np.array_equal((integers / scale).view(np.int64), doubles.view(np.int64)):
        raise ValueError(f"not exactly integers of {dtype} / {scale}")
    return integers


def _planes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    rows = values.shape[0]
    return np.ascontiguousarray(values.view(np.uint8).reshape(rows, -1).T)


def _codes(texts: list[str]) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.uint8]]:
    categories, codes = np.unique(np.array(texts), return_inverse=True)
    return categories, codes.astype(np.uint8)


def columns_of(wheel_path: Path) -> dict[str, Any]:
    """The packed arrays. Raises ValueError where the data is not as car_loan.py expects it."""
    with zipfile.ZipFile(wheel_path) as wheel:
        rows = _rows(wheel, "reference") + _rows(wheel, "analysis")
        targets = {row["id"]: row["repaid"] for row in _rows(wheel, "analysis_target")}
    if [int(row["id"]) for row in rows] != list(range(car_loan.ROWS)):
        raise ValueError("ids are not 0, 1, 2, ...")
    times_ms = np.array([np.datetime64(row["timestamp"], "ms") for row in rows]).astype(np.int64)
    if not np.array_equal(times_ms, car_loan.predicted_at_ms(np.arange(car_loan.ROWS))):
        raise ValueError("timestamps are not a fixed step")

    def texts(name: str) -> list[str]:
        return [row[name] for row in rows]

    salary_texts, salary = _codes(texts("salary_range"))
    downpayment_texts, downpayment = _codes(texts("size_of_downpayment"))
    repaid = [row.get("repaid") or targets[row["id"]] for row in rows]
    return {
        "car_value": _planes(_exact(texts("car_value"), "<u4"))[:3],  # all below 2**24
        "salary_range": salary,
        "salary_range_texts": salary_texts,
        "debt_to_income_ratio": _planes(np.array(texts("debt_to_income_ratio")).astype("<f8")),
        "loan_length": _exact(texts("loan_length"), np.uint8),
        "repaid_loan_on_prev_car": np.array(texts("repaid_loan_on_prev_car")) == "True",
        "size_of_downpayment": downpayment,
        "size_of_downpayment_texts": downpayment_texts,
        "driver_tenure": _planes(np.array(texts("driver_tenure")).astype("<f8")),
        "y_pred_proba_percent": _exact(texts("y_pred_proba"), np.uint8, scale=100.0),
        "y_pred": _exact(texts("y_pred"), np.uint8),
        "repaid": _exact(repaid, np.uint8),
    }


def main() -> int:
    if len(sys.argv) != 3:
        sys.stderr.write("usage: python -m stream.demo.pack NANNYML_WHEEL OUT.npz\n")
        return 2
    np.savez_compressed(sys.argv[2], **columns_of(Path(sys.argv[1])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
