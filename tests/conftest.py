"""Says at the end whether a real Kafka took part; in CI its absence is a failure, not a skip. Deals
the tests to processes, where there are more than one. No property fails because a machine is slow.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from stream import record_columns

_kafka_tests: Counter[str] = Counter()
_OF_WORKERS = ("tests/chaos/", "tests/integration/")
_IN_CI = os.environ.get("CI") == "true"

# On top of hypothesis's own choice, which is another in CI. The first text that it makes on a
# machine takes seconds.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
if hypothesis.settings.get_current_profile_name() in {"default", "ci"}:
    hypothesis.settings.load_profile("untimed")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "kafka" in report.keywords and (report.when == "call" or report.outcome != "passed"):
        _kafka_tests[report.outcome] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _IN_CI and _kafka_tests["skipped"] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(_said_of_kafka())


def _said_of_kafka() -> str:
    ran = _kafka_tests["passed"] + _kafka_tests["failed"]
    skipped = _kafka_tests["skipped"]
    if skipped:
        consequence = "a failure in CI" if _IN_CI else "set LEEWAY_TEST_BOOTSTRAP to run them"
        return f"real Kafka: none to be had, {skipped} tests skipped ({consequence})"
    return f"real Kafka: {ran} tests ran on it" if ran else "real Kafka: no test asked for it"


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """The tests of a file in one process, and all that run workers: one broker serves them, and
    they wait for seconds, in which the others compute."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = nodeid.partition("::")[0]
        return "workers" if file.startswith(_OF_WORKERS) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _ByFile(config, log)


@pytest.fixture
def parsers_in_turn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the seeds of a test, every other one is read by Python's parser alone."""
    indices = request.node.callspec.indices if hasattr(request.node, "callspec") else {}
    if sum(indices.values()) % 2:
        monkeypatch.setattr(record_columns, "PARSER", "python")
