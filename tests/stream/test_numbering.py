"""Records between stages: each taken once, none behind a gap, and of the newest epoch only."""

from __future__ import annotations

from random import Random

import pytest

from stream.numbering import Listener, Speaker
from stream.snapshot import BrokenRecordError


def said(count: int, *, partition: int = 0, epoch: int = 0) -> list[bytes]:
    speaker = Speaker(partition)
    speaker.epoch = epoch
    return [speaker.say(0, b"%d/%d" % (epoch, i)) for i in range(count)]


def heard(listener: Listener, values: list[bytes]) -> list[bytes]:
    return [record for value in values if (record := listener.hear(value)) is not None]


def test_what_comes_twice_is_heard_once() -> None:
    values = said(4)
    assert heard(Listener(), [*values, *values[1:], *values]) == [b"0/0", b"0/1", b"0/2", b"0/3"]


def test_nothing_behind_a_lost_record_is_heard_until_a_successor_says_it_again() -> None:
    listener, values = Listener(), said(5)
    assert heard(listener, [*values[:2], *values[3:]]) == [b"0/0", b"0/1"]
    assert heard(listener, said(3, epoch=7)) == [b"7/0", b"7/1", b"7/2"]


def test_what_a_replaced_owner_still_says_is_not_heard() -> None:
    listener = Listener()
    assert heard(listener, said(1, epoch=7)) == [b"7/0"]
    assert heard(listener, said(3, epoch=6)) == []


def test_speakers_and_listeners_are_numbered_apart() -> None:
    speaker, one, other = Speaker(3), Listener(), Listener()
    to_one = [speaker.say(0, b"a"), speaker.say(0, b"b")]
    to_other = [speaker.say(1, b"c")]
    assert heard(one, [*to_one, *said(1, partition=4)]) == [b"a", b"b", b"0/0"]
    assert heard(other, to_other) == [b"c"]


@pytest.mark.parametrize("seed", range(20))
def test_any_loss_and_repetition_leaves_a_prefix_and_restoring_changes_nothing(seed: int) -> None:
    random, speaker, listener = Random(seed), Speaker(0), Listener()
    sent: list[bytes] = []
    for i in range(30):
        restored = Speaker(0)
        restored.restore(speaker.snapshot())
        speaker = restored
        sent.append(speaker.say(0, b"%d" % i))
    lost = random.randrange(30)
    delivered = [v for i, v in enumerate(sent) if i != lost for _ in range(random.choice((1, 2)))]
    found = []
    for value in delivered:
        fresh = Listener()
        fresh.restore(listener.snapshot())
        listener = fresh
        found += heard(listener, [value])
    assert found == [b"%d" % i for i in range(lost)]


def test_bytes_that_are_no_numbered_record_are_refused() -> None:
    for value in (b"", b"N", b"A" * 40, b"N\x09" + b"\0" * 40):
        with pytest.raises(BrokenRecordError):
            Listener().hear(value)
