"""What checkpoints write: a state that grows is not written over and over."""

from __future__ import annotations

import asyncio

from tests.bench.checkpoints import measure


def test_a_growing_state_is_written_about_once_and_every_two_seconds() -> None:
    found = asyncio.run(measure(5_000, 40))
    written_mb = found.bytes_per_s * found.seconds / 1e6
    assert found.state_mb > 10
    assert written_mb < 2.5 * found.state_mb
    assert found.longest_s <= 3


def test_a_bound_below_what_the_state_grows_by_is_kept_by_waiting() -> None:
    found = asyncio.run(measure(5_000, 60, bound=100_000))
    last = found.checkpoints[-1][1]
    assert found.bytes_per_s * found.seconds - last <= 60 * 100_000
    assert found.longest_s > 10
