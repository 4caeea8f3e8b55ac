"""What would be found of a model's traffic: the smallest fall, and the shortest silence."""

from __future__ import annotations

import math
from typing import Any

from detectors.poisson_fall import slots_until
from detectors.poisson_rate import surprise
from stream.budget import TRAFFIC
from stream.power import Lines, Power
from stream.rules import HOUR_MS, Rules
from stream.traffic import SLOT_MS, SLOTS, Traffic
from stream.usual_hours import LAG_HOURS, ROW_HOURS, Usual

_STEPS = 40  # of a bisection
_SURE = 1.645  # standard deviations: 19 times in 20
_FEW = "no fall is found in a day: too few predictions in an hour, or they scatter too much"


def shown(traffic: Traffic, segment: str, rules: Rules) -> list[dict[str, Any]]:
    """Of a model, or of a segment of it; empty until its hours are known."""
    rule, hours = rules.traffic_of(traffic.hours.model_id), traffic.hours
    if traffic.main is None or traffic.next_slot is None or not (rule.enabled and hours.known):
        return []
    usual = hours.usual(rules)
    lines = Lines(traffic.main, usual.mean / HOUR_MS)
    end_ms = (traffic.next_slot + 1) * SLOT_MS
    lowest, _ = hours.expected(end_ms, rules)
    fewest = hours.fewest(end_ms, rules)
    fall = _smallest_fall(lowest, fewest, usual, hours.threshold(rules), rule.change)
    wait_ms = traffic.silence_ms(rules)
    sizes = {
        "throughput": (None, None, _FEW) if fall is None else (fall[0], fall[1] * usual.mean, None),
        "silence": (
            None if wait_ms is None else 1.0,
            None if wait_ms is None else wait_ms * usual.mean / HOUR_MS,
            "no silence is told",
        ),
    }
    return [
        lines.line(
            f"prediction:{what} {segment}".rstrip(), what, Power(size, predictions, 1.0),
            reference=None, values=usual.count, tau=usual.dispersion,
            budget_share=TRAFFIC / rules.sources,
            floor=rule.change if what == "throughput" else 1.0, predictions=predictions,
            note=note if size is None else None,
        )
        for what, (size, predictions, note) in sizes.items()
    ]  # fmt: skip


def _smallest_fall(
    lowest: float, fewest: float, usual: Usual, threshold: float, change: float
) -> tuple[float, float] | None:
    """Share of the fewest predictions of an hour, and the hours until it is told. `fewest`: an
    hour, of some in a row."""

    def hours(fall: float) -> float:
        if surprise(int((1.0 - fall) * lowest), lowest, usual.dispersion) >= threshold:
            return 1.0
        if not (lowest and fewest):
            return math.inf
        slots = slots_until(
            threshold, fewest / SLOTS, share=(1.0 - fall) * lowest / fewest, ratio=1.0 - change,
            dispersion=usual.dispersion, sure=_SURE,
        )  # fmt: skip
        return max(slots / SLOTS, ROW_HOURS)

    if hours(1.0) > LAG_HOURS:
        return None
    low, high = change, 1.0
    for _ in range(_STEPS if hours(low) > LAG_HOURS else 0):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if hours(middle) <= LAG_HOURS else (middle, high)
    found = low if hours(low) <= LAG_HOURS else high
    return found, hours(found)
