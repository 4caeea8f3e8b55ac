"""The topics as the broker has them: looked at before the start, and now and then while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from stream.kafka_admin import AdminError, LiveTopic, admin, compare, live_topics, topic_plan
from stream.refusals import made_anew, partition_count
from stream.settings import Settings
from stream.worker_host import Host

log = logging.getLogger(__name__)

_LOOK_S = 20.0


async def required_topics(settings: Settings) -> dict[str, LiveTopic]:
    """The planned topics. Raises AdminError, with what to do, if one is missing or has another
    partition count."""
    plan = topic_plan(settings)
    async with admin(settings) as client:
        live = await live_topics(client, [spec.name for spec in plan])
    wrong = [step for step in compare(plan, live) if step.state in {"create", "mismatch"}]
    if wrong:
        raise AdminError(
            "; ".join(f"topic {s.spec.name} {s.detail or 'is missing'}: {s.remedy}" for s in wrong)
        )
    return live


class TopicWatch:
    """Stops the worker when a topic it depends on has more partitions than at the start (keys are
    dealt to others now, and meet nothing there), or is no longer the same topic."""

    def __init__(self, host: Host, *, look_s: float = _LOOK_S) -> None:
        self._host = host
        self._look_s = look_s
        self._exact = {s.name: s.partitions for s in topic_plan(host.settings) if s.exact}

    async def run(self, before: Mapping[str, LiveTopic]) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            try:
                async with admin(self._host.settings) as client:
                    live = await live_topics(client, self._exact, with_config=False)
            except AdminError as error:
                # that brokers are gone is judged elsewhere, by those who need them
                log.warning("the topics could not be looked at: %s", error)
                continue
            self.look(before, live)

    def look(self, before: Mapping[str, LiveTopic], live: Mapping[str, LiveTopic]) -> None:
        for name, needs in self._exact.items():
            was, now = before.get(name), live.get(name)
            if now is None:
                continue  # deleted: whoever reads or writes it says so
            if now.partitions != needs:
                self._host.fail(partition_count(name, now.partitions, needs))
            elif was is not None and was.id and now.id and was.id != now.id:
                self._host.fail(made_anew(name, was.id, now.id))
