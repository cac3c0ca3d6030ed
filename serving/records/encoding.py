"""From answered exchanges to the JSON of their records, column by column."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain, count
from time import monotonic, time
from typing import Any, Final

import numpy as np
import orjson
import xxhash

from serving.exchange import header_text
from serving.records.config import ALL

MAX_TEXT: Final = 256
"""Bytes of an id or a key that are kept; a longer one is replaced by its xxh128, the same for equal values."""

_PLAIN: Final = bytes(range(0x20, 0x7F))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class Gathered:
    """Answered exchanges that wait to be written, column by column: all of them with values or none.

    An object for each exchange would cost more to make, to take apart, and for the garbage collector to look at.
    """

    ids: list[bytes] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    """`time.monotonic()` of when they were answered."""
    us: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    mirrors: list[bytes | None] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    shares: list[bytes | None] = field(default_factory=list)
    tables: list[np.ndarray] = field(default_factory=list)
    """What the model was asked; an empty list without values."""
    answers: list[Mapping[str, np.ndarray] | None] = field(default_factory=list)
    """What it said; None of those where it failed."""

    def only(self, places: Iterable[int]) -> "Gathered":
        """Some of them."""
        columns = [getattr(self, column.name) for column in fields(self)]
        return Gathered(*([column[place] for place in places] if column else [] for column in columns))


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
        """The records, by the names of their outputs.

        Columns that have no names are called by their positions: "0", "1", … Raises for values that are no JSON.
        """
        kinds = [() if outputs is None else tuple(outputs) for outputs in gathered.answers]
        if not kinds or kinds.count(kinds[0]) == len(kinds):
            return [self._block(gathered)]
        return [
            self._block(gathered.only([place for place, its in enumerate(kinds) if its == kind]))
            for kind in dict.fromkeys(kinds)
        ]

    def _block(self, gathered: Gathered) -> Block:
        """Records with the same outputs. A column in which every value is the usual one is left out."""
        to_wall = time() - monotonic()
        statuses, rows, shares, records = gathered.statuses, gathered.rows, gathered.shares, len(gathered.ids)
        block: dict[str, Any] = {
            "id": _texts(gathered.ids),
            "at": [int((end + to_wall) * 1e6) for end in gathered.ended],
            "us": gathered.us,
        }
        if statuses.count(200) != records:
            block["status"] = statuses
        if rows.count(1) != records:
            block["rows"] = rows
        if any(gathered.mirrors):
            block["mirrored"] = [mirror == b"1" for mirror in gathered.mirrors]
        if any(gathered.keys):
            keys = _texts([key or b"" for key in gathered.keys])
            block["key"] = keys if all(keys) else [key or None for key in keys]
        if any(shares):
            same = shares.count(shares[0]) == records
            block["share"] = [_points(shares[0])] * records if same else [_points(share) for share in shares]
        if gathered.tables:
            block |= self._values(gathered)
        return Block(records, orjson.dumps(block))

    def _values(self, gathered: Gathered) -> dict[str, Any]:
        """The columns of the values, and how many rows of each record are in them, unless it is all of them."""
        limit, tables, answers = self.max_rows, gathered.tables, gathered.answers
        columns: dict[str, Any] = {}
        if max(gathered.rows) > limit:
            columns["kept"] = [min(each, limit) for each in gathered.rows]
            tables = [table[:limit] for table in tables]
        inputs = np.concatenate(tables).T.tolist()
        columns["inputs"] = dict(zip(self.columns or map(str, count()), inputs, strict=False))
        if answers[0]:
            columns["outputs"] = {name: _joined([each[name] for each in answers if each], limit) for name in answers[0]}
        return columns


def _points(share: bytes | None) -> int | None:
    """The basis points in a mark; None for anything else."""
    if share and share.isdigit() and len(share) <= 5 and (points := int(share)) <= ALL:
        return points
    return None


def _joined(arrays: Iterable[np.ndarray], limit: int) -> list[Any]:
    """The first rows of each array, in one list. numpy would give them one dtype, and make text of numbers."""
    return list(chain.from_iterable([(each if len(each) <= limit else each[:limit]).tolist() for each in arrays]))


def _texts(values: Sequence[bytes]) -> list[str]:
    """What clients wrote into a header. Most of it is plain, and then all of it is looked at in one go."""
    joined = b"\n".join(values)
    if max(map(len, values)) <= MAX_TEXT and joined.translate(None, _PLAIN) == b"\n" * (len(values) - 1):
        return joined.decode().split("\n")
    return [_text(value) for value in values]


def _text(value: bytes) -> str:
    """What a client wrote into a header, short and without control characters."""
    if len(value) > MAX_TEXT:
        return f"xxh128:{xxhash.xxh128_hexdigest(value)}"
    text = header_text(value)
    return text if text.isprintable() else _CONTROL.sub("\ufffd", text)
