"""Kafka as a Java program with a data directory of its own: it can be killed and started again."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_CLUSTER_ID = "bGVld2F5LXRlc3QtMDAwMA"  # any 16 bytes, URL-safe base64
_START_S = 60.0


class JavaBroker:
    def __init__(self, jars: Path, folder: Path, port: int, settings: Mapping[str, str]) -> None:
        """`settings` of the broker but for `log.dirs`; `port`: where it serves once it has started.
        Raises CalledProcessError, TimeoutExpired."""
        self.bootstrap = f"127.0.0.1:{port}"
        self._port = port
        self._log = folder / "kafka.log"
        self._config = folder / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        lines = {**settings, "log.dirs": str(folder / "data")}
        self._config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        self._java = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]
        # It prints its id and says a log4j configuration is missing; neither is of interest.
        format_it = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c"]
        subprocess.run(
            [*self._java, *format_it, str(self._config)],
            check=True, capture_output=True, timeout=_START_S,
        )  # fmt: skip

    def start(self) -> None:
        """Returns when it serves; RuntimeError if it does not."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace")[-2_000:]
                raise RuntimeError(f"Kafka did not start: {said}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL: what it acknowledged is in its files, and nothing was said to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def java_broker(jars: Path, port: int, settings: Mapping[str, str]) -> Iterator[JavaBroker]:
    """A broker that serves; its data goes with it."""
    with tempfile.TemporaryDirectory(prefix="leeway-kafka-", ignore_cleanup_errors=True) as folder:
        broker = JavaBroker(jars, Path(folder), port, settings)
        try:
            broker.start()
            yield broker
        finally:
            broker.kill()
