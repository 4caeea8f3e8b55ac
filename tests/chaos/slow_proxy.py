"""A proxy between worker and broker through which one topic is slow."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_PRODUCE = 0  # the api key of a produce request
_MAX_DELAY_S = 10.0  # of one request: it may hold other topics' records as well


class SlowProxy:
    """Produce requests that name the topic pass at `bytes_per_s`; what follows them on their
    connection waits, as it does behind a slow broker."""

    def __init__(self, broker_port: int, topic: str, bytes_per_s: float) -> None:
        self._broker_port = broker_port
        self._topic = topic.encode()
        self._bytes_per_s = bytes_per_s
        self.delayed_s = 0.0
        self.delayed = 0  # requests

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(reader, to_writer))
                both.create_task(_copied(to_reader, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one side has closed: so does the other
        finally:
            for one in (writer, to_writer):
                one.close()
                with suppress(OSError):
                    await one.wait_closed()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            size = await reader.readexactly(4)
            request = await reader.readexactly(struct.unpack(">i", size)[0])
            if struct.unpack_from(">h", request)[0] == _PRODUCE and self._topic in request:
                delay_s = min(len(request) / self._bytes_per_s, _MAX_DELAY_S)
                self.delayed += 1
                self.delayed_s += delay_s
                await asyncio.sleep(delay_s)
            writer.write(size + request)
            await writer.drain()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while some := await reader.read(1 << 16):
        writer.write(some)
        await writer.drain()
    raise ConnectionResetError("closed by the broker")


@asynccontextmanager
async def slow_proxy(
    port: int, broker_port: int, topic: str, bytes_per_s: float
) -> AsyncIterator[SlowProxy]:
    """Listens on `port` of the loopback until the block ends."""
    proxy = SlowProxy(broker_port, topic, bytes_per_s)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", port)
    try:
        yield proxy
    finally:
        server.close()
