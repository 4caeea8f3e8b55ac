"""The topic plan: counts that must match, and what is said where the broker differs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import IncompatibleBrokerVersion

from stream.doctor import topic as topic_check
from stream.kafka_admin import (
    LiveTopic,
    TopicSpec,
    TopicStep,
    compare,
    connection,
    live_topics,
    topic_plan,
)
from stream.settings import Settings, SettingsError, load
from stream.worker_app import new_app


def planned(settings: Settings) -> dict[str, TopicSpec]:
    return {spec.name: spec for spec in topic_plan(settings)}


def step(name: str, live: LiveTopic) -> TopicStep:
    found = compare(topic_plan(Settings()), {name: live})
    return next(each for each in found if each.spec.name == name)


def test_topics_that_share_a_partitioning_have_the_configured_count_and_stage_3_has_one() -> None:
    plan = planned(load(None, {"app": "x", "partitions": 7}))
    shared = {name for name, spec in plan.items() if spec.exact and spec.partitions == 7}
    assert shared == {
        "leeway.predictions",
        "leeway.outcomes",
        "x-panes",
        "x-journal",
        "x-sources-changelog",
        "x-panes-changelog",
    }
    single = {name for name, spec in plan.items() if spec.exact and spec.partitions == 1}
    assert single == {"x-findings", "x-findings-changelog"}


def test_changelogs_and_alert_state_are_compacted_and_never_deleted() -> None:
    compacted = {
        name
        for name, spec in planned(Settings()).items()
        if spec.config["cleanup.policy"] == "compact" and "retention.ms" not in spec.config
    }
    assert compacted == {
        "leeway.alerts.state",
        "leeway-journal",
        "leeway-sources-changelog",
        "leeway-panes-changelog",
        "leeway-findings-changelog",
    }


def test_what_a_late_write_overwrites_stays_for_the_hour_in_which_it_is_said_again() -> None:
    plan = planned(Settings())
    for name in ("leeway.alerts.state", "leeway-journal"):
        assert plan[name].config["min.compaction.lag.ms"] == "3600000"


def test_references_are_kept_for_ever() -> None:
    plan = planned(Settings())
    assert plan["leeway-references"].config["retention.ms"] == "-1"


def test_a_topic_of_an_empty_broker_is_created() -> None:
    assert {each.state for each in compare(topic_plan(Settings()), {})} == {"create"}


def test_another_partition_count_is_a_mismatch_with_a_remedy() -> None:
    found = step("leeway.outcomes", LiveTopic(3))
    assert found.state == "mismatch"
    assert "has 3 partitions, needs 4" in found.detail
    assert found.remedy
    assert not topic_check(found).passed


def test_the_alert_topic_may_have_any_count() -> None:
    assert step("leeway.alerts", LiveTopic(12)).state == "ok"


@pytest.mark.parametrize(
    ("config", "state"),
    [
        ({"retention.ms": "-1"}, "ok"),
        ({"retention.ms": "9999999999999"}, "ok"),
        ({"retention.ms": "1000"}, "config"),
        ({"max.message.bytes": "10"}, "config"),
        ({"cleanup.policy": "compact"}, "config"),
        ({}, "ok"),  # a broker that does not tell its configuration
    ],
)
def test_more_retention_than_planned_is_fine_and_less_is_not(
    config: dict[str, str], state: str
) -> None:
    assert step("leeway.predictions", LiveTopic(4, config)).state == state


def test_limited_retention_does_not_do_where_records_are_kept_for_ever() -> None:
    assert step("leeway-references", LiveTopic(4, {"retention.ms": "604800000"})).state == "config"


def test_sasl_settings_reach_the_client() -> None:
    settings = load(
        None,
        {
            "kafka": {
                "bootstrap": "a:1,b:2",
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_username": "u",
                "sasl_password": "p",
            }
        },
    )
    options = connection(settings)
    assert options.pop("ssl_context") is not None
    assert options == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
    }


def test_the_producer_can_send_the_largest_record_of_every_topic_whatever_the_limits() -> None:
    largest = Settings.model_validate(
        {"limits": {"record_bytes": "20MB"}, "checkpoint": {"bytes": "30MB"}}
    )
    for settings in (Settings(), largest):
        planned = [int(spec.config["max.message.bytes"]) for spec in topic_plan(settings)]
        assert new_app(settings).conf.producer_max_request_size == max(planned)
        internal = [spec for spec in topic_plan(settings) if spec.name.startswith("leeway-")]
        wide = [spec for spec in internal if "journal" not in spec.name]
        assert len(wide) == 6
        assert all(int(spec.config["max.message.bytes"]) >= 8 << 20 for spec in wide)


class OldBroker:
    """Knows neither topic ids nor a question by name that creates nothing."""

    async def _send_request(self, _request: Any) -> Any:
        raise IncompatibleBrokerVersion

    async def describe_topics(self) -> list[dict[str, Any]]:
        return [{"topic": "a", "partitions": [0, 1]}, {"topic": "b", "partitions": [0]}]


def test_an_old_broker_is_asked_for_all_topics_and_tells_no_ids() -> None:
    client: Any = OldBroker()
    found = asyncio.run(live_topics(client, ["a", "c"], with_config=False))
    assert found == {"a": LiveTopic(2)}


def test_faust_is_told_the_membership_and_waits_longer_than_a_session() -> None:
    kafka = {"instance_id": "w-0", "session_timeout": "5m", "rebalance_timeout": "1m"}
    conf = new_app(load(None, {"kafka": kafka})).conf
    assert conf.consumer_group_instance_id == "w-0"
    assert conf.broker_session_timeout == 300
    assert conf.broker_rebalance_timeout == 60
    assert conf.broker_heartbeat_interval == 1
    assert conf.broker_request_timeout > 300
    assert new_app(Settings()).conf.consumer_group_instance_id is None


def test_a_heartbeat_that_is_too_seldom_for_its_session_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"kafka\.heartbeat: at most a third of"):
        load(None, {"kafka": {"session_timeout": "6s", "heartbeat": "3s"}})


@pytest.mark.parametrize(
    ("key", "earlier", "later"),
    [("segment.bytes", "1048576", "1073741824"), ("min.cleanable.dirty.ratio", "0.01", "0.5")],
)
def test_a_changelog_may_be_compacted_earlier_than_planned_but_not_later(
    key: str, earlier: str, later: str
) -> None:
    name = "leeway-sources-changelog"
    has = planned(Settings())[name].config
    assert step(name, LiveTopic(4, {**has, key: earlier})).state == "ok"
    found = step(name, LiveTopic(4, {**has, key: later}))
    assert (found.state, f"{key}={later}, needs" in found.detail) == ("config", True)
