"""Records of the control topic: the end of the input, configurations, new references, notices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from stream.control_forms import (
    TYPES,
    ConfigForm,
    EndOfInputForm,
    Form,
    NoticeForm,
    ReferenceForm,
    Time,
)
from stream.deployment import Deployment
from stream.events import LATEST_MS
from stream.notices import Notice, NoticeType
from stream.renewals import Renewal
from stream.rule_book import ConfigChange
from stream.times import to_ms


class ControlError(ValueError):
    """A control record that cannot be understood."""


class _Typed(msgspec.Struct):
    type: str


_type_decoder = msgspec.json.Decoder(_Typed)
_decoder = msgspec.json.Decoder(Form)


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
        if _type_decoder.decode(value).type not in TYPES:
            return None
        form = _decoder.decode(value)
        if isinstance(form, ConfigForm):
            return ConfigChange.of_plain(_ms(form.effective_at), form.config_hash, form.rules)
        if isinstance(form, ReferenceForm):
            return _renewal(form)
        if not isinstance(form, EndOfInputForm):
            return _notice(form)
        offsets = {
            topic: {int(partition): offset for partition, offset in parts.items()}
            for topic, parts in form.offsets.items()
        }
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ControlError(str(error)) from None
    return EndOfInput(_ms(form.effective_at), offsets)


def _renewal(form: ReferenceForm) -> Renewal:
    at_ms = None if form.effective_at is None else _ms(form.effective_at)
    if not form.references:
        if at_ms is None:
            raise ControlError("effective_at is missing")
        return Renewal(at_ms, form.model_id, form.model_version)
    if form.model_version is None:
        raise ControlError("references are deployed with a version: it names none")
    references = tuple(form.references)
    Deployment(references).must_be_of(form.model_id, form.model_version)
    return Renewal(at_ms or 0, form.model_id, form.model_version, references, form.built)


def _notice(form: NoticeForm) -> Notice:
    plain = msgspec.structs.asdict(form)
    time = plain.pop("effective_at")
    told = {name: said for name, said in plain.items() if said is not None}
    kind: NoticeType = form.__struct_config__.tag  # type: ignore[assignment]
    notice = Notice(kind, None if time is None else _ms(time), **told)
    fault = notice.fault()
    if fault is not None:
        raise ControlError(fault)
    return notice


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


def _ms(time: Time) -> int:
    if isinstance(time, datetime) and time.tzinfo is None:
        raise ControlError("effective_at without an offset from UTC")
    time_ms = to_ms(time)
    if not 0 <= time_ms < LATEST_MS:
        raise ControlError("effective_at before 1970 or after 2199")
    return time_ms
