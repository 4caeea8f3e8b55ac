"""Records of the control topic as they stand there, one form for each type."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, get_args

import msgspec

Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Time = datetime | int  # RFC 3339 with an offset, or epoch milliseconds


class _Form(msgspec.Struct, tag_field="type"):
    """Unknown fields are allowed."""


class EndOfInputForm(_Form, tag="end_of_input"):
    """Behind these offsets (next offset by topic and partition) nothing more will come."""

    effective_at: Time
    offsets: dict[str, dict[str, Offset]]


class ConfigForm(_Form, tag="config"):
    """These rules from then on; `leeway config activate` writes it."""

    effective_at: Time
    config_hash: str
    rules: dict[str, Any]


class ReferenceForm(_Form, tag="reference"):
    """A new reference is gathered, of one version or of all; or these, sealed, are deployed with
    the version, from its first prediction on where no time is given."""

    model_id: Name
    model_version: Name | None = None
    effective_at: Time | None = None
    references: list[bytes] = []
    built: dict[str, Any] = {}


class AcknowledgementForm(_Form, tag="acknowledgement"):
    """Somebody has it in hand: one of alert_id, incident_id and fingerprint."""

    by: Name
    alert_id: str = ""
    incident_id: str = ""
    fingerprint: str = ""
    note: str = ""
    effective_at: Time | None = None


class RetrainedForm(_Form, tag="retrained"):
    """A version, or without one all of the model."""

    model_id: Name
    model_version: str | None = None
    by: str = ""
    note: str = ""
    effective_at: Time | None = None


class BusinessEventForm(_Form, tag="business_event"):
    model_id: Name
    name: Name
    by: str = ""
    note: str = ""
    effective_at: Time | None = None


NoticeForm = AcknowledgementForm | RetrainedForm | BusinessEventForm
Form = EndOfInputForm | ConfigForm | ReferenceForm | NoticeForm
TYPES = frozenset(form.__struct_config__.tag for form in get_args(Form))
