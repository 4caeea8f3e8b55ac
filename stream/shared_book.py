"""Features that models share, as stage 3 watches them: hours in, findings out.

A finding names the first model that the configuration has for the feature, which answers for it,
in version `*`; the owners of the others are informed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stream.columns import Group
from stream.rules import Rules
from stream.shared_sums import NAME, SERIES
from stream.shared_watch import SILENT_MS, SharedTold, SharedWatch
from stream.shared_words import describe_shared, lasting_shared
from stream.times import span_text
from stream.wire import Finding, Verdict

ALL_VERSIONS = "*"


class SharedBook:
    def __init__(self) -> None:
        self._of: dict[str, SharedWatch] = {}
        self._told: dict[str, Group] = {}  # of what fires: under which name

    def hear(self, finding: Finding, rules: Rules) -> Iterator[Finding]:
        """An hour of a model; `rules`: in force."""
        feature = finding.series.removeprefix(SERIES)
        readers = dict(rules.shared).get(feature, ())
        if finding.group[0] not in readers:
            return  # it is shared no more
        watch = self._of.setdefault(feature, SharedWatch())
        told = watch.hear(finding, rules)
        if told is None:
            return
        if told.effect is not None:
            self._told[feature] = (readers[0], ALL_VERSIONS, "champion", "")
        yield self._finding(feature, told, finding, rules)

    def silent(self, until_ms: int) -> Iterator[tuple[int, Finding]]:
        """What is over because no model says anything any more: by ready time."""
        for feature, watch in sorted(self._of.items()):
            ready_ms = watch.ready_ms + SILENT_MS
            if feature in self._told and ready_ms <= until_ms:
                watch.end()
                group = self._told.pop(feature)
                because = {"because": f"no model has told of it for {span_text(SILENT_MS)}"}
                yield ready_ms, _of(feature, group, (ready_ms, ready_ms), "quiet", because)

    def _finding(self, feature: str, told: SharedTold, heard: Finding, rules: Rules) -> Finding:
        group, at = self._told[feature], (heard.ready_ms, heard.pane_end_ms)
        if told.effect is not None:
            detail = describe_shared(told, feature, rules, heard.pane_end_ms)
            return _of(feature, group, at, "drift", detail)
        if told.lasting:
            return _of(feature, group, at, "lasting", lasting_shared(feature, rules))
        del self._told[feature]
        return _of(feature, group, at, "quiet", {})

    def status(self) -> dict[str, dict[str, Any]]:
        """Of each feature where it stands."""
        return {feature: watch.status() for feature, watch in sorted(self._of.items())}

    # -- state

    def __bool__(self) -> bool:
        return bool(self._of)

    def snapshot(self) -> list[Any]:
        return [
            [feature, list(self._told.get(feature, ())), watch.snapshot()]
            for feature, watch in self._of.items()
        ]

    def restore(self, plain: Iterable[Any]) -> None:
        for feature, told, watch in plain:
            self._of[feature] = SharedWatch.restore(watch)
            if told:
                self._told[feature] = tuple(told)


def _of(
    feature: str, group: Group, at: tuple[int, int], verdict: Verdict, detail: dict[str, Any]
) -> Finding:
    """`at`: ready time and pane end."""
    return Finding(0, 0, "prediction", *at, group, f"feature:{feature}", NAME, verdict, detail)
