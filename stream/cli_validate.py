"""`leeway validate`: what a configuration is, and what it will let be found."""

from __future__ import annotations

from pathlib import Path

from stream.cli_output import Output, print_json, print_rows, say
from stream.power_plan import Planned, planned
from stream.settings import Settings


def show(settings: Settings, config: Path, features: int, output: Output) -> None:
    rules = settings.rules()
    models = sorted(settings.models)
    plans = {model: planned(rules, model, features) for model in models}
    if output is Output.json:
        power = {model: [_plain(one) for one in plan] for model, plan in plans.items()}
        found = {
            "config_hash": rules.config_hash(),
            "models": models,
            "gaps": settings.gaps(),
            "deployments_lack": settings.deployments_lack(),
        }
        print_json({**found, "power": power})
        return
    print(f"{config}: ok, {len(models)} models, config_hash {rules.config_hash()}")
    for gap in settings.gaps():
        say(f"missing: {gap}")
    for lack in settings.deployments_lack():
        say(f"each version that is deployed will be told to lack: {lack}")
    rows = [(model, *_row(one)) for model, plan in plans.items() for one in plan]
    print_rows(("model", "of", "smallest change found", "after predictions", "in"), rows)


def _plain(one: Planned) -> dict[str, str | float | None]:
    found = {"smallest": one.power.smallest, "predictions": one.power.values}
    shown: dict[str, float | None] = found | {"seconds": one.seconds}
    figures = {k: None if v is None else float(f"{v:.4g}") for k, v in shown.items()}
    return {"series": one.series, "unit": one.unit} | figures


def _row(one: Planned) -> tuple[str, str, str, str]:
    power = one.power
    if power.smallest is None or power.values is None or one.seconds is None:
        return one.series, "none", "", ""
    sizes = {"share": f"{power.smallest:.1%}", "sigma": f"{power.smallest:.2g} σ"}
    size = sizes.get(one.unit, f"{power.smallest:.3g}")
    return one.series, size, f"{power.values:,.0f}", _time(one.seconds)


def _time(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"
