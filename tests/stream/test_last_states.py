"""Which word on `alerts.state` is the newest, and what is written again where an older one stands
last."""

from __future__ import annotations

import json
from random import Random

import pytest

from stream.last_states import LastStates
from stream.worker_routes import Outgoing, Sender, alert_headers

K = b"fingerprint"


def word(minute: int, sequence: int, starts: int = 0) -> bytes:
    """An alert as far as it matters here: evaluated at that minute."""
    times = {
        "evaluated_at": f"2026-11-23T10:{minute:02}",
        "starts_at": f"2026-11-23T09:{starts:02}",
    }
    return json.dumps({**times, "sequence": sequence}).encode()


FIRING, RESOLVED, AGAIN = word(1, 1), word(5, 2), word(9, 1, starts=30)


def headers(epoch: int, app: str = "leeway") -> dict[str, bytes]:
    return dict(alert_headers(1, Sender("w", 0, epoch, 0), app))


def record(value: bytes, epoch: int) -> Outgoing:
    return Outgoing("leeway.alerts.state", None, K, value, tuple(headers(epoch).items()))


def owner(epoch: int = 18) -> LastStates:
    states = LastStates("leeway")
    states.own(epoch)
    return states


def stale(states: LastStates) -> list[bytes]:
    return [state.value for _, state in states.take_stale()]


def test_an_older_word_that_stands_last_is_followed_by_the_newest_again() -> None:
    states = owner()
    states.heard(K, FIRING, headers(11))
    states.heard(K, RESOLVED, headers(17))
    assert stale(states) == []
    states.heard(K, FIRING, headers(11))
    assert stale(states) == [RESOLVED]
    assert stale(states) == [], "once"


def test_a_higher_epoch_that_began_before_and_died_has_not_said_the_newest() -> None:
    states = owner(7)
    states.heard(K, FIRING, headers(2))
    states.heard(K, RESOLVED, headers(2))
    states.heard(K, FIRING, headers(5))
    assert stale(states) == [RESOLVED]


def test_the_sequence_does_not_make_a_state_newer_a_new_alert_begins_at_one_again() -> None:
    states = owner()
    states.heard(K, RESOLVED, headers(17))
    states.heard(K, AGAIN, headers(17))
    states.heard(K, RESOLVED, headers(11))
    assert stale(states) == [AGAIN]


def test_a_newer_word_behind_an_older_one_needs_nothing() -> None:
    states = owner()
    for epoch, value in ((17, RESOLVED), (11, FIRING), (18, RESOLVED)):
        states.heard(K, value, headers(epoch))
    assert not states.has_stale


def test_an_own_older_word_is_not_stale_the_newer_one_is_on_its_way() -> None:
    states = owner()
    states.said(record(FIRING, 18))
    states.said(record(RESOLVED, 18))
    states.heard(K, FIRING, headers(18))
    assert not states.has_stale
    states.heard(K, FIRING, headers(11))
    assert stale(states) == [RESOLVED], "or the older own word would be written behind it"


def test_a_replaced_owner_puts_nothing_right_behind_its_successor() -> None:
    states = owner(11)
    states.heard(K, RESOLVED, headers(11))
    states.heard(K, FIRING, headers(18))
    assert stale(states) == []


def test_another_apps_records_and_tombstones_are_left_alone() -> None:
    states = owner()
    states.heard(K, RESOLVED, headers(17))
    states.heard(K, FIRING, headers(11, app="other"))
    assert not states.has_stale
    states.heard(K, FIRING, headers(11))
    assert not states.has_stale, "what stood before another app's record is forgotten"
    states.heard(K, None, {})
    states.heard(K, FIRING, headers(5))
    assert not states.has_stale


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"sequence": 1}'])
def test_what_is_no_alert_is_older_than_any(value: bytes) -> None:
    states = owner()
    states.heard(K, RESOLVED, headers(17))
    states.heard(K, value, headers(11))
    assert stale(states) == [RESOLVED]
    states.heard(K, value, {})
    assert not states.has_stale, "nobody's"


def test_under_a_new_epoch_all_is_read_again() -> None:
    states = owner(18)
    states.said(record(RESOLVED, 18))
    states.own(25)
    states.heard(K, FIRING, headers(11))
    assert not states.has_stale, "the topic says what epoch 18 said, from its beginning"
    states.heard(K, RESOLVED, headers(18))
    states.heard(K, FIRING, headers(11))
    assert stale(states) == [RESOLVED]


TRUTH = [word(minute, 1 + minute % 2, starts=minute // 2) for minute in range(8)]


@pytest.mark.parametrize("seed", range(300))
def test_whatever_the_order_of_late_records_the_last_word_becomes_the_truths(seed: int) -> None:
    """Former owners say stretches of the truth, in any order among each other, up to where the
    owner goes on, or further; the owner says the rest."""
    random = Random(seed)
    begins_at = random.randint(0, len(TRUTH))
    queues = {epoch: _stretch(random, begins_at) for epoch in (5, 11)}
    queues[2] = TRUTH[:begins_at]  # acknowledged before the checkpoint that the owner goes on from
    queues[18] = TRUTH[begins_at:]
    states, topic = owner(18), list[bytes]()
    for value in queues[18]:  # handed to the producer; they reach the broker when they do
        states.said(record(value, 18))
    while any(queues.values()):
        epoch = random.choice([epoch for epoch, queue in queues.items() if queue])
        topic.append(queues[epoch].pop(0))
        states.heard(K, topic[-1], headers(epoch))
        if random.random() < 0.5:
            for value in stale(states):
                states.said(record(value, 18))
                queues[18].append(value)
    topic += stale(states)
    assert topic[-1] == TRUTH[-1]


def _stretch(random: Random, least: int) -> list[bytes]:
    first = random.randint(0, least)
    return TRUTH[first : random.randint(first, len(TRUTH))]
