"""From answered exchanges to the JSON of their records, column by column."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from time import monotonic, time
from typing import Any, Final

import numpy as np
import orjson
import xxhash

from serving.exchange import header_text
from serving.records.config import ALL

MIRROR_MARK: Final = b"tidegate-mirror"
KEY_MARK: Final = b"tidegate-key"
SHARE_MARK: Final = b"tidegate-share"
MARKS: Final = frozenset({MIRROR_MARK, KEY_MARK, SHARE_MARK})
"""The headers that Envoy sets: whether a request is a copy for a candidate, the sticky key, and the share in basis
points with which the version was chosen."""

MAX_TEXT: Final = 256
"""Bytes of an id or a key that are kept; a longer one is replaced by its xxh128, the same for equal values."""

SAMPLING_SEED: Final = 1
"""Envoy chooses versions by the same hash of the same id with seed 0. If sampling did too, a small sample would hold
the requests of the first version only."""

Answered = tuple[
    bytes, Mapping[bytes, bytes] | None, float, float, int, np.ndarray | None, Mapping[str, np.ndarray] | None
]
"""Of an answered exchange: id, marks, `time.monotonic()` of its begin and its end, status, rows, outputs.

A bare tuple: it is made for every request, and while it waits the exchange's memory is used again for the next one.
"""

_PLAIN: Final = bytes(range(0x20, 0x7F))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Block:
    """The JSON of some records whose values have the same columns, and how many they are."""

    records: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Encoder:
    """Writes blocks. `columns` are the names of the model's inputs in its order; see `RecordsConfig` for the rest."""

    columns: tuple[str, ...]
    sample: int
    max_rows: int

    def encode(self, answered: Sequence[Answered]) -> list[Block]:
        """The records: those without values in one block, the others by the names of their outputs.

        Columns that have no names are called by their positions: "0", "1", … Raises for values that are no JSON.
        """
        every = self.sample == ALL
        kinds = [
            None if rows is None or not (every or self._chosen(name)) else () if outputs is None else tuple(outputs)
            for name, _, _, _, _, rows, outputs in answered
        ]
        if kinds.count(kinds[0]) == len(kinds):
            return [self._block(kinds[0], answered)]
        return [
            self._block(kind, [one for one, its in zip(answered, kinds, strict=True) if its == kind])
            for kind in dict.fromkeys(kinds)
        ]

    def _chosen(self, request_id: bytes) -> bool:
        return xxhash.xxh64_intdigest(request_id, SAMPLING_SEED) % ALL < self.sample

    def _block(self, kind: tuple[str, ...] | None, answered: Sequence[Answered]) -> Block:
        """Records with inputs and with the outputs that `kind` names; with neither when it is None.

        A column in which every value is the one that its absence stands for is left out.
        """
        names, marks, began, ended, statuses, tables, answers = zip(*answered, strict=True)
        to_wall = time() - monotonic()
        rows = [0 if table is None else len(table) for table in tables]
        block: dict[str, Any] = {
            "id": _texts(names),
            "at": [int((end + to_wall) * 1e6) for end in ended],
            "us": [int((end - begin) * 1e6) for begin, end in zip(began, ended, strict=True)],
        }
        if statuses.count(200) != len(statuses):
            block["status"] = statuses
        if rows.count(1) != len(rows):
            block["rows"] = rows
        if any(marks):
            block |= _marked([each or {} for each in marks])
        if kind is not None:
            limit = self.max_rows
            if max(rows) > limit:
                block["kept"] = [min(each, limit) for each in rows]
                tables = tuple(table[:limit] for table in tables)
            columns = np.concatenate(tables).T.tolist()
            block["inputs"] = dict(zip(self.columns or map(str, count()), columns, strict=False))
            if kind:
                block["outputs"] = {output: _joined([each[output] for each in answers], limit) for output in kind}
        return Block(len(answered), orjson.dumps(block))


def _marked(marks: Sequence[Mapping[bytes, bytes]]) -> dict[str, list[Any]]:
    """The columns of what Envoy said about requests."""
    columns: dict[str, list[Any]] = {}
    mirrored = [each.get(MIRROR_MARK) == b"1" for each in marks]
    if any(mirrored):
        columns["mirrored"] = mirrored
    keys = [each.get(KEY_MARK, b"") for each in marks]
    if any(keys):
        columns["key"] = [key or None for key in _texts(keys)]
    shares = [each.get(SHARE_MARK) for each in marks]
    points = {share: _points(share) for share in set(shares)}
    if any(each is not None for each in points.values()):
        columns["share"] = [points[share] for share in shares]
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
