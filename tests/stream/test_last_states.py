"""Whose word on `alerts.state` counts, and what is written again where an older one stands last."""

from __future__ import annotations

from random import Random

import pytest

from stream.last_states import LastStates
from stream.worker_routes import Outgoing, Sender, alert_headers

K = b"fingerprint"


def headers(epoch: int, sequence: int = 1, app: str = "leeway") -> dict[str, bytes]:
    return dict(alert_headers(sequence, Sender("w", 0, epoch, 0), app))


def record(value: bytes, epoch: int, sequence: int = 1) -> Outgoing:
    return Outgoing("leeway.alerts.state", None, K, value, tuple(headers(epoch, sequence).items()))


def owner(epoch: int = 18) -> LastStates:
    states = LastStates("leeway")
    states.own(epoch)
    return states


def stale(states: LastStates) -> list[bytes]:
    return [state.value for _, state in states.take_stale()]


def test_an_older_epoch_that_stands_last_is_followed_by_the_newest_again() -> None:
    states = owner()
    states.heard(K, b"firing", headers(11))
    states.heard(K, b"resolved", headers(17, 2))
    assert stale(states) == []
    states.heard(K, b"firing", headers(11))
    assert stale(states) == [b"resolved"]
    assert stale(states) == [], "once"


def test_the_sequence_does_not_make_a_state_newer_a_new_alert_begins_at_one_again() -> None:
    states = owner()
    states.heard(K, b"resolved", headers(17, 2))
    states.heard(K, b"firing again", headers(17, 1))
    states.heard(K, b"late", headers(11, 2))
    assert stale(states) == [b"firing again"]


def test_what_a_newer_epoch_said_behind_the_older_one_needs_nothing() -> None:
    states = owner()
    for epoch in (17, 11, 18):
        states.heard(K, b"", headers(epoch))
    assert not states.has_stale


def test_an_own_word_on_its_way_is_newer_than_what_is_read() -> None:
    states = owner()
    states.said(record(b"one", 18))
    states.said(record(b"two", 18, 2))
    states.heard(K, b"one", headers(18))
    states.heard(K, b"late", headers(11))
    assert stale(states) == [b"two"], "or the older own word would be written behind it"


def test_a_replaced_owner_puts_nothing_right_behind_its_successor() -> None:
    states = owner(11)
    states.heard(K, b"the successor's", headers(18))
    states.heard(K, b"mine", headers(11))
    assert stale(states) == []


def test_another_apps_records_and_tombstones_are_left_alone() -> None:
    states = owner()
    states.heard(K, b"ours", headers(17))
    states.heard(K, b"theirs", headers(11, app="other"))
    assert not states.has_stale
    states.heard(K, b"ours", headers(11))
    assert not states.has_stale, "what stood before another app's record is forgotten"
    states.heard(K, None, {})
    states.heard(K, b"ours", headers(5))
    assert not states.has_stale


def test_under_a_new_epoch_all_is_read_again() -> None:
    states = owner(18)
    states.said(record(b"mine", 18))
    states.own(25)
    states.heard(K, b"late", headers(11))
    assert not states.has_stale, "the topic says what epoch 18 said, from its beginning"
    states.heard(K, b"mine", headers(18))
    states.heard(K, b"late", headers(11))
    assert stale(states) == [b"mine"]


@pytest.mark.parametrize("seed", range(200))
def test_whatever_the_order_of_late_records_the_last_word_becomes_the_newest_owners(
    seed: int,
) -> None:
    random = Random(seed)
    queues = {epoch: [b"%d-%d" % (epoch, n) for n in range(4)] for epoch in (5, 11, 18)}
    states = owner(18)
    topic: list[tuple[int, bytes]] = []

    def read() -> None:
        epoch, value = topic[-1]
        states.heard(K, value, headers(epoch))

    for value in queues[18]:  # handed to the producer; they reach the broker when they do
        states.said(record(value, 18))
    while any(queues.values()):
        epoch = random.choice([epoch for epoch, queue in queues.items() if queue])
        topic.append((epoch, queues[epoch].pop(0)))
        read()
        if random.random() < 0.5:
            for value in stale(states):
                states.said(record(value, 18))
                queues[18].append(value)
    topic += [(18, value) for value in stale(states)]
    assert topic[-1] == (18, b"18-3")
