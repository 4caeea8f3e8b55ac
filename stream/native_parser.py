"""The columns that the native parser fills, where it was built; the same as `typed_columns` makes.

It reads the records that it is certain about and names the places of the others. The extension is
an accelerated twin and nothing else: what a record means, and why it is refused, is in `records`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream import native
from stream.columns import FEATURE, Column, text_shown
from stream.event_columns import OutcomeColumns, PredictionColumns, Said, Segments, Shape
from stream.judgement import HAS_VALUE, label_flags
from stream.rules import Rules

Places = NDArray[np.int64]


def prediction_columns(
    values: list[bytes | None], rules: Rules
) -> tuple[PredictionColumns, Places]:
    """Of the records that it is certain about, and the places of the others."""
    limits = rules.max_record_bytes, rules.max_features
    made = native.EXTENSION.predictions(values, *limits, rules.has_segments)
    place, time, hashes, group, label, value, score, latency, shape, asked, *shared = made
    texts, text_hashes, are_values, groups, shapes, kind, bits, sets, *more = shared
    of_segments, segments, is_one_shape = more
    codes = np.frombuffer(label, np.int64)
    of_text = np.frombuffer(text_hashes, np.uint64)
    said = Said(
        has_label=codes >= 0,
        label=_hashes(codes, of_text),
        score=np.frombuffer(score, np.float64),
        value=np.frombuffer(value, np.float64),
        latency_ms=np.frombuffer(latency, np.float64),
        feature_set=_hashes(_padded(sets, len(codes)), of_text) if sets else None,
    )
    keys = [tuple(texts[code] for code in _codes(key)) for key in groups]
    cells = np.frombuffer(kind, np.uint8), np.frombuffer(bits, np.uint64)
    of_shapes = [_codes(key) for key in shapes]
    columns = PredictionColumns(
        np.frombuffer(time, np.int64),
        np.frombuffer(place, np.int64),
        np.frombuffer(hashes, np.uint64).reshape(-1, 2),
        np.frombuffer(group, np.int64),
        [(model, version, role, "") for model, version, role in keys],
        said,
        [_whole_shape(len(codes), of_shapes[0], texts, cells, said)]
        if is_one_shape
        else _shapes(np.frombuffer(shape, np.int64), of_shapes, texts, cells, said),
        {
            (code := int(of_text[i])): text_shown(texts[i], code)
            for i in np.flatnonzero(np.frombuffer(are_values, np.bool_)).tolist()
        },
        Segments(
            _padded(of_segments, len(codes)), [_segment(_codes(key), texts) for key in segments]
        )
        if rules.has_segments
        else None,
    )
    return columns, np.frombuffer(asked, np.int64)


def outcome_columns(values: list[bytes | None], rules: Rules) -> tuple[OutcomeColumns, Places]:
    """As `prediction_columns`."""
    made = native.EXTENSION.outcomes(values, rules.max_record_bytes)
    place, time, hashes, model, label, value, revision, retracted, asked, *shared = made
    texts, text_hashes, are_labels, models, *_ = shared
    flags = np.zeros(len(texts) + 1, np.uint8)  # the last is of code -1, no label
    for i in np.flatnonzero(np.frombuffer(are_labels, np.bool_)).tolist():
        flags[i] = label_flags(texts[i])
    codes, numbers = np.frombuffer(label, np.int64), np.frombuffer(value, np.float64)
    columns = OutcomeColumns(
        np.frombuffer(time, np.int64),
        np.frombuffer(place, np.int64),
        np.frombuffer(hashes, np.uint64).reshape(-1, 2),
        np.frombuffer(model, np.int64),
        [texts[_codes(key)[0]] for key in models],
        revision=np.frombuffer(revision, np.int64),
        retracted=np.frombuffer(retracted, np.bool_),
        has=flags[codes] | ~np.isnan(numbers) * np.uint8(HAS_VALUE),
        label=_hashes(codes, np.frombuffer(text_hashes, np.uint64)),
        value=np.where(np.isnan(numbers), 0.0, numbers),
    )
    return columns, np.frombuffer(asked, np.int64)


def _codes(key: bytes) -> list[int]:
    codes: list[int] = np.frombuffer(key, np.int32).tolist()
    return codes


def _padded(codes: bytes, rows: int) -> NDArray[np.int64]:
    """-1 for the rows behind the last that was read since one had any."""
    made = np.full(rows, -1, np.int64)
    given = np.frombuffer(codes, np.int32)[:rows]
    made[: len(given)] = given
    return made


def _segment(pairs: list[int], texts: Sequence[str]) -> dict[str, str]:
    return {texts[name]: texts[value] for name, value in zip(pairs[::2], pairs[1::2], strict=True)}


def _hashes(codes: Places, of_text: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """0 where the code is -1."""
    return np.append(of_text, np.uint64(0))[codes]


def _whole_shape(
    count: int,
    key: list[int],
    texts: list[str],
    cells: tuple[NDArray[np.uint8], NDArray[np.uint64]],
    said: Said,
) -> Shape:
    """Of all rows, whose cells lie column by column."""
    given, *names = key
    kinds, bits = cells[0].reshape(len(names), count), cells[1].reshape(len(names), count)
    return _shape(np.arange(count), given, [texts[name] for name in names], (kinds, bits), said)


def _shapes(
    of_row: Places,
    keys: Sequence[list[int]],
    texts: list[str],
    cells: tuple[NDArray[np.uint8], NDArray[np.uint64]],
    said: Said,
) -> list[Shape]:
    """Cells lie row by row: those of a shape are a matrix, and its columns the columns of that."""
    widths = np.array([len(key) - 1 for key in keys], np.int64)
    starts = np.zeros(len(of_row), np.int64)
    starts[1:] = np.cumsum(widths[of_row])[:-1]
    order = np.argsort(of_row, kind="stable")
    ends = np.searchsorted(of_row[order], np.arange(len(keys)), "right")
    shapes = []
    for code, (given, *names) in enumerate(keys):
        rows = order[0 if code == 0 else ends[code - 1] : ends[code]]
        if not len(rows):
            continue  # its only record was given up after all
        of_rows = starts[rows] + np.arange(len(names))[:, np.newaxis]
        matrices = cells[0][of_rows], cells[1][of_rows]
        shapes.append(_shape(rows, given, [texts[name] for name in names], matrices, said))
    return shapes


def _shape(
    rows: Places,
    given: int,
    names: Sequence[str],
    cells: tuple[NDArray[np.uint8], NDArray[np.uint64]],
    said: Said,
) -> Shape:
    """Of cells, (features, rows) each."""
    columns = {
        f"{FEATURE}{name}": Column(kind, bits)
        for name, kind, bits in zip(names, *cells, strict=True)
    }
    ordered = {name: columns[name] for name in sorted(columns)}
    return Shape(rows, ordered | said.measures(rows, given))
