"""A worker process of a test: its configuration, its pages, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import orjson
import yaml

from stream.broker import free_port

ROOT = Path(__file__).parents[2]
PARTITIONS = 4


def configuration(app: str, bootstrap: str, idle: str = "1h") -> dict[str, Any]:
    """References, horizon and checkpoints for tests of minutes. `idle` of an hour: no clock decides
    anything."""
    return {
        "app": app,
        "kafka": {"bootstrap": bootstrap},
        "topics": {
            name: f"{app}.{name}"
            for name in (
                "predictions", "outcomes", "control", "alerts", "alerts_state", "actions",
                "dead_letters",
            )
        },
        "partitions": PARTITIONS,
        "idle": idle,
        "outcomes": {"horizon": "15m"},
        "reference": {"predictions": 400, "span": "5m"},
        "alerts": {"resolve_after": 20, "resolve_values": 60},
        "floors": {"shift": 1.0, "error": 1.0, "shape": 0.3},
        "checkpoint": {"interval": "500ms"},
    }  # fmt: skip


class Worker:
    """A worker process; its log is beside its configuration."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.port = free_port()
        self.file = folder / f"{name}.yaml"
        self.file.write_text(yaml.safe_dump({**settings, "web": {"port": self.port}}))
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream", "worker", "-c", str(self.file)],
                cwd=self.file.parent, env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    def get(self, path: str, timeout_s: float = 5) -> dict[str, Any]:
        """The JSON at this path; empty while the worker does not answer."""
        if self._process is None or self._process.poll() is not None:
            return {}
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout_s) as response:
                found: dict[str, Any] = orjson.loads(response.read())
                return found
        except (URLError, OSError):
            return {}

    def status(self, path: str) -> int:
        """The HTTP status at this path; 0 while the worker does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                found: int = response.status
                return found
        except HTTPError as error:
            return error.code
        except (URLError, OSError):
            return 0

    def text(self, path: str) -> str:
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
            said: str = response.read().decode()
            return said

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def kill(self) -> None:
        """SIGKILL: nothing is checkpointed, nothing is said to the group."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        return self._end(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """To a process that runs; else nothing."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> int:
        process = self._process
        if process is None:
            return 0
        self.signal(number)
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def exit_code(self, within_s: float) -> int | None:
        """Of the process once it ended by itself; None if it did not."""
        if self._process is None:
            return None
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the process, if it runs."""
        return self._process.pid if self._process is not None and self.is_running else None

    def peak_mb(self) -> float:
        """The most memory that the process has held resident so far; 0 where nobody tells."""
        try:
            said = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0.0
        line = next((line for line in said.splitlines() if line.startswith("VmHWM")), "0 0")
        return int(line.split()[1]) / 1024
