"""Card fraud: rare positives, heavy-tailed amounts, labels that come late or never."""

from __future__ import annotations

import numpy as np

from stream.simulate.draws import Draws
from stream.simulate.features import Column, Feature
from stream.simulate.model import Model
from stream.simulate.population import Codes, Population
from stream.simulate.relation import Relation, levels, number
from stream.simulate.traffic import DAY_MS

COUNTRIES = ("DE", "FR", "GB", "NL", "ES", "IT", "PL", "SE", "AT", "CH", "BR", "NG")
CHANNELS = ("web", "app", "pos", "phone")
MERCHANTS = tuple(f"m{number:03d}" for number in range(200))

FEATURES = (
    Feature("amount", "number", "in euros, log-normal", spread=1.2, log=True, decimals=2),
    Feature("country", "category", "of the card", levels=COUNTRIES),
    Feature("channel", "category", "of the payment", levels=CHANNELS),
    Feature("merchant", "category", "of many, most of them rare", levels=MERCHANTS),
    Feature("card_present", "flag", "at a terminal"),
    Feature("payments_last_hour", "integer", "of this card", spread=1.3),
    Feature("distance_km", "number", "from the payment before", spread=1.3, log=True, decimals=1),
    Feature("account_age_days", "integer", "of the customer", spread=0.9, log=True),
    Feature("utilization", "number", "of the limit, 0 to 1", spread=0.16, decimals=4),
    Feature("customer_score", "number", "shared by all models", spread=0.16, decimals=3),
)


def draw(draws: Draws, people: Population, customer: Codes, season: Column) -> dict[str, Column]:
    """Amounts are larger, and the shop is further away, at busy hours."""
    size = len(customer)
    channel = np.searchsorted((0.45, 0.75, 0.95), draws("channel").random(size), side="right")
    at_terminal = np.where(channel == 2, 0.97, 0.02)
    falling = 1.0 / np.arange(1, len(COUNTRIES) + 1) ** 1.3
    edges = np.cumsum(falling / falling.sum())[:-1]
    exponents = draws("amount").normal(3.5 + 0.15 * (season - 1), 1.2)
    return {
        "amount": np.round(np.exp(exponents), 2),
        "country": np.searchsorted(edges, draws("country").random(size)).astype(float),
        "channel": channel.astype(float),
        "merchant": np.minimum(draws("merchant").zipf(1.4, size), len(MERCHANTS)) - 1.0,
        "card_present": (draws("card_present").random(size) < at_terminal).astype(float),
        "payments_last_hour": draws("payments_last_hour").poisson(1.1, size).astype(float),
        "distance_km": np.round(draws("distance_km").lognormal(1.8, 1.3, size), 1),
        "account_age_days": people.age_days[customer],
        "utilization": np.round(draws("utilization").beta(2.0, 5.0, size), 4),
        "customer_score": people.score[customer],
    }


RELATION = Relation(
    intercept=-3.95,
    terms=(
        number("amount", 0.75, centre=3.55, spread=1.15, log=True),
        number("customer_score", -0.6, centre=0.667, spread=0.16),
        number("payments_last_hour", 0.5, centre=1.1, spread=1.05),
        number("account_age_days", -0.4, centre=6.25, spread=0.95, log=True),
        number("distance_km", 0.4, centre=2.1, spread=1.05, log=True),
        levels("channel", 0.5, 0.5, -0.2, -0.9, 1.0),
        levels("country", 0.5, *(0.0,) * 8, -0.3, -0.3, 1.2, 1.5),
        levels("card_present", 0.4, 0.2, -0.8),
        number("utilization", 0.2, centre=0.286, spread=0.16),
    ),
    hidden=1.3,
)

FRAUD = Model(
    name="fraud",
    what="card payments: is it fraud? 3 % are; chargebacks come sooner than the absence of one",
    task="classification",
    feature_set="payments@7",
    features=FEATURES,
    draw=draw,
    relation=RELATION,
    label_median_ms=3 * DAY_MS,
    label_sigma=0.8,
    label_never=0.1,
    positive_sooner=2.0,
    threshold=0.2,
)
