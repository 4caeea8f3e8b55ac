"""A state of megabytes, made by many checkpoints, is restored; the long form measures 200 MB."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.recovery import measure_on

pytestmark = pytest.mark.kafka


def test_a_state_of_megabytes_is_restored_from_blobs_of_many_checkpoints(
    kafka: str, tmp_path: Path
) -> None:
    found = asyncio.run(measure_on(tmp_path, kafka, megabytes=8, starts=1))
    assert found.megabytes >= 8
    assert found.written_mb < 1.5 * found.megabytes, "eight checkpoints, and hardly a part twice"
    assert found.beyond_s < 60, "the worker was ready: how soon is for the long form"
