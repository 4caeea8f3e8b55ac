"""Topic ids: what tells a topic from a later one of the same name. Kafka 2.8 and later give them.

aiokafka speaks Metadata up to version 5; ids come with version 10 (KIP-516).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_NONE = bytes(16)
_VERSION = 10


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


_TEXT, _TAGS, _NODES = CompactString("utf-8"), ("tags", TaggedFields), CompactArray(Int32)
_BROKER = (("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS)
_PARTITION = (
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", _NODES),
    ("isr", _NODES),
    ("offline_replicas", _NODES),
    _TAGS,
)
_TOPIC = (
    ("error_code", Int16),
    ("topic", _TEXT),
    ("id", _Uuid),
    ("is_internal", Boolean),
    ("partitions", CompactArray(*_PARTITION)),
    ("authorized_operations", Int32),
    _TAGS,
)


class _Answer(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(*_BROKER)),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        ("topics", CompactArray(*_TOPIC)),
        ("authorized_operations", Int32),
        _TAGS,
    )


class _Question(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = _VERSION
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", CompactArray(("id", _Uuid), ("topic", _TEXT), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class _Topics(Request[_Question]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, names: Iterable[str]) -> None:
        self._topics: list[Any] = [(_NONE, name, {}) for name in names]

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class(self._topics, False, False, False, {})


@dataclass(frozen=True, slots=True)
class Found:
    """A topic that exists; its id as Kafka's own tools print it, empty where it has none."""

    partitions: int
    id: str


async def found_topics(
    client: AIOKafkaAdminClient, names: Iterable[str]
) -> dict[str, Found] | None:
    """Those of these names that exist; None: the broker is too old. Creates none.

    Raises KafkaError.
    """
    try:
        answer: Any = await client._send_request(_Topics(names))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return None
    return {
        topic["topic"]: Found(len(topic["partitions"]), _printed(topic["id"]))
        for topic in answer.to_object()["topics"]
        if topic["error_code"] == 0
    }


def _printed(topic_id: bytes) -> str:
    is_there = topic_id != _NONE
    return base64.urlsafe_b64encode(topic_id).decode().rstrip("=") if is_there else ""
