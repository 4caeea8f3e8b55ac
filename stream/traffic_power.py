"""What would be found of a model's traffic: the smallest fall, and the shortest silence."""

from __future__ import annotations

from typing import Any

from detectors.poisson_rate import surprise
from stream.budget import TRAFFIC
from stream.power import Lines, Power
from stream.rules import HOUR_MS, Rules
from stream.traffic import SLOT_MS, Traffic
from stream.usual_hours import Usual

_STEPS = 40  # of a bisection
_FEW = "no fall is found: too few predictions in an hour, or they scatter too much"


def shown(traffic: Traffic, segment: str, rules: Rules) -> list[dict[str, Any]]:
    """Of a model, or of a segment of it; empty until its hours are known."""
    rule, hours = rules.traffic_of(traffic.hours.model_id), traffic.hours
    if traffic.main is None or traffic.next_slot is None or not (rule.enabled and hours.known):
        return []
    usual = hours.usual(rules)
    lines = Lines(traffic.main, usual.mean / HOUR_MS)
    lowest, _ = hours.expected((traffic.next_slot + 1) * SLOT_MS, rules)
    least = _smallest_fall(lowest, usual, usual.threshold(rules, hours.model_id))
    fall = None if least is None else max(least, rule.change)
    wait_ms = traffic.silence_ms(rules)
    sizes = {
        "throughput": (fall, None if fall is None else usual.mean, _FEW),
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


def _smallest_fall(lowest: float, usual: Usual, threshold: float) -> float | None:
    """Share of the fewest predictions of an hour by which less is more than chance."""

    def told(fall: float) -> bool:
        return surprise(int((1.0 - fall) * lowest), lowest, usual.dispersion) >= threshold

    if not told(1.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if told(middle) else (middle, high)
    return high
