"""Ranges of topics: what is not there any more is refused."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from stream.history import HistoryError
from stream.topic_reader import must_be_there

TP = TopicPartition("t", 1)


@pytest.mark.parametrize("start", [3, 5, 9])
def test_offsets_between_the_first_and_the_end_can_be_gone_on_from(start: int) -> None:
    must_be_there(TP, start, 3, 9)


@pytest.mark.parametrize(
    ("start", "says"),
    [(2, "retention has deleted the records from offset 2 to 2"), (10, "ends at offset 9")],
)
def test_offsets_deleted_or_beyond_the_end_are_refused(start: int, says: str) -> None:
    with pytest.raises(HistoryError, match=f"t partition 1.*{says}"):
        must_be_there(TP, start, 3, 9)
