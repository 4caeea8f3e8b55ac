"""The units of a group under one bank of CUSUMs: which, and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.cusum_bank import CusumBank
from detectors.tilts import Tilts
from stream.batches import Batches, common_tau, shares_of_all, taus_of
from stream.firing import Firing, Patience
from stream.inputs import Inputs
from stream.learning import Learning
from stream.pane_evidence import PaneReader
from stream.panes import Ints, PaneTable
from stream.profile import Profile
from stream.proven import MixedBank, Proven, begun
from stream.rules import Rules
from stream.shared_sums import SharedSums
from stream.unit_columns import UnitColumns
from stream.unit_reading import Together
from stream.unit_sums import UnitSums
from stream.unit_tilts import Baseline, Terms, tilts_of
from stream.unit_walk import Crossing, Told, Walk
from stream.units import Unit
from stream.watched import Ground, Key, Watched, WatchedUnits, watched

_GROWN = 1.25  # times as much has been learned: the constants are made anew


class Watch:
    def __init__(self, enough: int, inputs: Inputs | None = None) -> None:
        """`enough`: values that make a reference; `inputs`: where they are to be kept."""
        self._enough = enough
        self.inputs = inputs
        self.shared: SharedSums | None = None  # where models share a feature
        self.watched = WatchedUnits()
        self.firing: dict[Key, Firing] = {}
        self._over: dict[Key, Firing] = {}  # of alerts that have ended of late
        self._together = Together([])
        self._bank: CusumBank | None = None
        self._proven: dict[Key, Proven] = {}
        self.undecided: NDArray[np.bool_] | None = None  # of the last run: panes without evidence
        self.learning = Learning()
        self._batches: Batches | None = None  # while a reference is being gathered
        # as last measured, also of what fires: units, and how much their values depend
        self._measured: tuple[tuple[Key, ...], tuple[tuple[float, ...], ...]] = (), ()
        self.inherited: Mapping[Key, tuple[float, ...]] = {}  # of a reference that is not its own
        self.common_tau = 1.0  # of all series together, while little is known of each
        self._usual = UnitSums(self._columns)  # of what is compared with
        self._tilted: Ints = np.zeros(0, np.int64)  # n when the constants were made, of `counted`

    def arrange(self, units: Iterable[Watched], baselines: Mapping[int, Baseline]) -> None:
        """From the next pane on these are watched, in this order: those that are the very ones
        watched already go on, the others begin anew. What fires and stays goes on firing.
        `baselines`: those that have been made of them already, by their identity."""
        before, columns, bank = self.watched, self._columns, self._bank
        usual, tilted = self._usual.whole(), self._tilted[columns.counts].astype(np.int64)
        those = [*{one.key: one for one in units}.values()]
        self.watched = WatchedUnits(those)
        kept: list[Key] = []
        fresh: list[Watched] = []
        for one in those:
            if before.has(one):
                kept.append(one.key)
            else:
                fresh.append(one)
        # while a new profile has its scores: it keeps counts alone once it is laid out
        terms = [one.terms_by(baselines.get(id(one)) or one.baseline) for one in fresh]
        self._bank = _bank(bank, [columns[key] for key in kept], terms)
        self._lay_out(those)
        if self._bank is not None and kept and fresh:
            places = [self._columns[key] for key in (*kept, *(one.key for one in fresh))]
            self._bank = self._bank.take(np.argsort(np.concatenate(places), kind="stable"))
        wanted = [one for one in those if one.stake.proven]
        self._proven = begun(self._proven, kept, wanted)
        moves = [(columns[key], self._columns[key]) for key in kept]
        self.learning.arrange(self._columns, moves)
        now_usual = np.zeros((3, len(self._columns.every)), np.int64)
        for of in terms:
            at, sums = self._columns[of.unit.key], of.baseline
            now_usual[0, at], now_usual[1, at], now_usual[2, at] = sums.x, sums.n, sums.xx
        now_tilted = now_usual[1].copy()
        for was, now in moves:
            now_usual[:, now], now_tilted[now] = usual[:, was], tilted[was]
        self._hold(now_usual, now_tilted)
        self._note({})
        if self.inputs is not None:
            self.inputs.arrange(self.watched, {one.key for one in fresh})
        self.firing = {key: f for key, f in self.firing.items() if key in self.watched}
        self._over = {key: f for key, f in self._over.items() if key in self.watched}
        for one in fresh:
            if one.key in self.firing:
                self.firing[one.key] = self.firing[one.key].anew(one.unit.columns)
            elif one.key in self._over:
                self._over[one.key] = self._over[one.key].anew(one.unit.columns)

    def _lay_out(self, those: Iterable[Watched]) -> None:
        self._together = Together([(one.unit, one.profile, one.numeric) for one in those])

    @property
    def _columns(self) -> UnitColumns:
        """Of the bank, in the order of `watched`."""
        return self.watched.columns

    def calm(self) -> set[Key]:
        """Units that neither fire nor are on the way to it."""
        if self._bank is None:
            return set()
        is_near = self._bank.warning()
        near = {key for key, columns in self._columns.items() if is_near[columns].any()}
        near -= self._proven.keys()
        near |= {key for key, one in self._proven.items() if one.is_warning}
        return self.watched.keys() - near - self.firing.keys()

    def run(
        self,
        table: PaneTable,
        rules: Rules,
        may_tell: Callable[[Watched, Crossing], bool],
        is_mute: Callable[[Watched], bool],
    ) -> list[Told]:
        """What these panes let the units tell, in the order of the panes; `may_tell`: whether one
        may tell of a crossing; `is_mute`: whether none will."""
        self.undecided = None
        if self._bank is None:
            return []
        reader = PaneReader(table, rules.max_categories)
        evidence = reader.read(self._together)
        whole = evidence if self._batches is None else evidence.copy()
        if self.inputs is not None:
            self.inputs.add(table.pane_end - rules.pane_ms, evidence)
        if self.shared is not None:
            start_ms = table.pane_end - rules.pane_ms
            self.shared.add(start_ms, evidence, self._columns, self.watched)
        walk = Walk(
            watched=self.watched,
            firing=self.firing,
            over=self._over,
            columns=self._columns,
            bank=self._mixed(self._bank),
            start_ms=table.pane_end - rules.pane_ms,
            evidence=evidence,
            usual=self._usual_terms,
            absorb=self._absorb,
            is_current=self._is_current,
            patience=Patience(
                rules.minimum_values, rules.resolve_values, self._enough, rules.ask_after_ms
            ),
            may_tell=may_tell,
            is_mute=is_mute,
        )
        told = walk.told()
        self.undecided = walk.undecided
        if walk.stirred:
            of_all = [self._columns[key] for key in walk.stirred]
            self.learning.forget(np.concatenate(of_all))
            for columns, row in zip(of_all, walk.stirred.values(), strict=True):
                evidence.clear(row + 1, columns)
        if self._batches is not None:
            self._batches.add(whole, table.rows)
        self.learning.add(evidence)
        self._bank.rest()
        return told

    def _mixed(self, bank: CusumBank) -> CusumBank | MixedBank:
        return MixedBank(bank, self._proven, self._columns) if self._proven else bank

    def levels(self) -> Iterator[tuple[Key, float, bool]]:
        """Of each unit how near it is to its threshold, 0 to 1, and whether it fires."""
        level = np.zeros(0) if self._bank is None else self._mixed(self._bank).level()
        for key, columns in self._columns.items():
            yield key, float(level[columns].max()), key in self.firing

    def terms(self) -> list[Terms]:
        """On which each unit is watched, what has been learned included."""
        return [self._usual_terms(key) for key in self.watched]

    # -- how much values depend

    def gather(self, rows: int | None, *, is_deployed: bool) -> None:
        """Anew, what is arranged now having been gathered from so many rows; None: no more."""
        self._batches = None if rows is None else Batches(rows, is_deployed=is_deployed)

    def measured(self, taus: Mapping[Key, tuple[float, ...]], *, is_spare: bool = False) -> None:
        """In all that a reference is of, from the next arrangement on: better than by batches.
        `is_spare`: for units of which batches have never been enough."""
        if taus:
            self.taus()
            self._batches = None
            self._note({**taus, **self._taus} if is_spare else taus)

    def unmoved(self, columns: Mapping[Key, Ints]) -> dict[Key, Ints]:
        """Those of series of which nothing fires or has of late: a change is no dependence."""
        moved = {name for name, _ in (*self.firing, *self._over)}
        return {key: at for key, at in columns.items() if key[0] not in moved}

    def taus(self) -> dict[Key, tuple[float, ...]]:
        """Of the columns of each unit: as measured of late, else as they were taken to be."""
        sums = None if self._batches is None else self._batches.sums()
        if sums is not None:
            x, n, xx = sums
            of = self._columns
            names = [name for name, measure in of if measure == "unseen"]
            texts = [(of[n, "shape"], int(of[n, "unseen"][0])) for n in names if (n, "shape") in of]
            measured = taus_of(x, shares_of_all(n, texts), xx)
            unmoved = self.unmoved(self._columns)
            if unmoved:
                self.common_tau = max(common_tau(unmoved, *sums), self.common_tau / 2.0)
            at_of = self._columns.items()
            self._note({key: _same(tuple(measured[at].tolist())) for key, at in at_of})
        found = self.watched.taus | self._taus
        for key, least in self.inherited.items():
            found[key] = tuple(max(*least, tau) for tau in found.get(key, least))
        return found

    @property
    def _taus(self) -> dict[Key, tuple[float, ...]]:
        return dict(zip(*self._measured, strict=True))

    def _note(self, taus: Mapping[Key, tuple[float, ...]]) -> None:
        """Without a table of its own: the units are most often all that are watched."""
        found = self._taus | dict(taus)
        keys, watched = tuple(found), self._columns.in_order
        self._measured = watched if keys == watched else keys, tuple(found.values())

    # -- learning what is usual

    def learn(self) -> None:
        """A chunk is complete: what is old enough is usual now, for units that are calm."""
        sums = self.learning.close()
        if sums is None or self._bank is None:
            return
        due: list[Key] = []
        calm = self.calm()
        usual, tilted = self._usual.whole(), self._tilted[self._columns.counts].astype(np.int64)
        for key, columns in self._columns.items():
            if key in calm and key not in self._over:
                usual[:, columns] += sums[:, columns]
                if (usual[1, columns] >= _GROWN * tilted[columns]).all():
                    due.append(key)
        self._hold(usual, tilted)
        if due:
            of = np.concatenate([self._columns[key] for key in due])
            tilts = tilts_of([self._usual_terms(key) for key in due])
            self._bank.replace(self._bank.tilts.put(of, tilts))
            tilted[of] = usual[1, of]
            self._hold(usual, tilted)

    def _hold(self, usual: Ints, tilted: Ints) -> None:
        """Sums of what is compared with, (3, columns), and n when the constants were made."""
        self._usual = UnitSums.of(self._columns, usual)
        counts = tilted[self._columns.counted]
        self._tilted = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))

    def _absorb(self, key: Key, within: Baseline) -> None:
        columns = self._columns[key]
        usual, tilted = self._usual.whole(), self._tilted[self._columns.counts].astype(np.int64)
        usual[:, columns] += within.x, within.n, np.full(len(columns), within.xx)
        tilted[columns] = usual[1, columns]  # constants are made of these
        self._hold(usual, tilted)

    def _usual_terms(self, key: Key) -> Terms:
        """Those of the reference, and of all that has been learned since."""
        x, n, xx = self._usual.whole()[:, self._columns[key]]
        return self.watched[key].terms_by(Baseline(x, n, int(xx[0])))

    def _is_current(self, key: Key) -> bool:
        """Nothing was learned since the constants were made: they are those of the usual terms, as
        long as it did not fire."""
        columns = self._columns[key]
        tilted = self._tilted[self._columns.counts[columns]]
        return bool((self._usual.whole()[1, columns] == tilted).all())

    # -- state

    def snapshot(self) -> dict[str, Any]:
        bank, over = self._bank, self._over
        units = [
            [
                *key,
                one.unit.columns,
                one.unit.scale,
                one.profile.reference.id,
                one.numeric,
                one.share,
                list(one.tau),
            ]
            for key, one in self.watched.items()
        ]
        return {
            "units": units,
            "bank": None if bank is None else _flat(bank.snapshot()),
            "tilts": None if bank is None else _flat(bank.tilts.snapshot()),
            "proven": [[*key, one.snapshot()] for key, one in self._proven.items()],
            "firing": [[*key, firing.snapshot()] for key, firing in self.firing.items()],
            "learning": self.learning.snapshot(),
            "batches": None if self._batches is None else self._batches.snapshot(),
            "taus": [[*key, list(tau)] for key, tau in self._taus.items()],
            **({} if self.common_tau == 1.0 else {"common_tau": self.common_tau}),
            "usual": self._usual.whole().flatten(),
            "tilted": self._tilted[self._columns.counts].astype(np.int64),
            "inputs": None if self.inputs is None else self.inputs.snapshot(),
            **({"over": [[*key, of.snapshot()] for key, of in over.items()]} if over else {}),
            **({} if self.shared is None else {"shared": self.shared.snapshot()}),
        }

    def restore(
        self, profiles: Mapping[str, Profile], rules: Rules, model_id: str, plain: dict[str, Any]
    ) -> None:
        """`profiles`: of the references that units are compared with, by id."""
        ground, those = Ground(rules, model_id), list[Watched]()
        for name, measure, columns, scale, reference_id, numeric, share, tau in plain["units"]:
            unit, profile = Unit.of(name, measure, columns, scale), profiles[reference_id]
            known = _same(tuple(tau))
            those.append(watched(unit, profile, ground, numeric=numeric, share=share, tau=known))
        self.watched = WatchedUnits(those)
        self._lay_out(those)
        for name, measure, state in plain.get("proven", []):  # since 0.2
            one = self.watched[name, measure]
            self._proven[one.key] = Proven(one.unit, one.stake.rate)
            self._proven[one.key].restore(state)
        if plain["bank"] is not None:
            columns = len(plain["tilted"])
            tilts = Tilts.restore(_rows(plain["tilts"], columns))
            self._bank = CusumBank.restore(tilts, _rows(plain["bank"], columns))
        self.firing = {(name, m): Firing.restore(state) for name, m, state in plain["firing"]}
        over = plain.get("over", ())
        self._over = {(name, m): Firing.restore(state) for name, m, state in over}
        self.learning = Learning.restore(self._columns, plain["learning"])
        batches, columns = plain["batches"], len(plain["tilted"])
        self._batches = None if batches is None else Batches.restore(batches)
        self._note({(name, m): _same(tuple(tau)) for name, m, tau in plain.get("taus", ())})
        self.common_tau = plain.get("common_tau", 1.0)
        self._hold(np.array(plain["usual"]).reshape(3, columns), np.array(plain["tilted"]))
        if "shared" in plain:
            self.shared = SharedSums.restore(plain["shared"])
        if self.inputs is not None:
            inputs = plain.get("inputs") or []  # since 0.2
            self.inputs.restore(inputs, self.watched)


@lru_cache(maxsize=256)
def _same(taus: tuple[float, ...]) -> tuple[float, ...]:
    """Most are alike: nothing depends."""
    return taus


def _flat(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: array.flatten() for name, array in arrays.items()}


def _rows(arrays: Mapping[str, NDArray[Any]], columns: int) -> dict[str, NDArray[Any]]:
    """Inverse of `_flat`: one row a column of the bank, where there is more than one number."""
    return {
        name: array if len(array) == columns else array.reshape(columns, -1)
        for name, array in arrays.items()
    }


def _bank(former: CusumBank | None, kept: list[Ints], fresh: list[Terms]) -> CusumBank | None:
    """These columns of the former one, then the fresh units."""
    tilts = tilts_of(fresh) if fresh else None
    if former is None or not kept:
        return None if tilts is None else CusumBank(tilts)
    which = np.concatenate(kept)
    bank = former if np.array_equal(which, np.arange(len(former))) else former.take(which)
    if tilts is not None:
        bank.extend(tilts)
    return bank
