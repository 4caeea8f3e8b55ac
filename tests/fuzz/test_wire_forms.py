"""Every wire form, drawn: it comes back as it was, and nothing that was changed on the way does."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import ABSENT, OTHER, TEXT, Column, Rows
from stream.feature_table import FeatureTable
from stream.grouped_rows import GroupedRows
from stream.notices import Notice
from stream.outcome_join import Delays
from stream.pane_kinds import KINDS
from stream.panes import PaneTable, summarise
from stream.plain_panes import rows_to_plain, table_to_plain
from stream.snapshot import BrokenRecordError, pack, unpack
from stream.wire import (
    BLOCK_VERSION,
    FINDING_KINDS,
    VERSION,
    Accepted,
    Activation,
    Announcement,
    Block,
    Bundle,
    Claim,
    DelayBlock,
    Finding,
    Founding,
    Fragment,
    Idle,
    JournalEntry,
    Learned,
    MaturityDecision,
    Noticed,
    PaneRecord,
    Progress,
    Renewed,
    Shed,
    Verdict,
    decode_finding,
    decode_journal,
    decode_pane_record,
    encode_finding,
    encode_journal,
    encode_pane_record,
)

int64 = st.integers(-(2**63), 2**63 - 1)
uint64 = st.integers(0, 2**64 - 1)
count = st.integers(0, 2**63 - 1)
names = st.text(max_size=12)
groups = st.tuples(names, names, names, names)
kinds = st.sampled_from([*KINDS, "cohort@5000"])
finding_kinds = st.sampled_from(FINDING_KINDS)


@st.composite
def rows(draw: st.DrawFn, least: int = 0) -> Rows:
    size = draw(st.integers(least, 8))
    texts = draw(st.dictionaries(uint64, names, max_size=4))

    def cells(of: st.SearchStrategy[int], kind: type) -> Any:
        return np.array(draw(st.lists(of, min_size=size, max_size=size)), kind)

    columns = {}
    for name in draw(st.sets(names, max_size=3)):
        shown = st.integers(ABSENT, OTHER) if texts else st.integers(ABSENT, TEXT - 1)
        kind = cells(shown, np.uint8)
        bits = cells(st.sampled_from([*texts, 0]), np.uint64)
        texts.setdefault(0, "")
        columns[name] = Column(kind, bits)
    ends = 1_000 * cells(st.integers(-3, 3), np.int64)
    return Rows(ends, cells(uint64, np.uint64), columns, texts)


def tables() -> st.SearchStrategy[PaneTable]:
    return st.builds(summarise, rows(1), st.integers(0, 4), st.integers(1, 3))


@st.composite
def delays(draw: st.DrawFn) -> Delays:
    size = draw(st.integers(0, 4))
    cells = st.lists(int64, min_size=size, max_size=size)
    return Delays(*(np.array(draw(cells), np.int64) for _ in range(4)))


blocks = st.builds(Block, count, count, kinds, groups, st.none() | rows(), st.none() | tables())


@st.composite
def grouped(draw: st.DrawFn) -> GroupedRows:
    made = draw(rows(1))
    cuts = draw(st.lists(st.booleans(), min_size=len(made) - 1, max_size=len(made) - 1))
    code = np.cumsum([0, *cuts])
    size = int(code[-1]) + 1
    of = draw(st.lists(groups, min_size=size, max_size=size, unique=True))
    return GroupedRows(made, code, of)


pane_records: st.SearchStrategy[PaneRecord] = st.one_of(
    blocks,
    st.builds(Bundle, count, count, kinds, grouped()),
    st.builds(DelayBlock, count, count, names, delays()),
    st.builds(Learned, count, count, names),
    st.builds(Announcement, count, count, count, int64, int64),
    st.builds(Fragment, count, count, count, st.binary(max_size=40)),
)
plain = st.recursive(
    st.none() | st.booleans() | int64 | st.floats(allow_nan=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
verdicts = st.sampled_from(get_args(Verdict))
details = st.dictionaries(names, plain, max_size=3)
finding_records: st.SearchStrategy[Finding | Progress] = st.one_of(
    st.builds(
        Finding, count, count, finding_kinds, int64, int64, groups, names, names, verdicts, details
    ),
    st.builds(Progress, count, count, count, int64, int64),
)
sides = st.sampled_from(["predictions", "outcomes"])
notices = st.builds(
    Notice, st.just("acknowledgement"), st.none() | int64, names, names, names, names, names
)
journal_entries: st.SearchStrategy[JournalEntry] = st.one_of(
    st.builds(Claim, count, count, names),
    st.builds(Idle, count, count, count, sides, count, int64),
    st.builds(Shed, count, count, count, sides, count, st.sampled_from(("pending", "ids")), count),
    st.builds(MaturityDecision, count, count, count, names, st.none() | count, int64),
    st.builds(Founding, names, details),
    st.builds(Activation, count, count, count, count, names, int64, st.none() | details),
    st.builds(Accepted, count, count, count, sides, count, count, names),
    st.builds(Renewed, count, count, count, count, int64, names, st.none() | names),
    st.builds(Noticed, count, count, count, count, int64, notices),
)


class Form(NamedTuple):
    records: st.SearchStrategy[Any]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


FORMS = {
    "panes": Form(pane_records, encode_pane_record, decode_pane_record),
    "findings": Form(finding_records, encode_finding, decode_finding),
    "journal": Form(journal_entries, encode_journal, decode_journal),
    "state": Form(plain, lambda v: pack(b"1", 3, v), lambda data: unpack(b"1", 3, data)),
}


def seen(value: Any) -> Any:
    """Records with arrays, so that they can be compared: types, bytes and all."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if hasattr(value, "__dataclass_fields__"):
        fields = {name: seen(getattr(value, name)) for name in value.__dataclass_fields__}
        if isinstance(value, Rows):  # only the texts that are used travel
            used = {int(code) for c in value.columns.values() for code in c.texts()[1]}
            fields["texts"] = {code: value.texts[code] for code in used}
        kind = FeatureTable if isinstance(value, FeatureTable) else type(value)  # dealt or whole
        return kind, fields
    if isinstance(value, Mapping):
        return {name: seen(inner) for name, inner in value.items()}
    return value


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
@pytest.mark.parametrize("name", FORMS)
def test_every_record_comes_back_as_it_was(name: str, data: st.DataObject) -> None:
    form = FORMS[name]
    record = data.draw(form.records)
    written = form.encode(record)
    found = form.decode(written)
    assert seen(found) == seen(record)
    assert form.encode(found) == written


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
@pytest.mark.parametrize("name", FORMS)
def test_a_flipped_bit_a_cut_or_a_tail_is_refused(name: str, data: st.DataObject) -> None:
    form = FORMS[name]
    whole = form.encode(data.draw(form.records))
    at = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at // 8] ^= 1 << at % 8
    changed = [bytes(flipped), whole[: data.draw(st.integers(0, len(whole) - 1))], whole + b"\x00"]
    for value in changed:
        with pytest.raises(BrokenRecordError):
            form.decode(value)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(data=st.data(), other=st.integers(0, 255))
@pytest.mark.parametrize("name", FORMS)
def test_another_version_is_refused_and_both_are_named(
    name: str, data: st.DataObject, other: int
) -> None:
    form = FORMS[name]
    whole = bytearray(form.encode(data.draw(form.records)))
    ours = whole[1]
    if other == ours:
        other = ours + 1
    whole[1] = other
    with pytest.raises(BrokenRecordError, match=f"version {other}; this build reads {ours}"):
        form.decode(bytes(whole))


def body(record: PaneRecord) -> Any:
    written = encode_pane_record(record)
    return unpack(written[:1], written[1], written)


def test_every_kind_of_record_is_drawn() -> None:
    drawn = {Block, Bundle, DelayBlock, Learned, Announcement, Fragment}
    assert set(get_args(PaneRecord)) == drawn
    entries = {
        Claim,
        Idle,
        Shed,
        MaturityDecision,
        Founding,
        Activation,
        Accepted,
        Renewed,
        Noticed,
    }
    assert set(get_args(JournalEntry)) == entries


TABLE = summarise(
    Rows(
        np.array([1_000, 2_000, 2_000]),
        np.array([5, 6, 7], np.uint64),
        {"x": Column(np.array([2, 3, 2], np.uint8), np.array([0, 9, 1], np.uint64))},
        {9: "nine"},
    ),
    2,
    2,
)
BLOCK = Block(0, 1, "cohort", ("m", "1", "c", ""), TABLE.sample, TABLE)
I8, U8, U1, F8 = (np.array([1], kind) for kind in ("i8", "u8", "u1", "f8"))


def changed(path: tuple[Any, ...], value: Any) -> bytes:
    """A block of rows and a table as 0.1.0 wrote it, in which one place has another value."""
    old = {"rows": rows_to_plain(TABLE.sample), "table": table_to_plain(TABLE)}
    return pack(b"B", VERSION, with_changed(body(BLOCK) | old, path, value))


def changed_together(path: tuple[Any, ...], value: Any) -> bytes:
    """The same in the form of this build."""
    return pack(b"B", BLOCK_VERSION, with_changed(body(BLOCK), path, value))


def with_changed(plain_body: Any, path: tuple[Any, ...], value: Any) -> Any:
    place = plain_body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return plain_body


FEATURE = ("table", "features", "x")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("source",), "0"),
        (("epoch",), None),
        (("epoch",), True),
        (("kind",), "other"),
        (("group",), ["m", "1", "c"]),
        (("group", 2), 3),
        (("rows", "end"), I8),
        (("rows", "end"), np.array([1.0, 2.0, 2.0])),
        (("rows", "end"), [1_000, 2_000, 2_000]),
        (("rows", "hash"), U8),
        (("rows", "columns"), {"x": [U1, U8]}),
        (("rows", "columns", "x"), [U8]),
        (("rows", "columns", "x", 0), np.array([2, 5, 2], np.uint8)),
        (("rows", "columns", "x", 1), np.array([2, 5, 2])),
        (("rows", "columns"), {7: [U1, U8]}),
        (("rows", "texts"), {}),
        (("rows", "texts"), {9: b"nine"}),
        (("rows", "texts"), None),
        (("table", "end"), np.array([2_000, 1_000])),
        (("table", "end"), np.array([2_000, 2_000])),
        (("table", "end"), np.zeros(0, np.int64)),
        (("table", "rows"), I8),
        (("table", "limit"), np.array([1, 2])),
        (("table", "features"), {7: []}),
        ((*FEATURE, 0, 0), I8),
        ((*FEATURE, 0, 4), np.array([1, 2])),
        ((*FEATURE, 0), []),
        ((*FEATURE, 1, 0), np.array([0, 2])),
        ((*FEATURE, 1, 1), np.array([0.0])),
        ((*FEATURE, 2, 2), np.zeros(5, np.int64)),
        ((*FEATURE, 3, 0), np.array([1, 0])),
        ((*FEATURE, 3, 1), np.array([1.0, 2.0])),
        ((*FEATURE, 4, 0), np.array([-1])),
        ((*FEATURE, 4, 1), np.array([9])),
        ((*FEATURE, 4, 1), np.array([8], np.uint64)),
        ((*FEATURE, 4, 2), np.zeros(2, np.int64)),
        (("table", "sample", "end"), np.array([1_000, 2_000, 3_000])),
        (("table", "sample", "texts"), {}),
    ],
)
def test_a_block_of_another_form_is_refused_behind_a_right_checksum(
    path: tuple[Any, ...], value: Any
) -> None:
    with pytest.raises(BrokenRecordError):
        decode_pane_record(changed(path, value))


WHOLE = ("table", "whole")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("source",), "0"),
        (("group", 2), 3),
        (("rows", "end"), I8),
        (("rows", "end"), np.array([1.0, 2.0, 2.0])),
        (("rows", "names"), ["x", "y"]),
        (("rows", "names"), ["x", "x"]),
        (("rows", "names"), [7]),
        (("rows", "names"), "x"),
        (("rows", "kinds"), U1),
        (("rows", "kinds"), np.array([2, 5, 2], np.uint8)),
        (("rows", "bits"), U8),
        (("rows", "bits"), np.array([2, 5, 2])),
        (("rows", "texts"), {}),
        (("rows", "texts"), None),
        (("table", "end"), np.array([2_000, 1_000])),
        (("table", "end"), I8),
        (("table", "rows"), I8),
        (("table", "limit"), np.array([1, 2])),
        (("table", "names"), ["x", "y"]),
        (("table", "names"), []),
        (("table", "names"), [7]),
        ((*WHOLE, 0, 0), I8),
        ((*WHOLE, 0, 4), np.array([1, 2])),
        (WHOLE, []),
        ((*WHOLE, 1, 0), np.array([0, 2])),
        ((*WHOLE, 1, 1), np.array([0.0])),
        ((*WHOLE, 2, 2), np.zeros(5, np.int64)),
        ((*WHOLE, 3, 0), np.array([1, 0])),
        ((*WHOLE, 3, 1), np.array([1.0, 2.0])),
        ((*WHOLE, 4, 0), np.array([-1])),
        ((*WHOLE, 4, 1), np.array([9])),
        ((*WHOLE, 4, 2), np.zeros(2, np.int64)),
        (("table", "sample", "end"), np.array([1_000, 2_000, 3_000])),
        (("table", "sample", "texts"), {}),
    ],
)
def test_a_block_of_another_form_together_is_refused_behind_a_right_checksum(
    path: tuple[Any, ...], value: Any
) -> None:
    with pytest.raises(BrokenRecordError):
        decode_pane_record(changed_together(path, value))


def test_a_block_that_is_only_written_again_is_accepted() -> None:
    for write in (changed, changed_together):
        found = decode_pane_record(write(("epoch",), 4))
        assert isinstance(found, Block)
        assert seen(found) == seen(replace(BLOCK, epoch=4))


@pytest.mark.parametrize(
    ("magic", "plain_body"),
    [
        (b"D", [0, 1, "m", [I8, I8, I8]]),
        (b"D", [0, 1, "m", [I8, I8, I8, F8]]),
        (b"D", [0, 1, "m", [I8, I8, I8, np.array([1, 2])]]),
        (b"D", [0, 1, "m", []]),
        (b"L", [0, 1, b"m"]),
        (b"L", [0, 1]),
        (b"A", [0, 1, 2, 3]),
        (b"A", [0, 1, 2, 3, 4.5]),
        (b"A", {"source": 0}),
        (b"P", [0, 1, 2, "part"]),
        (b"B", []),
        (b"B", {"source": 0, "epoch": 1}),
    ],
)
def test_a_note_of_another_form_is_refused_behind_a_right_checksum(
    magic: bytes, plain_body: Any
) -> None:
    with pytest.raises(BrokenRecordError):
        decode_pane_record(pack(magic, VERSION, plain_body))


@pytest.mark.parametrize(
    ("magic", "decode", "said"),
    [
        (b"F", decode_finding, b"\x81\xa4type\xa7nothing"),
        (b"F", decode_finding, b"\x90"),
        (b"J", decode_journal, b"\x81\xa4type\xa5claim"),
        (b"J", decode_journal, b"\xc0"),
    ],
)
def test_a_finding_or_an_entry_of_another_form_is_refused_behind_a_right_checksum(
    magic: bytes, decode: Callable[[bytes], Any], said: bytes
) -> None:
    value = magic + bytes([VERSION]) + zlib.crc32(said).to_bytes(4, "little") + said
    with pytest.raises(BrokenRecordError, match="has not its form"):
        decode(value)
