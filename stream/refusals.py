"""What a worker refuses to go on with: it stops, and says what is wrong and what a person can do.

A restart by itself mends none of these. Others are `CheckpointError` (checkpoint) and
`ChangedRulesError` (snapshot).
"""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """The message is for a person, one line; no trace is wanted."""


class LostRecordsError(Refusal):
    """Records were deleted before they were read."""


class OvertakenError(Refusal):
    """A partition is assigned here and claimed elsewhere, and stays so."""


class PartitionCountError(Refusal):
    """A topic has another number of partitions than the configuration says."""


class TruncatedTopicError(Refusal):
    """A topic has lost records behind what was read, or was made anew."""


class UnannouncedConfigError(Refusal):
    """The configuration is neither in force nor announced, or it cannot follow the one in force."""


class UnreadableRecordError(Refusal):
    """A record of an internal topic is damaged, or of a build that this one does not know."""


def lost(topic: str, partition: int, offset: int, earliest: int) -> LostRecordsError:
    return LostRecordsError(
        f"{topic} partition {partition}: offsets {offset} to {earliest - 1} are no longer there: "
        "retention deleted them before they were applied. Restore the topic, or accept the loss "
        "for one start with checkpoint.accept_lost_records: true (the records are counted in "
        "leeway_lost_records_total and missing in every later replay too)"
    )


def out_of_range(topic: str, partition: int, offset: int) -> TruncatedTopicError:
    return TruncatedTopicError(
        f"{topic} partition {partition} has no offset {offset} (any more): retention deleted "
        "records that were not yet applied, or the topic was made anew. Start the worker again: "
        "it says which records are missing; if it stops with this again, restore the topic, or "
        "start afresh with another `app`"
    )


def truncated(tp: Any, offset: int, read_to: int) -> TruncatedTopicError:
    return TruncatedTopicError(
        f"{tp.topic} partition {tp.partition} was read up to offset {read_to} and now begins "
        f"again at {offset}: the topic was made anew or has lost records. Its state does not "
        "belong to these records: restore the topic, or start afresh with another `app`"
    )


def made_anew(topic: str, was: str, is_now: str) -> TruncatedTopicError:
    return TruncatedTopicError(
        f"{topic} was made anew (its id was {was} and is {is_now}). The state does not belong to "
        "its records: start afresh with another `app`"
    )


def journal_began_again(stage: int, partition: int, was: int, is_now: int) -> TruncatedTopicError:
    return TruncatedTopicError(
        f"stage {stage} partition {partition} has a checkpoint of epoch {was}, and its newest "
        f"claim is at offset {is_now} of the journal: the journal was made anew or has lost "
        "records. Restore it, or start afresh with another `app`"
    )


def partition_count(topic: str, has: int, needs: int) -> PartitionCountError:
    return PartitionCountError(
        f"topic {topic} has {has} partitions now, and partitions is {needs}: records dealt to "
        "partitions by the one count cannot be joined by the other. Move to new topics, see "
        "README, Changing the partition count"
    )


def unreadable(topic: str, partition: int, offset: int, why: object) -> UnreadableRecordError:
    return UnreadableRecordError(
        f"{topic} partition {partition} offset {offset}: {why}. It is not skipped: run the build "
        "that wrote it, restore the topic, or start afresh with another `app`"
    )
