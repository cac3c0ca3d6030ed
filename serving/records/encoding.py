"""From an answered exchange to the JSON of its record."""

import re
from dataclasses import dataclass
from itertools import count
from time import monotonic, time
from typing import Any, Final

import numpy as np
import orjson
import xxhash

from serving.exchange import Exchange, header_text
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

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Encoder:
    """Writes records. `columns` are the names of the model's inputs in its order; see `RecordsConfig` for the rest."""

    columns: tuple[str, ...]
    sample: int
    max_rows: int

    def encode(self, exchange: Exchange, status: int) -> bytes:
        """The record of an exchange that has just been answered with this status.

        Columns that have no names are called by their positions: "0", "1", …
        """
        rows, marks = exchange.rows, exchange.marks
        record: dict[str, Any] = {
            "id": _text(exchange.request_id),
            "at": time(),
            "status": status,
            "ms": (monotonic() - exchange.began) * 1e3,
            "mirrored": False,
            "rows": 0 if rows is None else len(rows),
        }
        if marks is not None:
            record["mirrored"] = marks.get(MIRROR_MARK) == b"1"
            if key := marks.get(KEY_MARK):
                record["key"] = _text(key)
            share = marks.get(SHARE_MARK, b"")
            if share.isdigit() and len(share) <= 5 and (points := int(share)) <= ALL:
                record["share"] = points
        if rows is not None and (self.sample == ALL or self._chosen(exchange.request_id)):
            outputs = exchange.outputs
            if len(rows) > self.max_rows:
                rows = rows[: self.max_rows]
                outputs = outputs and {name: values[: self.max_rows] for name, values in outputs.items()}
            record["inputs"] = dict(zip(self.columns or map(str, count()), rows.T.tolist(), strict=False))
            if outputs is not None:
                record["outputs"] = outputs
        return orjson.dumps(record, np.ndarray.tolist, orjson.OPT_SERIALIZE_NUMPY)

    def _chosen(self, request_id: bytes) -> bool:
        return xxhash.xxh64_intdigest(request_id, SAMPLING_SEED) % ALL < self.sample


def _text(value: bytes) -> str:
    """What a client wrote into a header, short and without control characters."""
    if len(value) > MAX_TEXT:
        return f"xxh128:{xxhash.xxh128_hexdigest(value)}"
    text = header_text(value)
    return text if text.isprintable() else _CONTROL.sub("\ufffd", text)
