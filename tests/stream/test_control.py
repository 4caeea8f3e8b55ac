"""The control topic: the end of the input, new references."""

from __future__ import annotations

import pytest

from stream.control import ControlError, EndOfInput, decode, encode, must_name_inputs
from stream.notices import Notice
from stream.renewals import Renewal

END = EndOfInput(1_700_000_000_123, {"p": {0: 5, 3: 7}, "o": {0: 2}})


def test_an_end_of_input_comes_back() -> None:
    assert decode(encode(END)) == END


def test_its_time_may_be_rfc_3339_with_any_offset() -> None:
    text = b'{"type":"end_of_input","effective_at":"2023-11-14T23:13:20.123+01:00","offsets":{}}'
    assert decode(text) == EndOfInput(1_700_000_000_123, {})


def test_a_partition_has_ended_when_all_its_topics_are_there() -> None:
    assert not END.is_reached(0, {"p": 5, "o": 1})
    assert END.is_reached(0, {"p": 5, "o": 2})
    assert END.is_reached(1, {"p": 0, "o": 0}), "a partition it does not name is empty"


@pytest.mark.parametrize("version", [None, "42"])
def test_an_acceptance_of_a_reference_comes_back(version: str | None) -> None:
    renewal = Renewal(1_700_000_000_123, "fraud", version)
    assert decode(renewal.encode()) == renewal


@pytest.mark.parametrize("at_ms", [None, 1_700_000_000_123])
def test_an_acknowledgement_comes_back_and_holds_at_once_where_no_time_is_given(
    at_ms: int | None,
) -> None:
    notice = Notice("acknowledgement", at_ms, incident_id="i-1", by="ann", note="on it")
    assert decode(notice.encode()) == notice


@pytest.mark.parametrize(
    "value",
    [
        b'{"type":"acknowledgement","by":"ann"}',
        b'{"type":"acknowledgement","by":"ann","alert_id":"a","fingerprint":"f"}',
        b'{"type":"acknowledgement","alert_id":"a"}',
        b'{"type":"acknowledgement","alert_id":"a","by":"ann","effective_at":-1}',
    ],
)
def test_an_acknowledgement_of_nothing_or_by_nobody_is_refused(value: bytes) -> None:
    with pytest.raises(ControlError):
        decode(value)


def test_what_was_retrained_and_what_happened_in_the_business_come_back() -> None:
    for notice in (
        Notice("retrained", 5, model_id="m", model_version="2"),
        Notice("retrained", None, model_id="m"),
        Notice("business_event", 5, model_id="m", name="prices", by="sales"),
    ):
        assert decode(notice.encode()) == notice
    for value in (b'{"type":"retrained"}', b'{"type":"business_event","model_id":"m"}'):
        with pytest.raises(ControlError):
            decode(value)


def test_other_types_are_not_for_this_build() -> None:
    assert decode(b'{"type":"promoted","effective_at":1,"model_id":"m"}') is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b'{"type":"end_of_input","offsets":{}}',
        b'{"type":"end_of_input","effective_at":"2023-11-14T22:13:20","offsets":{}}',
        b'{"type":"end_of_input","effective_at":1,"offsets":{"p":{"zero":1}}}',
        b'{"type":"end_of_input","effective_at":1,"offsets":{"p":{"0":"1"}}}',
        b'{"type":"end_of_input","effective_at":1,"offsets":{"p":{"0":-1}}}',
        b'{"type":"end_of_input","effective_at":-1,"offsets":{}}',
        b'{"type":"end_of_input","effective_at":7258118400000,"offsets":{}}',
        b'{"type":"end_of_input","effective_at":"0001-01-01T00:00:00+23:59"}',
        b'{"type":"reference","effective_at":1}',
        b'{"type":"reference","model_id":"m"}',
        b'{"type":"reference","effective_at":1,"model_id":"m","model_version":""}',
        b'{"type":"retrained","note":' + b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_malformed_is_said_to_be(value: bytes) -> None:
    with pytest.raises(ControlError):
        decode(value)


@pytest.mark.parametrize(
    ("offsets", "why"),
    [
        ({"p": {0: 5}}, "offsets are of p, and the inputs are p, o"),
        ({"p": {0: 5}, "outcome": {0: 2}}, "offsets are of outcome, p"),
        ({"p": {0: 5}, "o": {}, "q": {}}, "offsets are of o, p, q"),
        ({"p": {0: 5}, "o": {4: 2}}, "offsets of partition 4: there are 4"),
        ({}, "offsets are of none"),
    ],
)
def test_an_end_that_does_not_name_the_inputs_is_refused_not_reached(
    offsets: dict[str, dict[int, int]], why: str
) -> None:
    with pytest.raises(ControlError, match=why):
        must_name_inputs(EndOfInput(1, offsets), ("p", "o"), 4)


def test_an_end_that_names_the_inputs_may_leave_out_empty_partitions() -> None:
    must_name_inputs(END, ("p", "o"), 4)
