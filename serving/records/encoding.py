"""From answered exchanges to the JSON of their records, column by column."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from time import monotonic, time
from typing import Any, Final

import numpy as np
import orjson
import xxhash

from serving.exchange import header_text
from serving.records.brief import Columns
from serving.records.config import ALL

MAX_TEXT: Final = 256
"""Bytes of an id or a key that are kept; a longer one is replaced by its xxh128, the same for equal values."""

FIELDS: Final = 8
"""Things that are gathered of every exchange, whether it has values or not."""

_PLAIN: Final = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))
"""What is written in JSON as it is."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class Gathered:
    """Answered exchanges that wait to be written: all of them with values or none.

    An object for each exchange would cost more to make, to take apart, and for the garbage collector to look at.
    """

    plain: list[Any] = field(default_factory=list)
    """Of one exchange after the other, `FIELDS` things: its id, `time.monotonic()` of when it was answered and of when
    it came, its status, how many rows it had, and the marks that say whether it was mirrored, its key and its share."""
    tables: list[np.ndarray | Columns] = field(default_factory=list)
    """What the model was asked, of named tensors what is kept; an empty list without values."""
    answers: list[Mapping[str, np.ndarray] | None] = field(default_factory=list)
    """What it said; None of those where it failed."""

    def __len__(self) -> int:
        """How many exchanges they are."""
        return len(self.plain) // FIELDS

    def only(self, places: Sequence[int]) -> "Gathered":
        """Some of them."""
        return Gathered(
            [each for place in places for each in self.plain[place * FIELDS : (place + 1) * FIELDS]],
            [self.tables[place] for place in places if self.tables],
            [self.answers[place] for place in places if self.answers],
        )


@dataclass(frozen=True, slots=True)
class Block:
    """The JSON of some records whose values have the same columns, and how many they are."""

    records: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Encoder:
    """Writes blocks. `columns` are the names of the model's inputs in its order; see `RecordsConfig` for the rest."""

    columns: tuple[str, ...]
    max_rows: int

    def encode(self, gathered: Gathered) -> list[Block]:
        """The records, by the names of their outputs, and of their inputs where these differ.

        Columns that have no names are called by their positions: "0", "1", … Raises for values that are no JSON.
        """
        kinds: list[tuple[object, ...]] = [() if outputs is None else tuple(outputs) for outputs in gathered.answers]
        if gathered.tables and isinstance(gathered.tables[0], dict):
            kinds = [(kind, *table) for kind, table in zip(kinds, gathered.tables, strict=True)]
        if not kinds or kinds.count(kinds[0]) == len(kinds):
            return [self._block(gathered)]
        return [
            self._block(gathered.only([place for place, its in enumerate(kinds) if its == kind]))
            for kind in dict.fromkeys(kinds)
        ]

    def _block(self, gathered: Gathered) -> Block:
        """Records with the same outputs. A column in which every value is the usual one is left out."""
        ids, ended, began, statuses, rows, mirrors, keys, shares = (gathered.plain[n::FIELDS] for n in range(FIELDS))
        records = len(ids)
        ends = np.array(ended)
        block: dict[str, Any] = {
            "id": _texts(ids),
            "at": _microseconds(ends + (time() - monotonic())),
            "us": _microseconds(ends - began),
        }
        if statuses.count(200) != records:
            block["status"] = statuses
        if rows.count(1) != records:
            block["rows"] = rows
        if any(mirrors):
            block["mirrored"] = [mirror == b"1" for mirror in mirrors]
        if all(keys):
            block["key"] = _texts(keys)
        elif any(keys):
            block["key"] = [_text(key) if key else None for key in keys]
        if any(shares):
            same = shares.count(shares[0]) == records
            block["share"] = [_points(shares[0])] * records if same else [_points(share) for share in shares]
        if gathered.tables:
            block |= self._values(gathered, rows)
        return Block(records, orjson.dumps(block, option=orjson.OPT_SERIALIZE_NUMPY))

    def _values(self, gathered: Gathered, rows: list[int]) -> dict[str, Any]:
        """The columns of the values, and how many rows of each record are in them, unless it is all of them."""
        limit, answers = self.max_rows, gathered.answers
        columns: dict[str, Any] = {}
        if max(rows) > limit:
            columns["kept"] = [min(each, limit) for each in rows]
        columns["inputs"] = self._inputs(gathered.tables, cut="kept" in columns)
        if answers[0]:
            columns["outputs"] = {name: _joined([each[name] for each in answers if each], limit) for name in answers[0]}
        return columns

    def _inputs(self, tables: list[Any], *, cut: bool) -> Columns:
        if isinstance(tables[0], dict):
            return {name: list(chain.from_iterable(table[name] for table in tables)) for name in tables[0]}
        values = np.concatenate([table[: self.max_rows] for table in tables] if cut else tables).T.tolist()
        return dict(zip(self.columns or map(str, count()), values, strict=False))


def _points(share: bytes | None) -> int | None:
    """The basis points in a mark; None for anything else."""
    if share and share.isdigit() and len(share) <= 5 and (points := int(share)) <= ALL:
        return points
    return None


def _joined(arrays: Iterable[np.ndarray], limit: int) -> list[Any]:
    """The first rows of each array, in one list. numpy would give them one dtype, and make text of numbers."""
    return list(chain.from_iterable([(each if len(each) <= limit else each[:limit]).tolist() for each in arrays]))


def _microseconds(seconds: np.ndarray) -> np.ndarray:
    """Whole ones, as orjson writes them."""
    return (seconds * 1e6).astype(np.int64)


def _texts(values: Sequence[bytes]) -> orjson.Fragment | list[str]:
    """What clients wrote into a header. Most of it is its own JSON, and then all of it is looked at in one go."""
    joined = b'","'.join(values)
    if max(map(len, values)) <= MAX_TEXT and joined.translate(None, _PLAIN) == b'""' * (len(values) - 1):
        return orjson.Fragment(b'["%b"]' % joined)
    return [_text(value) for value in values]


def _text(value: bytes) -> str:
    """What a client wrote into a header, short and without control characters."""
    if len(value) > MAX_TEXT:
        return f"xxh128:{xxhash.xxh128_hexdigest(value)}"
    text = header_text(value)
    return text if text.isprintable() else _CONTROL.sub("\ufffd", text)
