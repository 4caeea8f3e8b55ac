"""Which tests a module's mutants must survive: quick ones that come near it."""

from __future__ import annotations

_JOIN = (
    "tests/stream/test_join_model.py",
    "tests/stream/test_outcome_join.py",
    "tests/stream/test_sorted_runs.py",
    "tests/stream/test_source_stage.py",
    "tests/stream/test_maturity.py",
    "tests/stream/test_identity.py",
    "tests/stream/test_golden.py",
)
_PANES = (
    "tests/stream/test_pane_parts.py",
    "tests/stream/test_panes.py",
    "tests/stream/test_wide_panes.py",
    "tests/stream/test_grouped_rows.py",
    "--deselect=tests/stream/test_panes.py::test_ks_of_samples_lies_within_the_bound_that_k_promises",
)
_CHECKPOINT = (
    "tests/stream/test_checkpoint_forms.py",
    "tests/stream/test_checkpoint.py",
    "tests/stream/test_blobs.py",
    "tests/stream/test_golden.py",
)
PLAN: dict[str, tuple[str, ...]] = {
    "watermark": ("tests/stream/test_watermark.py",),
    "panes": _PANES,
    "feature_table": _PANES,
    "feature_tables": _PANES,
    "pane_features": _PANES,
    "outcome_join": (*_JOIN, "tests/stream/test_judgement.py", "tests/stream/test_performance.py"),
    "pending": _JOIN,
    "waiting_outcomes": _JOIN,
    "sorted_runs": _JOIN,
    "run": _JOIN,
    "checkpoint": _CHECKPOINT,
    "blobs": _CHECKPOINT,
}
