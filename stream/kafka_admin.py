"""The topics Leeway needs, how they differ from what a broker has, and creating the missing ones.

`topic_plan` is the only list of topics; `compare` is pure; the rest talks to the broker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code
from aiokafka.helpers import create_ssl_context

from stream.setting_types import ms
from stream.settings import Settings
from stream.topic_ids import Found, found_topics

_DAY_MS = 86_400_000
_CHANGELOG_SEGMENT_BYTES = 64 << 20
_NO_MORE_THAN = {"segment.bytes", "min.cleanable.dirty.ratio"}
_REPAIR_MS = 3_600_000
_KAFKA_MESSAGE_BYTES = 1_048_588  # the broker's own default
_ENVELOPE_BYTES = 64_000  # headers and batch framing around the largest value
_INTERNAL_BYTES = 8 << 20  # panes of wide models, findings, state
_REQUEST_TIMEOUT_MS = 10_000
_FOREVER = "-1"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str]
    purpose: str
    exact: bool = True  # whether another partition count breaks the job


@dataclass(frozen=True, slots=True)
class LiveTopic:
    """One topic as the broker has it; `config` is empty where the broker does not tell."""

    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    id: str = ""  # of this topic and no later one of its name; empty where the broker does not tell


@dataclass(frozen=True, slots=True)
class TopicStep:
    """What is to be done about one topic: `create` it, nothing, or a person must decide."""

    spec: TopicSpec
    state: Literal["create", "created", "ok", "mismatch", "config"]
    detail: str = ""
    remedy: str = ""


class AdminError(Exception):
    """The broker cannot be reached or refused; the message is one line."""


def changelog_topic(settings: Settings, table: str) -> str:
    """The name Faust gives the changelog of a table."""
    return f"{settings.app}-{table}-changelog"


def topic_plan(settings: Settings) -> list[TopicSpec]:
    """Every topic of this configuration: public, internal, changelogs."""
    shared, public, internal = settings.partitions, settings.topics, settings.internal_topic
    durable = {"min.insync.replicas": "2"} if settings.replication >= 3 else {}

    def kept(days: float, value_bytes: int = 0) -> dict[str, str]:
        return durable | {
            "cleanup.policy": "delete",
            "retention.ms": str(int(days * _DAY_MS)) if days > 0 else _FOREVER,
            "max.message.bytes": str(max(_KAFKA_MESSAGE_BYTES, value_bytes + _ENVELOPE_BYTES)),
        }

    blob_bytes = max(settings.checkpoint.bytes, _INTERNAL_BYTES)
    compacted = kept(0, blob_bytes) | {"cleanup.policy": "compact"}
    del compacted["retention.ms"]
    # Recovery reads what is not compacted yet too: small segments, and compacted early.
    changelog = compacted | {
        "segment.bytes": str(_CHANGELOG_SEGMENT_BYTES),
        "min.cleanable.dirty.ratio": "0.3",
    }
    # What a former owner overwrites must still be there when its successor puts it right.
    states = compacted | {"min.compaction.lag.ms": str(_REPAIR_MS)}
    horizon_days = ms(settings.outcomes.horizon) / _DAY_MS
    record_bytes = settings.limits.record_bytes
    events = kept(max(horizon_days, 7), record_bytes)
    return [
        TopicSpec(public.predictions, shared, events, "predictions in"),
        TopicSpec(
            public.outcomes, shared, events, "outcomes in; as many partitions as predictions"
        ),
        TopicSpec(public.control, 1, kept(0), "control records in, kept for ever", exact=False),
        TopicSpec(public.alerts, 1, kept(90), "alerts out", exact=False),
        TopicSpec(public.alerts_state, 1, states, "last state of each alert", exact=False),
        TopicSpec(public.actions, 1, kept(90), "requests to act, out", exact=False),
        TopicSpec(
            public.dead_letters,
            shared,
            kept(14, 2 * record_bytes),  # an opted-in payload travels as base64
            "records that could not be used",
            exact=False,
        ),
        TopicSpec(internal("panes"), shared, kept(7, blob_bytes), "stage 1 to stage 2"),
        TopicSpec(internal("findings"), 1, kept(30, blob_bytes), "stage 2 to stage 3"),
        TopicSpec(internal("journal"), shared, states, "decisions, kept for ever"),
        TopicSpec(
            internal("references"), 1, kept(0, blob_bytes), "references, kept for ever", exact=False
        ),
        TopicSpec(changelog_topic(settings, "sources"), shared, changelog, "state of stage 1"),
        TopicSpec(changelog_topic(settings, "panes"), shared, changelog, "state of stage 2"),
        TopicSpec(changelog_topic(settings, "findings"), 1, changelog, "state of stage 3"),
    ]


def largest_record_bytes(settings: Settings) -> int:
    """What the producer must be able to send: the largest that any of the topics takes."""
    return max(int(spec.config["max.message.bytes"]) for spec in topic_plan(settings))


def compare(plan: Iterable[TopicSpec], live: Mapping[str, LiveTopic]) -> list[TopicStep]:
    """What each planned topic needs, in the plan's order."""
    return [_step(spec, live.get(spec.name)) for spec in plan]


def _step(spec: TopicSpec, live: LiveTopic | None) -> TopicStep:
    if live is None:
        return TopicStep(spec, "create", remedy="run leeway topics --apply")
    if spec.exact and live.partitions != spec.partitions:
        return TopicStep(
            spec,
            "mismatch",
            f"has {live.partitions} partitions, needs {spec.partitions}",
            "set partitions to the count the topic has, or use a new topic name: "
            "records already dealt to partitions cannot be dealt anew",
        )
    wrong = [
        f"{key}={live.config[key]}, needs {wanted}"
        for key, wanted in spec.config.items()
        if key in live.config and not _suffices(key, live.config[key], wanted)
    ]
    if wrong:
        settings = ",".join(f"{key}={value}" for key, value in spec.config.items())
        remedy = f"kafka-configs --alter --topic {spec.name} --add-config {settings}"
        return TopicStep(spec, "config", "; ".join(wrong), remedy)
    return TopicStep(spec, "ok")


def _suffices(key: str, has: str, wanted: str) -> bool:
    """More retention, larger messages, earlier compaction than planned are fine; another policy is
    not."""
    if key == "cleanup.policy":
        return has == wanted
    if key in _NO_MORE_THAN:
        return float(has) <= float(wanted)
    if has == _FOREVER:
        return True
    return wanted != _FOREVER and int(has) >= int(wanted)


def connection(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client of these settings takes."""
    kafka = settings.kafka
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap.split(","),
        "security_protocol": kafka.security_protocol,
    }
    if "SSL" in kafka.security_protocol.split("_"):
        options["ssl_context"] = create_ssl_context(
            cafile=kafka.ssl_cafile, certfile=kafka.ssl_certfile, keyfile=kafka.ssl_keyfile
        )
    if kafka.sasl_mechanism is not None and kafka.sasl_password is not None:
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password.get_secret_value(),
        }
    return options


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client; AdminError when there is no connection or a request fails."""
    bootstrap = settings.kafka.bootstrap
    try:
        client = AIOKafkaAdminClient(
            request_timeout_ms=_REQUEST_TIMEOUT_MS, client_id="leeway", **connection(settings)
        )
        await client.start()
    except KafkaConnectionError as error:
        protocol = settings.kafka.security_protocol
        raise AdminError(f"cannot reach {bootstrap}: no broker answered ({protocol})") from error
    except (KafkaError, OSError, ValueError) as error:
        raise AdminError(f"cannot reach {bootstrap}: {error}") from error
    try:
        yield client
    except (KafkaError, OSError) as error:
        raise AdminError(f"{bootstrap}: {error}") from error
    finally:
        await client.close()


async def live_topics(
    client: AIOKafkaAdminClient, names: Iterable[str], *, with_config: bool = True
) -> dict[str, LiveTopic]:
    """The topics of these names that exist."""
    wanted = set(names)
    found = await found_topics(client, wanted)
    if found is None:
        # All topics are listed: asking an old broker for one by name may create it.
        found = {
            topic["topic"]: Found(len(topic["partitions"]), "")
            for topic in await client.describe_topics()
            if topic["topic"] in wanted
        }
    configs = await _configs(client, found) if found and with_config else {}
    return {
        name: LiveTopic(topic.partitions, configs.get(name, {}), topic.id)
        for name, topic in found.items()
    }


async def _configs(client: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs: dict[str, dict[str, str]] = {}
    for response in await client.describe_configs(resources):
        for error_code, _message, _type, name, entries in response.resources:
            if error_code == 0:
                configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs


async def create(client: AIOKafkaAdminClient, specs: Iterable[TopicSpec], replication: int) -> None:
    """Creates the topics; AdminError names each one that was refused."""
    topics = [
        NewTopic(spec.name, spec.partitions, replication, topic_configs=dict(spec.config))
        for spec in specs
    ]
    if not topics:
        return
    response = await client.create_topics(topics)
    refused = [
        f"{name}: {message or for_code(code).__name__}"
        for name, code, message in ((*entry, "")[:3] for entry in response.topic_errors)
        if code != 0
    ]
    if refused:
        raise AdminError("; ".join(refused))
