"""What the owner asks of versions, held against those that answer predictions.

By the rules in force when a version was seen, each hour:

| alert | when |
|---|---|
| `VersionUnready` | it answers without something that it must have (`readiness`) |
| `DeprecatedVersion` | it answers after `deprecated_after` of the version |
| `StaleModel` | nobody has retrained it, nor accepted a new reference, for `retrain.every` |

Shadows do not answer. What fires of a version that was silent for a day is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectors.confidence_sequence import Between
from stream.alert_fields import Detected, Span, alert_fields
from stream.alert_state import AlertState
from stream.events import Action
from stream.readiness import lacking, required
from stream.rules import Rules
from stream.times import iso, span_text
from stream.version_book import SILENT_MS, Presence
from stream.wire import Finding

NAMES = ("VersionUnready", "DeprecatedVersion", "StaleModel")


class Governance:
    def __init__(self, state: AlertState) -> None:
        self._state = state

    def seen(self, finding: Finding) -> Iterator[Finding]:
        """What is to be told, now that a version was seen."""
        presence = self._state.versions.seen(finding)
        if finding.group[2] == "shadow":
            return
        rules = self._state.schedule.at(finding.ready_ms)
        policies: dict[str, dict[str, Any] | None] = dict.fromkeys(NAMES)
        if "is_last" not in finding.detail:
            policies["VersionUnready"] = self._unready(finding, presence, rules)
            policies["DeprecatedVersion"] = self._deprecated(finding, rules)
            policies["StaleModel"] = self._stale(finding, presence, rules)
        for name, found in policies.items():
            told = presence.told.get(name)
            if found is None:
                if told is not None:
                    del presence.told[name]
                    yield _of(finding, name, "quiet", {})
            elif told != found["said"]:
                presence.told[name] = found.pop("said")
                detail = self._detail(finding, presence, name, **found)
                yield _of(finding, name, "drift", detail)

    def silent(self, until_ms: int) -> Iterator[tuple[int, Finding]]:
        """What is over because its version answers no more: by ready time."""
        for ready_ms, group in self._state.versions.silent(until_ms):
            presence = self._state.versions.presence(group)
            end_ms = presence.last_ms + SILENT_MS
            for name in list(presence.told):
                del presence.told[name]
                because = {"because": f"no predictions for {span_text(SILENT_MS)}"}
                quiet = Finding(
                    0, 0, "prediction", ready_ms, end_ms, group, "version", name, "quiet", because
                )
                yield ready_ms, quiet

    # -- policies: None where it is as it should be

    def _unready(self, finding: Finding, presence: Presence, rules: Rules) -> dict[str, Any] | None:
        model_id, version, *_ = group = finding.group
        is_deployment = "is_deployment" in finding.detail
        missing = lacking(
            rules,
            group,
            is_deployment=is_deployment,
            has_reference=presence.has_reference,
            is_first=rules.requires_of(model_id) != "auto" and self._state.versions.is_first(group),
        )
        if not missing or rules.version_of(model_id, version).is_past(finding.pane_end_ms):
            return None  # what it lacks nobody need give to a version that was to end
        named = _listed([_WORDS[of] for of in missing])
        settings = [_SETTINGS[of].format(model_id, version) for of in missing if of in _SETTINGS]
        steps = ["deploy one (leeway reference deploy)"] if "reference" in missing else []
        steps += [f"declare {_listed(settings)}"] if settings else []
        return {
            "said": named,
            "since_ms": presence.first_ms,
            "measured": (float(len(missing)), 0.0),
            "text": f"went live without {named}: {', and '.join(steps)}",
            "reference": {
                "required": list(required(rules, group, is_deployment=is_deployment)),
                "missing": missing,
            },
        }

    def _deprecated(self, finding: Finding, rules: Rules) -> dict[str, Any] | None:
        known = rules.version_of(*finding.group[:2])
        since_ms, end_ms = known.deprecated_after_ms, finding.pane_end_ms
        if since_ms is None or end_ms <= since_ms:
            return None
        to = f": move them to v{known.successor}" if known.successor else ""
        return {
            "said": f"{since_ms} {known.successor}",
            "since_ms": since_ms,
            "measured": ((end_ms - since_ms) / 1_000, 0.0),
            "text": f"was to end on {iso(since_ms)[:10]} and still answers {{share}} "
            f"of predictions{to}",
            "reference": {"deprecated_after": iso(since_ms), "successor": known.successor},
        }

    def _stale(self, finding: Finding, presence: Presence, rules: Rules) -> dict[str, Any] | None:
        every_ms = rules.retrain_of(finding.group[0]).every_ms
        retrained_ms = self._state.notices.retrained_ms(finding.group, finding.ready_ms)
        base_ms = max(presence.base_ms, retrained_ms)
        age_ms = finding.pane_end_ms - base_ms
        known = rules.version_of(*finding.group[:2])
        if every_ms is None or age_ms <= every_ms or known.is_past(finding.pane_end_ms):
            return None
        return {
            "said": str(base_ms),
            "since_ms": base_ms,
            "measured": (age_ms / 1_000, every_ms / 1_000),
            "text": f"is as it was {span_text(age_ms)} ago, and is to be retrained every "
            f"{span_text(every_ms)}: it answers {{share}} of predictions",
            "reference": {"since": iso(base_ms), "every_s": every_ms // 1_000},
        }

    def _detail(
        self,
        finding: Finding,
        presence: Presence,
        name: str,
        *,
        since_ms: int,
        measured: tuple[float, float],
        text: str,
        reference: dict[str, Any],
    ) -> dict[str, Any]:
        model_id, version, *_ = finding.group
        end_ms = finding.pane_end_ms
        value, limit = measured
        share: float | None = None
        if self._state.schedule.at(finding.ready_ms).governs(model_id):  # else not all are told of
            share = round(self._state.versions.share(finding.group, end_ms), 4)
        last_day = presence.of_late(end_ms)
        seen = {"first_seen": iso(presence.first_ms), "last_seen": iso(end_ms)}
        action: Action = "retrain" if name == "StaleModel" else "investigate"
        return alert_fields(
            (name, "version", "warning", action),
            f"{model_id} v{version}: {text.replace('{share}', f'{100 * (share or 0.0):.3g} %')}",
            detected=Detected(name="policy", params_hash="", statistic=value, threshold=limit),
            span=Span(since_ms, end_ms, last_day),
            effect=Between(value - limit, value - limit, value - limit),
            floor=0.0,
            reference=("policy", 0),
            evidence={
                "current": {"traffic_share": share, "predictions_1d": last_day, **seen},
                "reference": reference,
            },
        )


_WORDS = {
    "reference": "a reference",
    "owner": "anybody responsible",
    "thresholds": "thresholds of its own",
    "rollback": "a version to roll back to",
}
_SETTINGS = {
    "owner": "models.{0}.owners.responsible",
    "thresholds": "models.{0}.objectives",
    "rollback": "models.{0}.versions.{1}.rollback_to",
}


def _listed(words: list[str]) -> str:
    return " and ".join(", ".join(words).rsplit(", ", 1))


def _of(seen: Finding, name: str, verdict: Any, detail: dict[str, Any]) -> Finding:
    return Finding(
        seen.partition,
        seen.epoch,
        seen.pane_kind,
        seen.ready_ms,
        seen.pane_end_ms,
        seen.group,
        "version",
        name,
        verdict,
        detail,
    )
