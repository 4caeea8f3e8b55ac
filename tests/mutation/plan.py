"""Which tests a module's mutants must survive: quick ones that come near it, strongest first."""

from __future__ import annotations

PLAN: dict[str, tuple[str, ...]] = {
    "watermark": ("tests/stream/test_watermark.py",),
    "panes": (
        "tests/stream/test_pane_parts.py",
        "tests/stream/test_panes.py",
        "--deselect=tests/stream/test_panes.py::test_ks_of_samples_lies_within_the_bound_that_k_promises",
    ),
    "open_panes": ("tests/stream/test_source_stage.py", "tests/stream/test_panes.py"),
}
