"""`leeway topics` and `leeway doctor`: what the broker has against what the configuration needs."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import asdict, replace

import msgspec
from aiokafka.errors import KafkaError

from stream.cli_output import FAILURE, Output, fail, print_json, print_rows, say, tell
from stream.doctor import examine
from stream.journal import read_whole
from stream.kafka_admin import (
    AdminError,
    TopicStep,
    admin,
    compare,
    create,
    live_topics,
    topic_plan,
)
from stream.settings import Settings
from stream.wire import decode_journal

_STATE = {
    "create": "to create",
    "created": "created",
    "ok": "ok",
    "mismatch": "partition mismatch",
    "config": "other config",
}


def topics(settings: Settings, *, apply: bool, output: Output) -> None:
    """Shows the plan; with `apply` creates what is missing.

    Exit 1, and nothing created, while any topic has another partition count.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our one line says it
    try:
        steps = asyncio.run(_carry_out(settings, apply=apply))
    except AdminError as error:
        raise fail(str(error)) from None
    _show(steps, output)
    count = Counter(step.state for step in steps)
    mismatched = [step for step in steps if step.state == "mismatch"]
    for step in steps:
        if step.state in {"mismatch", "config"}:
            say(f"{step.spec.name} {step.detail}: {step.remedy}")
    if mismatched:
        raise fail(f"{len(mismatched)} topics have another partition count; nothing was created")
    if apply:
        say(f"{count['created']} topics created, {count['ok'] + count['config']} were there")
    elif count["create"]:
        say(f"dry run: {count['create']} topics would be created; --apply creates them")


async def _carry_out(settings: Settings, *, apply: bool) -> list[TopicStep]:
    plan = topic_plan(settings)
    async with admin(settings) as client:
        steps = compare(plan, await live_topics(client, [spec.name for spec in plan]))
        if apply and not any(step.state == "mismatch" for step in steps):
            missing = [step.spec for step in steps if step.state == "create"]
            await create(client, missing, settings.replication)
            steps = [_created(step) for step in steps]
        return steps


def _created(step: TopicStep) -> TopicStep:
    return replace(step, state="created") if step.state == "create" else step


def _show(steps: list[TopicStep], output: Output) -> None:
    if output is Output.json:
        print_json(
            [{**asdict(step.spec), "state": step.state, "detail": step.detail} for step in steps]
        )
        return
    print_rows(
        ("topic", "partitions", "state", "purpose"),
        [
            (step.spec.name, str(step.spec.partitions), _STATE[step.state], step.spec.purpose)
            for step in steps
        ],
    )


def journal(settings: Settings) -> None:
    """Every entry of the journal, a line of JSON each, partition by partition."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        entries = asyncio.run(read_whole(settings, settings.internal_topic("journal")))
    except (KafkaError, OSError, TimeoutError) as error:
        raise fail(f"the journal cannot be read: {error}") from None
    for offset, value in entries:
        entry = {"offset": offset} | msgspec.to_builtins(decode_journal(value))
        tell(msgspec.json.encode(entry).decode())


def doctor(settings: Settings, output: Output) -> None:
    """Every check, one line each; exit 1 if any failed."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    checks = asyncio.run(examine(settings))
    if output is Output.json:
        print_json([asdict(check) for check in checks])
    else:
        print_rows(
            ("", "check", "found", "what to do"),
            [
                ("ok" if check.passed else "FAIL", check.name, check.detail, check.remedy)
                for check in checks
            ],
        )
    failed = sum(not check.passed for check in checks)
    if failed:
        raise fail(f"{failed} of {len(checks)} checks failed", FAILURE)
