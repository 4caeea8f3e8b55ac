"""What stage 2 has heard on its partition of the panes topic, record by record."""

from __future__ import annotations

from typing import Any

from stream.numbering import Listener
from stream.watermark import BEFORE_ALL_MS
from stream.wire import Announcement, Fragment, PaneRecord, decode_pane_record


class Inbox:
    """Takes each record once, puts fragments together, and remembers who has announced what."""

    def __init__(self, sources: int) -> None:
        self._sources = sources
        self._listener = Listener()
        self._fragments: dict[int, list[bytes]] = {}  # by source partition, so far
        self.announced: dict[int, Announcement] = {}  # the latest
        self.reached: dict[int, tuple[int, int]] = {}  # the furthest: prediction, cohort

    def hear(self, value: bytes) -> PaneRecord | None:
        """The whole record that this one completes, if it does."""
        said = self._listener.hear(value)
        record = None if said is None else decode_pane_record(said)
        if isinstance(record, Fragment):
            whole = self._put_together(record)
            record = None if whole is None else decode_pane_record(whole)
        if isinstance(record, Announcement):
            self._note(record)
        return record

    def _put_together(self, fragment: Fragment) -> bytes | None:
        """The whole record with its last fragment; an owner that died half-way begins anew."""
        parts = self._fragments.pop(fragment.source, []) if fragment.index else []
        parts = [*parts, fragment.part]
        if fragment.index + 1 == fragment.count:
            return b"".join(parts)
        self._fragments[fragment.source] = parts
        return None

    def _note(self, record: Announcement) -> None:
        self.announced[record.source] = record
        # a new owner of a source partition may say less than the one before it has said
        prediction_ms, cohort_ms = self.reached_by(record.source)
        self.reached[record.source] = (
            max(prediction_ms, record.prediction_ms),
            max(cohort_ms, record.cohort_ms),
        )

    def reached_by(self, source: int) -> tuple[int, int]:
        return self.reached.get(source, (BEFORE_ALL_MS, BEFORE_ALL_MS))

    @property
    def seen_ms(self) -> int | None:
        """Up to where predictions were looked for, if their end has been declared since."""
        said = self.announced.values()
        seen = [a.prediction_ms if a.seen_ms is None else a.seen_ms for a in said]
        return min(seen) if any(a.seen_ms is not None for a in said) else None

    @property
    def has_heard_all(self) -> bool:
        return len(self.announced) == self._sources

    def snapshot(self) -> dict[str, Any]:
        return {
            "announced": [announced.to_plain() for announced in self.announced.values()],
            "reached": [[source, *reached] for source, reached in self.reached.items()],
            "fragments": dict(self._fragments),
            "listener": self._listener.snapshot(),
        }

    def restore(self, plain: dict[str, Any]) -> None:
        for fields in plain["announced"]:
            self.announced[fields[0]] = Announcement(*fields)
        for source, prediction_ms, cohort_ms in plain["reached"]:
            self.reached[source] = (prediction_ms, cohort_ms)
        self._fragments = dict(plain["fragments"])
        self._listener.restore(plain["listener"])
