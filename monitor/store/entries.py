"""What comes in: batches of records from replicas, feedback from users. As they are on the wire, checked.

A sender may be newer than the monitor: fields of a batch that are not known here are ignored. Feedback is written by
people, so there an unknown field is an error.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, repeat
from operator import gt
from typing import Annotated, Any, Final, Self, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from xxhash import xxh128_hexdigest

LARGEST_BATCH: Final = 10_000
"""Records in one batch."""
LARGEST_FEEDBACK: Final = 1_000
"""Items in one piece of feedback."""
LONGEST_ID: Final = 256
"""Bytes of an identifier that somebody else chose; PostgreSQL indexes up to 2,700."""
_LARGEST_REWARD: Final = 1e15
_LATEST: Final = 10**17
"""Microseconds since the epoch."""
_LARGEST_DURATION: Final = 2**53
_LARGEST_INTEGER: Final = 2**31 - 1
_AROUND: Final = 100
"""Levels that are left for what a value becomes part of: an entry in the spool, an event, an answer.

orjson writes 254 levels, pydantic 255, and pydantic reads 200.
"""


def shortened(text: str) -> str:
    """An identifier as it is stored: one of more than `LONGEST_ID` bytes by its hash, as replicas send it."""
    if len(text) <= LONGEST_ID // 4:  # no character has more bytes
        return text
    content = text.encode()
    return text if len(content) <= LONGEST_ID else f"xxh128:{xxh128_hexdigest(content)}"


T = TypeVar("T")


def writable(value: T) -> T:
    """A value that can be written as JSON, wherever it goes.

    Raises `ValueError` for one with an integer of more than 64 bits, half a surrogate pair, or more than 154 levels.
    """
    whole: object = value
    for _ in range(_AROUND):
        whole = [whole]
    try:
        orjson.dumps(whole)
    except TypeError as error:
        raise ValueError(f"cannot be kept: {error}") from error
    return value


Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[!-~]+$")]
"""Of a namespace, a model or a version."""
_Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
Identifier = Annotated[_Text, AfterValidator(shortened)]
"""Of a request, a replica or a user: any text but NUL, which PostgreSQL does not store."""
Columns = Annotated[dict[str, list[Any]], AfterValidator(writable)]


@dataclass(frozen=True, slots=True)
class Record:
    """One inference request that a version answered.

    `at`: when, in seconds since the epoch. `ms`: how long it took. `key`: the value of the sticky header. `share`: the
    basis points with which this version was chosen. `inputs` and `outputs`: columns by name, a value per row; None
    when they were not recorded.
    """

    id: str
    at: float
    status: int
    ms: float
    mirrored: bool
    rows: int
    key: str | None
    share: int | None
    inputs: Columns | None
    outputs: Columns | None

    @property
    def is_answer(self) -> bool:
        """Whether this is what a user got from the version: feedback and exposures are about these."""
        return not self.mirrored and self.status < 500


class Block(BaseModel):
    """Records whose values have the same columns, as `docs/records.md` describes them.

    Every list has an entry for each record. The columns of `inputs` and `outputs` have one for each row that was kept:
    those of the first record, then those of the second, and so on.
    """

    model_config = ConfigDict(frozen=True)

    id: list[_Text] = Field(max_length=LARGEST_BATCH)
    at: list[Annotated[int, Field(ge=0, le=_LATEST)]]
    us: list[Annotated[int, Field(ge=0, le=_LARGEST_DURATION)]]
    status: list[Annotated[int, Field(ge=100, le=599)]] | None = None
    mirrored: list[bool] | None = None
    rows: list[Annotated[int, Field(ge=0, le=_LARGEST_INTEGER)]] | None = None
    kept: list[Annotated[int, Field(ge=0, le=_LARGEST_INTEGER)]] | None = None
    key: list[_Text | None] | None = None
    share: list[Annotated[int, Field(ge=0, le=10_000)] | None] | None = None
    inputs: Columns | None = None
    outputs: Columns | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        count = len(self.id)
        for name in ("at", "us", "status", "mirrored", "rows", "kept", "key", "share"):
            values = getattr(self, name)
            if values is not None and len(values) != count:
                raise ValueError(f"{name} has {len(values)} entries for {count} records")
        if self.kept is not None and any(map(gt, self.kept, self._rows)):
            raise ValueError("kept has more rows than were asked for")
        kept = sum(self._kept)
        for part, columns in (("inputs", self.inputs), ("outputs", self.outputs)):
            for name, values in (columns or {}).items():
                if len(values) != kept:
                    raise ValueError(f"the column {name} of {part} has {len(values)} entries for {kept} rows")
        return self

    @property
    def _rows(self) -> Sequence[int]:
        return self.rows if self.rows is not None else [1] * len(self.id)

    @property
    def _kept(self) -> Sequence[int]:
        return self.kept if self.kept is not None else self._rows

    def records(self) -> Iterator[Record]:
        """The records, one by one."""
        count = len(self.id)
        kept = self._kept
        columns = (
            map(shortened, self.id),
            (at / 1e6 for at in self.at),
            self.status or repeat(200, count),
            (us / 1e3 for us in self.us),
            self.mirrored or repeat(False, count),
            self._rows,
            repeat(None, count) if self.key is None else (key and shortened(key) for key in self.key),
            self.share or repeat(None, count),
            _apart(self.inputs, kept),
            _apart(self.outputs, kept),
        )
        return map(Record, *columns)


def _apart(columns: Columns | None, kept: Sequence[int]) -> Iterator[Columns | None]:
    """The columns of each record; None for one of which no row was kept."""
    if columns is None:
        return repeat(None, len(kept))
    return (
        {name: values[end - count : end] for name, values in columns.items()} if count else None
        for count, end in zip(kept, accumulate(kept), strict=True)
    )


class Batch(BaseModel):
    """What one server sends at once.

    `replica` is unique to the running server. It numbers its batches from 1 and sends one at a time: a number that is
    not above the last one is a retransmission. `dropped`: the records that it could not keep, since it started.
    """

    model_config = ConfigDict(frozen=True)

    namespace: Name
    model: Name
    version: Name
    replica: Identifier
    batch: int = Field(ge=1, le=2**62)
    dropped: int = Field(default=0, ge=0, le=2**62)
    blocks: list[Block] = Field(max_length=LARGEST_BATCH)

    @field_validator("blocks")
    @classmethod
    def _is_not_too_large(cls, blocks: list[Block]) -> list[Block]:
        count = sum(len(block.id) for block in blocks)
        if count > LARGEST_BATCH:
            raise ValueError(f"a batch has at most {LARGEST_BATCH} records, not {count}")
        return blocks

    @cached_property
    def records(self) -> list[Record]:
        """What the blocks hold."""
        return [record for block in self.blocks for record in block.records()]


class Item(BaseModel):
    """What became of one request: the right answer, a reward, or both, now or one after the other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: Identifier = Field(description="The `x-request-id` of the answer.")
    label: Any = Field(default=None, description="The right answer: any JSON but null.")
    reward: float | None = Field(
        default=None, strict=True, allow_inf_nan=False, ge=-_LARGEST_REWARD, le=_LARGEST_REWARD
    )

    @field_validator("label")
    @classmethod
    def _can_be_kept(cls, label: object) -> object:
        if isinstance(label, float) and not math.isfinite(label):
            raise ValueError("must be a finite number")
        return orjson.loads(orjson.dumps(writable(label)))  # as it will be read: NaN in a list is null

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.label is None and self.reward is None:
            raise ValueError("needs a label or a reward")
        return self


class Feedback(BaseModel):
    """Feedback for one model. With `replace` it takes the place of what was said before."""

    model_config = ConfigDict(frozen=True)

    namespace: Name
    model: Name
    items: list[Item]
    replace: bool = False
