"""The real worker in a process of its own, and what it says over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import orjson

STOP_S = 20.0
LOG_LINES = 25


class WorkerDiedError(Exception):
    """The worker ended by itself; the message says how, with the end of its log."""


class Worker:
    """A running worker. Its log goes to a file."""

    def __init__(self, process: asyncio.subprocess.Process, web_port: int, log: Path) -> None:
        self._process = process
        self._web = f"http://127.0.0.1:{web_port}"
        self._log = log

    def check(self) -> None:
        """Raises WorkerDiedError once the process has ended."""
        if self._process.returncode is not None:
            raise WorkerDiedError(
                f"the worker ended with exit code {self._process.returncode}\n{self.log_tail()}"
            )

    def log_tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])

    async def get(self, path: str) -> dict[str, Any] | None:
        """The JSON object at this path; None while the worker does not answer yet."""
        self.check()
        return await asyncio.to_thread(_get, self._web + path)

    async def stop(self) -> int:
        """SIGTERM, and SIGKILL when that does not help; the exit code."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_S)
            except TimeoutError:
                self._process.kill()
        return await self._process.wait()


@asynccontextmanager
async def running_worker(configuration: Path, web_port: int) -> AsyncIterator[Worker]:
    """Starts `leeway worker` in the configuration's folder, and stops it whatever happens."""
    log = configuration.with_name("worker.log")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stream", "worker", "-c", configuration.name),
            cwd=configuration.parent,
            env=_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops its worker
        )
    worker = Worker(process, web_port, log)
    try:
        yield worker
    finally:
        with contextlib.suppress(ProcessLookupError):
            await worker.stop()


def _environment() -> dict[str, str]:
    """Ours, without LEEWAY_ variables: they would win over the demo's configuration file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEEWAY_")}
    source = str(Path(__file__).parents[2])
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (source, kept.get("PYTHONPATH"))))}


def _get(url: str) -> dict[str, Any] | None:
    try:
        with urlopen(url, timeout=5) as response:  # noqa: S310 a loopback http address
            found: dict[str, Any] = orjson.loads(response.read())
            return found
    except (URLError, ConnectionError, TimeoutError):
        return None
