"""Freight pricing: a regression, with a temperature in °C and costs that follow the market."""

from __future__ import annotations

import numpy as np

from stream.simulate.draws import Draws
from stream.simulate.features import Column, Feature
from stream.simulate.model import Model
from stream.simulate.population import Codes, Population
from stream.simulate.relation import Relation, levels, number
from stream.simulate.traffic import DAY_MS

VEHICLES = ("van", "truck", "reefer", "bike")
LANES = ("domestic", "cross-border", "sea", "air")

FEATURES = (
    Feature("distance_km", "number", "of the route", spread=0.9, log=True, decimals=1),
    Feature("weight_kg", "number", "of the load", spread=1.1, log=True, decimals=1),
    Feature("temperature_c", "number", "at the destination, °C", spread=7.0, decimals=1),
    Feature("fuel_price", "number", "a litre, in euros", spread=0.08, decimals=3),
    Feature("lead_time_h", "integer", "until pick-up", spread=0.8, log=True),
    Feature("stops", "integer", "on the way", spread=1.4),
    Feature("vehicle", "category", "", levels=VEHICLES),
    Feature("lane", "category", "", levels=LANES),
    Feature("express", "flag", "guaranteed arrival"),
    Feature("customer_score", "number", "shared by all models", spread=0.16, decimals=3),
)


def draw(draws: Draws, people: Population, customer: Codes, season: Column) -> dict[str, Column]:
    """Lead times are shorter at busy hours."""
    size = len(customer)
    leads = draws("lead_time_h").normal(3.3 - 0.1 * (season - 1), 0.8)
    vehicle = np.searchsorted((0.5, 0.8, 0.93), draws("vehicle").random(size), side="right")
    lane = np.searchsorted((0.6, 0.85, 0.95), draws("lane").random(size), side="right")
    return {
        "distance_km": np.round(draws("distance_km").lognormal(5.2, 0.9, size), 1),
        "weight_kg": np.round(draws("weight_kg").lognormal(4.5, 1.1, size), 1),
        "temperature_c": np.round(draws("temperature_c").normal(11.0, 7.0, size), 1),
        "fuel_price": np.round(draws("fuel_price").normal(1.62, 0.08, size), 3),
        "lead_time_h": np.maximum(np.floor(np.exp(leads)), 1.0),
        "stops": draws("stops").poisson(2.0, size).astype(float),
        "vehicle": vehicle.astype(float),
        "lane": lane.astype(float),
        "express": (draws("express").random(size) < 0.25).astype(float),
        "customer_score": people.score[customer],
    }


RELATION = Relation(
    intercept=5.0,
    terms=(
        number("distance_km", 0.55, centre=5.2, spread=0.9, log=True),
        number("weight_kg", 0.4, centre=4.5, spread=1.1, log=True),
        levels("vehicle", 0.3, -0.3, 0.3, 1.2, -1.0),
        levels("lane", 0.3, -0.3, 0.2, 0.5, 2.0),
        levels("express", 0.25, -0.25, 0.75),
        number("lead_time_h", -0.15, centre=3.3, spread=0.8, log=True),
        number("fuel_price", 0.12, centre=1.62, spread=0.08),
        number("temperature_c", 0.1, centre=11.0, spread=7.0),
        number("stops", 0.08, centre=2.0, spread=1.4),
        number("customer_score", -0.1, centre=0.667, spread=0.16),
    ),
    hidden=0.15,
    noise=0.08,
)

PRICING = Model(
    name="pricing",
    what="freight quotes: what will the transport cost? The truth is the invoice",
    task="regression",
    feature_set="freight@4",
    features=FEATURES,
    draw=draw,
    relation=RELATION,
    label_median_ms=2 * DAY_MS,
    label_sigma=0.6,
    label_never=0.05,
    latency_ms=25.0,
)
