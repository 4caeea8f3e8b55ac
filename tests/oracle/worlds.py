"""Small worlds to draw mixes in, and the same world as the processor's rules."""

from __future__ import annotations

from random import Random

from stream.rules import ModelRule, ReferenceRule, Rules
from tests.oracle.reading import Limits
from tests.oracle.world import World

MODELS = ("fraud", "preis-größe", "churn", "sizes")


def draw_world(random: Random) -> World:
    pane_ms = random.choice((10_000, 8_192))
    horizon_ms = pane_ms * random.choice((12, 15, 30))
    ages: tuple[int | str | None, ...] = ("auto", "auto", 60_000, 25_001, horizon_ms, 1, None)
    configured = random.random() < 0.5
    maturity = {"": random.choice(ages)}
    if configured:
        maturity |= {model: random.choice(ages) for model in MODELS}
    return World(
        pane_ms=pane_ms,
        grace_ms=random.choice((30_000, 0, 12_345)),
        horizon_ms=horizon_ms,
        future_bound_ms=random.choice((None, 5_000, 3_600_000)),
        maturity=maturity,
        reference=(random.choice((20, 5)), random.choice((0, 3 * pane_ms))),
        pane_rows=random.choice((4, 1, 256)),
        max_categories=3,
        limits=Limits(20_000, 12, frozenset(MODELS) if configured else frozenset()),
        ages=draw_ages(random, configured=configured),
    )


def draw_ages(random: Random, *, configured: bool) -> dict[str, tuple[int, ...]]:
    drawn: tuple[tuple[int, ...], ...] = ((), (25_000,), (1, 30_000, 59_999))
    ages = {"": random.choice(drawn)}
    return ages | ({model: random.choice(drawn) for model in MODELS[:2]} if configured else {})


def rules_of(world: World) -> Rules:
    return Rules(
        pane_ms=world.pane_ms,
        grace_ms=world.grace_ms,
        horizon_ms=world.horizon_ms,
        future_bound_ms=world.future_bound_ms,
        maturity=world.maturity[""],  # type: ignore[arg-type]
        ages=world.ages.get("", ()),
        reference=ReferenceRule(*world.reference),
        pane_rows=world.pane_rows,
        max_categories=world.max_categories,
        max_record_bytes=world.limits.max_record_bytes,
        max_features=world.limits.max_features,
        models={
            name: ModelRule(maturity=age, ages=world.ages.get(name))  # type: ignore[arg-type]
            for name, age in world.maturity.items()
            if name in world.limits.known_models
        },
    )
