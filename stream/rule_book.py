"""Which rules are in force at which event time.

The first configuration of an `app` is *founding*: it stands in the journal, and counts from the
beginning of time. Every other one is announced on `leeway.control` and comes into force at a
ready time: stages 2 and 3 judge a pane, and sign what they find of it, by the rules in force at
its ready time. Where the announced time has passed already, the owner of a stage's partition
takes the next ready time that it has not released yet and journals it, so that a new owner and a
replay change at the same pane.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import msgspec

from stream.rules import Rules
from stream.snapshot import Part, pack, unpack
from stream.watermark import BEFORE_ALL_MS

_MAGIC, _VERSION = b"C", 1


class RefusedConfigError(ValueError):
    """This configuration cannot take over; the message says why."""


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """An announcement: these rules from `effective_at_ms` on (event time)."""

    effective_at_ms: int
    rules: Rules

    def encode(self) -> bytes:
        return msgspec.json.encode(
            {
                "type": "config",
                "effective_at": self.effective_at_ms,
                "config_hash": self.rules.config_hash(),
                "rules": self.rules.to_plain(),
            }
        )

    @classmethod
    def of_plain(cls, effective_at_ms: int, config_hash: str, plain: Mapping[str, Any]) -> Self:
        """Raises RefusedConfigError: damaged, or of a build that knows other settings."""
        try:
            rules = Rules.from_plain(plain)
            found = rules.config_hash()
        except (ValueError, OverflowError) as error:
            raise RefusedConfigError(f"config {config_hash}: {error}") from None
        if found != config_hash:
            raise RefusedConfigError(
                f"config {config_hash}: its rules have the hash {found}; "
                "another build wrote it, which knows other settings"
            )
        return cls(effective_at_ms, rules)


class RuleBook:
    """The founding rules and those announced, in the order of the control topic."""

    def __init__(self, founding: Rules) -> None:
        self.founding = founding
        self.changes: list[ConfigChange] = []
        self._rules = {founding.config_hash(): founding}

    def __contains__(self, config_hash: str) -> bool:
        return config_hash in self._rules

    def __getitem__(self, config_hash: str) -> Rules:
        return self._rules[config_hash]

    def hashes(self) -> list[str]:
        """The founding one first."""
        return list(self._rules)

    def announce(self, change: ConfigChange) -> None:
        """Raises RefusedConfigError where held state would mean something else under it."""
        for former in self._rules.values():
            reasons = change.rules.cannot_follow(former)
            if reasons:
                raise RefusedConfigError(
                    f"config {change.rules.config_hash()} cannot follow {former.config_hash()}: "
                    + "; ".join(reasons)
                    + ". It needs another `app`"
                )
        self.changes.append(change)
        self._rules.setdefault(change.rules.config_hash(), change.rules)


class Schedule:
    """The rules of one partition of a stage, by ready time."""

    def __init__(self, founding: Rules) -> None:
        self._from_ms = [BEFORE_ALL_MS]
        self._rules = [founding]
        self._announced_at: list[int | None] = [None]

    def add(self, at_ms: int, rules: Rules, announced_at: int | None = None) -> None:
        """From this ready time on; what was added later counts where two begin together.

        `announced_at`: the offset of the announcement; each comes into force once."""
        if announced_at is not None and announced_at in self._announced_at:
            return
        place = bisect_right(self._from_ms, at_ms)
        self._from_ms.insert(place, at_ms)
        self._rules.insert(place, rules)
        self._announced_at.insert(place, announced_at)

    def has(self, announced_at: int) -> bool:
        return announced_at in self._announced_at

    def at(self, ready_ms: int) -> Rules:
        return self._rules[bisect_right(self._from_ms, ready_ms) - 1]

    def in_force(self) -> list[Rules]:
        """By when they come into force."""
        return self._rules

    def spans(self, since_ms: int) -> Iterator[tuple[int, int, Rules]]:
        """(from, to, rules) of what is in force at this time and later; `to` is exclusive."""
        ends_ms = [*self._from_ms[1:], 2**63]
        for from_ms, to_ms, rules in zip(self._from_ms, ends_ms, self._rules, strict=True):
            if to_ms > max(from_ms, since_ms):
                yield from_ms, to_ms, rules

    def changes_within(self, first_ms: int, last_ms: int) -> list[int]:
        """Ready times in (first_ms, last_ms] at which other rules come into force, rising."""
        low, high = bisect_right(self._from_ms, first_ms), bisect_right(self._from_ms, last_ms)
        return sorted(set(self._from_ms[low:high]))

    def of_model(self, model_id: str) -> Rules:
        """Those that know this model, for what cannot change about it: all of them agree."""
        return next((r for r in self._rules if r.knows(model_id)), self._rules[0])

    @property
    def every(self) -> list[Rules]:
        """All that were or will be in force."""
        return self._rules

    def all(self) -> dict[str, Rules]:
        """By hash."""
        return {rules.config_hash(): rules for rules in self._rules}

    def snapshot(self) -> list[Any]:
        entries = zip(self._from_ms, self._rules, self._announced_at, strict=True)
        return [[at_ms, rules.config_hash(), announced] for at_ms, rules, announced in entries]

    def parts(self) -> list[Part]:
        """The rules themselves: with many models they are large, and never change."""
        return [rules_part(rules) for rules in self.all().values()]

    @classmethod
    def restore(cls, plain: Iterable[Any], state: Mapping[str, bytes]) -> Schedule:
        """Of a snapshot and the parts among which its rules are. Raises BrokenRecordError."""
        entries = list(plain)
        by_hash = {
            config_hash: rules_stored(config_hash, state)
            for config_hash in {config_hash for _, config_hash, _ in entries}
        }
        schedule = cls(by_hash[entries[0][1]])
        for at_ms, config_hash, announced_at in entries[1:]:
            schedule.add(at_ms, by_hash[config_hash], announced_at)
        return schedule


def rules_part(rules: Rules) -> Part:
    pack_rules = partial(pack, _MAGIC, _VERSION, rules.to_plain())
    return Part(f"rules/{rules.config_hash()}", 0, pack_rules)


def rules_stored(config_hash: str, state: Mapping[str, bytes]) -> Rules:
    """Inverse of `rules_part`. Raises BrokenRecordError."""
    return Rules.from_plain(unpack(_MAGIC, _VERSION, state[f"rules/{config_hash}"]))
