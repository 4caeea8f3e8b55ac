"""Sending dead letters: one that its topic does not take loses its payload, not the worker."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import msgspec
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from stream.events import DeadLetter
from stream.records import encode
from stream.worker_routes import Outgoing
from stream.worker_slot import Send

log = logging.getLogger(__name__)

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


async def send_dead_letter(send: Send, record: Outgoing) -> asyncio.Future[Any]:
    """The future is done when the topic has the letter, or when even without its payload it is
    too large (said in the log). Raises what `send` raises for any other cause."""
    try:
        promise = await send(record)
    except Exception as error:
        if not _is_too_large(error):
            raise
        promise = asyncio.get_running_loop().create_future()
        promise.set_exception(error)
    return asyncio.ensure_future(_settle(send, record, promise))


async def _settle(send: Send, record: Outgoing, promise: asyncio.Future[Any]) -> Any:
    try:
        return await promise
    except Exception as error:
        if not _is_too_large(error):
            raise
    letter = msgspec.json.decode(record.value or b"", type=DeadLetter)
    where = (record.topic, letter.topic, letter.partition, letter.offset)
    try:
        bare = encode(msgspec.structs.replace(letter, payload_base64=None))
        found = await (await send(replace(record, value=bare)))
    except Exception as error:
        if not _is_too_large(error):
            raise
        log.error("%s takes no dead letter for %s partition %d offset %d: too large", *where)  # noqa: TRY400 said in full
        return None
    log.warning("%s: without payload, too large: %s partition %d offset %d", *where)
    return found


def _is_too_large(error: BaseException) -> bool:
    """Faust wraps what the producer refuses; the broker's refusal comes as it is."""
    return isinstance(error, _TOO_LARGE) or isinstance(error.__cause__, _TOO_LARGE)
