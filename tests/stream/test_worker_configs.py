"""Announced configurations: who begins, who is refused, and what the journal says before anything
changes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from stream import worker_configs
from stream.alert_stage import AlertStage
from stream.deployment import Deployment, opened, sealed, terms
from stream.events import DeadLetter
from stream.metrics import Metrics
from stream.model_stage import ModelStage
from stream.notices import Notice
from stream.refusals import UnannouncedConfigError
from stream.renewals import Renewal
from stream.rule_book import ConfigChange
from stream.rules import Rules
from stream.settings import Settings
from stream.source_stage import SourceStage
from stream.wire import (
    Accepted,
    Activation,
    Claim,
    Founding,
    JournalEntry,
    Noticed,
    Renewed,
    decode_journal,
    encode_journal,
)
from stream.worker_configs import Configs
from stream.worker_host import Host
from stream.worker_routes import Outgoing
from stream.worker_slot import ALERTS, MODELS, SOURCES, Slot
from tests.stream.test_deployment import SEALED

PREDICTIONS, OUTCOMES = "leeway.predictions", "leeway.outcomes"
NOW_MS = 1_760_000_000_000
EPOCH = 0


class Topic:
    """A partition that every tail reads to its end at once."""

    def __init__(self) -> None:
        self.values: list[bytes] = []


class Tail:
    def __init__(self, topic: Topic, apply: Any) -> None:
        self.positions = {0: 0}
        self._topic, self._apply = topic, apply

    async def end(self) -> dict[int, int]:
        return {0: len(self._topic.values)}

    async def reached(self, targets: Mapping[int, int]) -> None:
        while self.positions[0] < len(self._topic.values):
            offset = self.positions[0]
            self.positions[0] += 1
            self._apply(offset, self._topic.values[offset])


class Worker:
    """One of those that share a journal and a control topic of one partition."""

    configs: Configs

    def __init__(self, journal: Topic, control: Topic, **settings: Any) -> None:
        async def send(record: Outgoing) -> asyncio.Future[Any]:
            assert record.value is not None
            promise = asyncio.get_running_loop().create_future()
            if record.topic == self.host.settings.topics.dead_letters:
                self.letters.append(record.value)
                promise.set_result(None)
                return promise
            self.before_journaled()
            journal.values.append(record.value)
            at = len(journal.values) - 1
            promise.set_result(SimpleNamespace(topic=record.topic, partition=0, offset=at))
            return promise

        self.letters: list[bytes] = []
        given = Settings(partitions=1, **settings)
        self.host = Host(given, send, Metrics(CollectorRegistry()), "me")
        tail: Any = Tail(journal, lambda at, v: self.host.journal_entry(at, decode_journal(v)))
        self.host.reader = tail

        def read(at: int, value: bytes) -> None:
            self.configs.refusals.read(0, at, NOW_MS, value)
            self.configs.announce(at, CHANGES[value])

        told: Any = Tail(control, read)
        self.ends = {PREDICTIONS: 0, OUTCOMES: 0, "leeway-panes": 0, "leeway-findings": 0}

        async def end(topic: str, partition: int) -> int:
            return self.ends[topic]

        self.configs = Configs(self.host, tail, told, end)
        self.host.configs = self.configs
        self.before_journaled: Any = lambda: None

    def own(self) -> None:
        """Everything there is."""
        rules = self.host.rules
        stages: list[Any] = [
            SourceStage(rules, 0, 1),
            ModelStage(rules, 0, 1),
            AlertStage(rules, 1),
        ]
        offsets = ({PREDICTIONS: 5, OUTCOMES: 6}, {"leeway-panes": 0}, {"leeway-findings": 0})
        owned: tuple[Any, ...] = (self.host.sources, self.host.models, self.host.alerts)
        for stage, core, at, slots in zip((1, 2, 3), stages, offsets, owned, strict=True):
            core.epoch = len(JOURNAL.values)
            JOURNAL.values.append(encode_journal(Claim(stage, 0, "me")))
            slots[0] = Slot(stage, 0, core, at, "changelog")
            slots[0].has_spoken = True


CHANGES: dict[bytes, ConfigChange | Renewal | Notice] = {}
JOURNAL, CONTROL = Topic(), Topic()


@pytest.fixture(autouse=True)
def _topics(monkeypatch: pytest.MonkeyPatch) -> None:
    JOURNAL.values.clear()
    CONTROL.values.clear()

    async def publish(settings: Any, topic: str, key: Any, value: bytes) -> int:
        JOURNAL.values.append(value)
        return len(JOURNAL.values) - 1

    monkeypatch.setattr(worker_configs, "publish", publish)


def announce(at_ms: int, rules: Rules) -> None:
    put(ConfigChange(at_ms, rules))


def put(change: ConfigChange | Renewal | Notice) -> None:
    CHANGES[change.encode()] = change
    CONTROL.values.append(change.encode())


def entries() -> list[JournalEntry]:
    return [decode_journal(value) for value in JOURNAL.values]


def made(kind: type) -> list[Any]:
    return [entry for entry in entries() if isinstance(entry, kind)]


CHANGED: dict[str, Any] = {"alerts": {"resolve_after": 7}}


def test_the_first_worker_founds_the_app_and_another_file_is_refused_until_it_is_announced() -> (
    None
):
    async def scenario() -> None:
        first = Worker(JOURNAL, CONTROL)
        other = Worker(JOURNAL, CONTROL, **CHANGED)
        await first.configs.begin()
        with pytest.raises(UnannouncedConfigError, match="was not announced") as refused:
            await other.configs.begin()
        own = other.host.settings.rules()
        assert first.host.rules.config_hash() in str(refused.value)
        assert own.config_hash() in str(refused.value)
        assert len(JOURNAL.values) == 1
        announce(NOW_MS, own)
        again = Worker(JOURNAL, CONTROL, **CHANGED)
        await again.configs.begin()
        assert again.host.rules == Rules()

    asyncio.run(scenario())


def test_of_two_that_begin_at_once_with_different_files_the_first_in_the_journal_counts() -> None:
    async def scenario() -> None:
        first, other = Worker(JOURNAL, CONTROL), Worker(JOURNAL, CONTROL, **CHANGED)
        ends = [await worker.configs._journal.end() for worker in (first, other)]
        assert ends == [{0: 0}, {0: 0}]
        own = other.host.settings.rules()
        found = Founding(own.config_hash(), own.to_plain())
        JOURNAL.values.append(encode_journal(found))
        other_too = Founding(Rules().config_hash(), Rules().to_plain())
        JOURNAL.values.append(encode_journal(other_too))
        await other.configs.begin()
        with pytest.raises(UnannouncedConfigError):
            await first.configs.begin()

    asyncio.run(scenario())


def test_a_file_that_no_state_could_be_continued_under_is_refused_by_its_settings() -> None:
    async def scenario() -> None:
        await Worker(JOURNAL, CONTROL).configs.begin()
        announce(NOW_MS, Rules(pane_ms=11_000))
        with pytest.raises(UnannouncedConfigError, match="pane_ms cannot change"):
            await Worker(JOURNAL, CONTROL, pane="11s").configs.begin()

    asyncio.run(scenario())


def test_stages_2_and_3_decide_first_and_stage_1_takes_the_models_behind_them() -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        rules = replace(Rules(), resolve_after_panes=7)
        announce(NOW_MS, rules)
        await worker.host.reader.reached({})
        await worker.configs._control.reached({})
        await worker.configs.look()
        order = [type(entry) for entry in entries()[-4:]]
        assert order == [Activation, Activation, Accepted, Accepted]
        assert {(e.stage, e.at_ms, e.announced_at) for e in made(Activation)} == {
            (MODELS, NOW_MS, 0), (ALERTS, NOW_MS, 0),
        }  # fmt: skip
        of_models, of_alerts = [e.rules for e in made(Activation)]
        assert of_models is None
        assert Rules.from_plain(of_alerts) == rules
        assert {(e.side, e.at_offset) for e in made(Accepted)} == {
            ("predictions", 5), ("outcomes", 6),
        }  # fmt: skip
        written = len(JOURNAL.values)
        await worker.configs.look()
        assert len(JOURNAL.values) == written, "each comes into force once"

    asyncio.run(scenario())


@pytest.mark.parametrize("at_ms", [None, NOW_MS])
def test_a_notice_is_journaled_once_by_stage_3_and_a_new_owner_knows_it(at_ms: int | None) -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        put(Notice("acknowledgement", at_ms, alert_id="a", by="ann"))
        await worker.host.reader.reached({})
        await worker.configs._control.reached({})
        for _ in range(2):
            await worker.configs.look()
        (entry,) = made(Noticed)
        stage: Any = worker.host.alerts[0].core
        at_once_ms = stage.next_ready_ms()
        assert (entry.stage, entry.at_ms) == (ALERTS, at_ms or at_once_ms)
        assert made(Activation) == made(Accepted) == []
        fresh: Any = AlertStage(worker.host.rules, 1)
        slot = Slot(ALERTS, 0, fresh, {"leeway-findings": 0}, "changelog")
        await worker.configs.restore(slot)
        assert fresh.has_activated(entry.announced_at)

    asyncio.run(scenario())


def test_a_renewal_is_journaled_once_by_stage_2_and_a_new_owner_knows_it() -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        put(Renewal(NOW_MS, "fraud", "42"))
        await worker.host.reader.reached({})
        await worker.configs._control.reached({})
        for _ in range(2):
            await worker.configs.look()
        (entry,) = made(Renewed)
        assert (entry.stage, entry.at_ms, entry.announced_at) == (MODELS, NOW_MS, 0)
        assert (entry.model_id, entry.version) == ("fraud", "42")
        assert made(Activation) == made(Accepted) == []
        fresh: Any = ModelStage(worker.host.rules, 0, 1)
        slot = Slot(MODELS, 0, fresh, {"leeway-panes": 0}, "changelog")
        assert not fresh.has_activated(0)
        await worker.configs.restore(slot)
        assert fresh.has_activated(0)

    asyncio.run(scenario())


def test_what_is_deployed_is_journaled_whole_and_what_does_not_fit_is_refused_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        rules = worker.host.rules
        (of,) = (opened(one) for one in SEALED if opened(one).kind == "prediction")
        given = (sealed(replace(of, group=("fraud", "42", "champion", ""))),)
        built = terms(Deployment(given).references, "fraud", rules)
        put(Renewal(0, "fraud", "42", given, built | {"season": "week"}))
        put(Renewal(0, "fraud", "42", given, built))
        await worker.host.reader.reached({})
        await worker.configs._control.reached({})
        for _ in range(2):
            await worker.configs.look()
        (entry,) = made(Renewed)
        assert (entry.announced_at, tuple(entry.references)) == (1, given)
        assert entry.at_ms == worker.host.models[0].core.next_ready_ms() or entry.at_ms == 0
        (refused,) = [one for one in caplog.messages if "ignored" in one]
        assert "record 0 ignored: no reference of fraud v42: season: built with week" in refused
        (letter,) = (msgspec.json.decode(value, type=DeadLetter) for value in worker.letters)
        assert (letter.topic, letter.partition, letter.offset) == ("leeway.control", 0, 0)
        assert letter.reason == "control_refused"
        assert letter.detail.startswith("no reference of fraud v42: season: built with week")
        assert letter.payload_bytes == len(CONTROL.values[0])

    asyncio.run(scenario())


def test_what_is_refused_is_one_dead_letter_whoever_owns_stage_3_afterwards() -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        announce(NOW_MS, Rules(pane_ms=11_000))
        announce(NOW_MS, replace(Rules(), resolve_after_panes=7))
        announce(NOW_MS, Rules(pane_ms=12_000))
        await worker.host.reader.reached({})
        await worker.configs._control.reached({})
        await worker.configs.look()
        letters = [msgspec.json.decode(value, type=DeadLetter) for value in worker.letters]
        assert [(of.offset, of.reason) for of in letters] == [
            (0, "control_refused"), (2, "control_refused"),
        ]  # fmt: skip
        assert "pane_ms cannot change" in letters[0].detail
        await worker.configs.look()
        assert len(worker.letters) == 2
        state = worker.host.alerts[0].core.snapshot()

        following = Worker(JOURNAL, CONTROL)
        await following.configs.begin()
        following.own()
        of: Any = following.host.alerts[0]
        rules, epoch = following.host.rules, of.core.epoch
        of.core = AlertStage.restore(rules, 1, {part.name: part.captured()() for part in state})
        of.core.epoch = epoch
        announce(NOW_MS, Rules(pane_ms=13_000))
        await following.configs._control.reached({})
        await following.configs.look()
        (new,) = (msgspec.json.decode(value, type=DeadLetter) for value in following.letters)
        assert new.offset == 3

    asyncio.run(scenario())


def test_what_is_refused_before_the_founding_is_known_is_one_dead_letter_too() -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        announce(NOW_MS, Rules(pane_ms=11_000))
        await worker.configs._control.reached({})  # it waits to be judged
        refusals = worker.configs.refusals
        refusals.read(0, 1, NOW_MS, b"?")
        refusals.refuse(1, "control_malformed", "no JSON")
        await worker.configs.begin()
        worker.own()
        for _ in range(2):
            await worker.configs.look()
            letters = [msgspec.json.decode(value, type=DeadLetter) for value in worker.letters]
            assert [of.offset for of in letters] == [0, 1]

    asyncio.run(scenario())


def test_stage_1_waits_until_its_side_has_reached_the_announced_time() -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        source = worker.host.sources[0].core
        source.advance("predictions", NOW_MS - 1)
        source.advance("outcomes", NOW_MS)
        announce(NOW_MS, replace(Rules(), resolve_after_panes=7))
        await worker.host.reader.reached({})
        await worker.configs._control.reached({})
        await worker.configs.look()
        assert [entry.side for entry in made(Accepted)] == ["outcomes"]
        source.advance("predictions", NOW_MS)
        await worker.configs.look()
        assert [entry.side for entry in made(Accepted)] == ["outcomes", "predictions"]

    asyncio.run(scenario())


def test_an_owner_that_was_overtaken_before_its_entry_changes_nothing() -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        await worker.host.reader.reached({})
        announce(NOW_MS, replace(Rules(), resolve_after_panes=7))
        await worker.configs._control.reached({})
        stages: list[Any] = [worker.host.models[0].core, worker.host.alerts[0].core]

        def overtaken() -> None:
            for stage in (MODELS, ALERTS):
                JOURNAL.values.append(encode_journal(Claim(stage, 0, "another")))

        worker.before_journaled = overtaken
        await worker.configs.look()
        assert made(Activation)
        assert not any(stage.has_activated(0) for stage in stages)
        assert worker.host.journal.activations_of(MODELS, 0) == []
        assert made(Accepted) == []

    asyncio.run(scenario())


def test_a_new_owner_takes_from_the_journal_what_its_state_does_not_know() -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        await worker.host.reader.reached({})
        rules = replace(Rules(), resolve_after_panes=7)
        announce(NOW_MS, rules)
        await worker.configs._control.reached({})
        await worker.configs.look()

        following = Worker(JOURNAL, CONTROL)
        await following.configs.begin()
        stage = ModelStage(following.host.rules, 0, 1)
        await following.configs.restore(Slot(MODELS, 0, stage, {"leeway-panes": 0}, "c"))
        assert stage.has_activated(0)
        for offset, due in ((5, 1), (6, 0)):
            offsets = {PREDICTIONS: offset, OUTCOMES: 7}
            source = SourceStage(following.host.rules, 0, 1)
            slot = Slot(SOURCES, 0, source, offsets, "c")
            await following.configs.restore(slot)
            assert sum(map(len, slot.due_accepted.values())) == due
            await following.host.apply_idle(slot, "predictions", 5)
            assert source.has_accepted("predictions", 0) == bool(due)

    asyncio.run(scenario())


def test_models_are_taken_behind_all_that_a_former_owner_can_have_applied() -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        worker.ends |= {PREDICTIONS: 9, OUTCOMES: 6}
        announce(NOW_MS, replace(Rules(), resolve_after_panes=7))
        await worker.host.reader.reached({})
        await worker.configs._control.reached({})
        await worker.configs.look()
        assert {(e.side, e.at_offset) for e in made(Accepted)} == {
            ("predictions", 9), ("outcomes", 6),
        }  # fmt: skip
        slot = worker.host.sources[0]
        assert slot.core.has_accepted("outcomes", 0)
        await worker.host.apply_idle(slot, "predictions", 8)
        assert not slot.core.has_accepted("predictions", 0)
        await worker.configs.look()
        assert len(made(Accepted)) == 2, "each comes into force once"
        await worker.host.apply_idle(slot, "predictions", 9)
        assert slot.core.has_accepted("predictions", 0)

    asyncio.run(scenario())


def test_a_successor_judges_nothing_by_other_rules_before_it_is_where_its_predecessor_was() -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        worker.ends |= {"leeway-panes": 3, "leeway-findings": 2}
        announce(NOW_MS, replace(Rules(), resolve_after_panes=7))
        await worker.host.reader.reached({})
        await worker.configs._control.reached({})
        await worker.configs.look()
        assert made(Activation) == []
        worker.ends |= {"leeway-panes": 30, "leeway-findings": 20}  # by nobody before it
        worker.host.models[0].offsets["leeway-panes"] = 3
        await worker.configs.look()
        assert [entry.stage for entry in made(Activation)] == [MODELS]
        worker.host.alerts[0].offsets["leeway-findings"] = 2
        await worker.configs.look()
        assert [entry.stage for entry in made(Activation)] == [MODELS, ALERTS]

    asyncio.run(scenario())


def test_nothing_comes_into_force_while_a_former_owner_may_still_be_heard() -> None:
    async def scenario() -> None:
        worker = Worker(JOURNAL, CONTROL)
        await worker.configs.begin()
        worker.own()
        for slot in worker.host.slots():
            slot.has_spoken = False
        announce(NOW_MS, replace(Rules(), resolve_after_panes=7))
        await worker.host.reader.reached({})
        await worker.configs._control.reached({})
        written = len(JOURNAL.values)
        await worker.configs.look()
        assert len(JOURNAL.values) == written
        for slot in worker.host.slots():
            slot.has_spoken = True
        await worker.configs.look()
        assert len(made(Activation)) == len(made(Accepted)) == 2

    asyncio.run(scenario())
