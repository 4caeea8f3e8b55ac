"""Random numbers by name: what one purpose draws, no other purpose can shift."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.random import Generator, default_rng


class Draws:
    """Seeded generators, one for each purpose.

    `draws("label", 7)` is always the same generator in the same state, whatever else was drawn:
    a fault more, or a model more, draws under names of its own and moves nothing. The bytes hold
    for one version of numpy (its generators may change between versions) and one CPU level.
    """

    def __init__(self, seed: int, *scope: str | int) -> None:
        self._scope = (seed, *scope)

    def within(self, *scope: str | int) -> Draws:
        """The draws of a part of this scope."""
        seed, *outer = self._scope
        assert isinstance(seed, int)
        return Draws(seed, *outer, *scope)

    def __call__(self, *purpose: str | int) -> Generator:
        name = repr((*self._scope, *purpose)).encode()
        key = np.frombuffer(blake2b(name, digest_size=32).digest(), dtype="<u4")
        return default_rng(key.tolist())
