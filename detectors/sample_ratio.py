"""Whether subjects are dealt to groups as planned: an e-value that may be looked at at any time."""

import math
from collections.abc import Sequence

_WEIGHT = (
    100.0  # of the planned shares, in subjects: how near to them the alternative is looked for
)


def log_e_value(counts: Sequence[int], planned: Sequence[float]) -> float:
    """ln of how much likelier the counts are under shares drawn about the planned ones.

    Intuition: counts that lie where the plan does not are likelier under other shares.

    Guarantee (theorem): as subjects come, one after the other, this is a martingale with mean 1 if
    they are dealt by `planned`: it ever passes 1 / α with a probability of at most α.

    Memory: a count a group. Time: O(groups).

    >>> round(log_e_value([5_000, 5_100], [0.5, 0.5]), 1)
    -1.8
    >>> round(log_e_value([4_000, 6_000], [0.5, 0.5]), 1)
    197.0

    Source: Lindon & Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.
    """
    found = math.lgamma(_WEIGHT) - math.lgamma(_WEIGHT + sum(counts))
    for count, share in zip(counts, planned, strict=True):
        prior = _WEIGHT * share
        found += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return found
