"""Matured predictions by the classes and costs that their owner declared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.columns import Column, text_hash
from stream.judgement import COST, FALSE_POSITIVES, HAS_LABEL, RECALL, cells
from stream.rules import ModelRule
from stream.sorted_runs import Columns


def class_measures(
    rule: ModelRule, predictions: Columns, outcomes: Columns, labelled: NDArray[np.bool_]
) -> dict[str, Column]:
    """One column a measure over parallel predictions and outcomes of one model, as `measures`.

    Of each class the share of what was of it that was said to be (recall), and of what was not of
    it that was said to be; and the cost of each prediction. Both labels must be there.
    """
    both = labelled & ((predictions["has"] & outcomes["has"] & HAS_LABEL) != 0)
    every = np.ones(len(labelled), np.bool_)
    said, truth = predictions["label"], outcomes["label"]
    found: dict[str, Column] = {}
    for name in rule.classes:
        code = np.uint64(text_hash(name))
        hit, is_of_it = said == code, truth == code
        found[f"{FALSE_POSITIVES}:{name}"] = cells(hit, both & ~is_of_it, every)
        found[f"{RECALL}:{name}"] = cells(hit, both & is_of_it, every)
    if rule.costs:
        cost = np.zeros(len(said))
        for was, named, amount in rule.costs:
            of_it = (truth == np.uint64(text_hash(was))) & (said == np.uint64(text_hash(named)))
            cost[of_it] = amount
        found[COST] = cells(cost, both, every)
    return found
