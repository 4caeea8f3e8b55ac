"""Records of the control topic: the end of the input, configurations, new references, notices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, get_args

import msgspec

from stream.deployment import Deployment
from stream.events import LATEST_MS
from stream.notices import Notice, NoticeType
from stream.renewals import Renewal
from stream.rule_book import ConfigChange
from stream.times import to_ms

Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class ControlError(ValueError):
    """A control record that cannot be understood."""


class _Record(msgspec.Struct):
    type: str
    effective_at: datetime | int | None = None
    offsets: dict[str, dict[str, Offset]] = {}
    config_hash: str = ""
    rules: dict[str, Any] = {}
    model_id: str = ""
    model_version: str | None = None
    alert_id: str = ""
    incident_id: str = ""
    fingerprint: str = ""
    name: str = ""
    by: str = ""
    note: str = ""
    references: list[bytes] = []
    built: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(_Record)


@dataclass(frozen=True, slots=True)
class EndOfInput:
    """After these offsets (next offset by topic and partition) nothing more will come."""

    event_time_ms: int
    offsets: Mapping[str, Mapping[int, int]]

    def is_reached(self, partition: int, positions: Mapping[str, int]) -> bool:
        """Whether a source partition, with these next offsets by topic, has applied it all."""
        return all(
            position >= self.offsets.get(topic, {}).get(partition, 0)
            for topic, position in positions.items()
        )


def must_name_inputs(end: EndOfInput, topics: Collection[str], partitions: int) -> None:
    """Raises ControlError unless it names the input topics and no others, each within its
    partitions: what it does not name would count as reached. A partition left out is empty."""
    if end.offsets.keys() != set(topics):
        named = ", ".join(sorted(end.offsets)) or "none"
        raise ControlError(f"offsets are of {named}, and the inputs are {', '.join(topics)}")
    beyond = [p for parts in end.offsets.values() for p in parts if not 0 <= p < partitions]
    if beyond:
        raise ControlError(f"offsets of partition {beyond[0]}: there are {partitions}")


def decode(value: bytes) -> EndOfInput | ConfigChange | Renewal | Notice | None:
    """None: a type this build does not know. Raises ControlError for what is malformed."""
    try:
        record = _decoder.decode(value)
        if record.type == "config":
            at_ms = _ms(record.effective_at)
            return ConfigChange.of_plain(at_ms, record.config_hash, record.rules)
        if record.type == "reference":
            return _renewal(record)
        if record.type in _NOTICES:
            return _notice(record)
        if record.type != "end_of_input":
            return None
        offsets = {
            topic: {int(partition): offset for partition, offset in parts.items()}
            for topic, parts in record.offsets.items()
        }
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ControlError(str(error)) from None
    return EndOfInput(_ms(record.effective_at), offsets)


def _renewal(record: _Record) -> Renewal:
    if not record.model_id or record.model_version == "":
        raise ControlError("a reference of no model or version")
    if not record.references:
        return Renewal(_ms(record.effective_at), record.model_id, record.model_version)
    if record.model_version is None:
        raise ControlError("references are deployed with a version: it names none")
    at_ms = 0 if record.effective_at is None else _ms(record.effective_at)
    references = tuple(record.references)
    Deployment(references).must_be_of(record.model_id, record.model_version)
    return Renewal(at_ms, record.model_id, record.model_version, references, record.built)


def _notice(record: _Record) -> Notice:
    at_ms = None if record.effective_at is None else _ms(record.effective_at)
    told = {name: getattr(record, name) for name in _TOLD}
    notice = Notice(_NOTICES[record.type], at_ms, model_version=record.model_version or "", **told)
    fault = notice.fault()
    if fault is not None:
        raise ControlError(fault)
    return notice


_NOTICES: dict[str, NoticeType] = {name: name for name in get_args(NoticeType)}
_TOLD = ("alert_id", "incident_id", "fingerprint", "model_id", "name", "by", "note")


def encode(end: EndOfInput) -> bytes:
    record: dict[str, Any] = {
        "type": "end_of_input",
        "effective_at": end.event_time_ms,
        "offsets": {
            topic: {str(partition): offset for partition, offset in sorted(parts.items())}
            for topic, parts in sorted(end.offsets.items())
        },
    }
    return msgspec.json.encode(record)


def _ms(time: datetime | int | None) -> int:
    if time is None:
        raise ControlError("effective_at is missing")
    if isinstance(time, datetime) and time.tzinfo is None:
        raise ControlError("effective_at without an offset from UTC")
    time_ms = to_ms(time)
    if not 0 <= time_ms < LATEST_MS:
        raise ControlError("effective_at before 1970 or after 2199")
    return time_ms
