"""What comes in: batches of records from replicas, feedback from users. As they are on the wire, checked.

A sender may be newer than the monitor: fields of a batch that are not known here are ignored. Feedback is written by
people, so there an unknown field is an error.
"""

import math
from typing import Annotated, Any, Final, Self

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
_LATEST: Final = 1e11
_LARGEST_INTEGER: Final = 2**31 - 1


def shortened(text: str) -> str:
    """An identifier as it is stored: one of more than `LONGEST_ID` bytes by its hash, as replicas send it."""
    content = text.encode()
    return text if len(content) <= LONGEST_ID else f"xxh128:{xxh128_hexdigest(content)}"


Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[!-~]+$")]
"""Of a namespace, a model or a version."""
Identifier = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$"), AfterValidator(shortened)]
"""Of a request, a replica or a user: any text but NUL, which PostgreSQL does not store."""


class Record(BaseModel):
    """One inference request that a version answered.

    `at`: when it came, in seconds since the epoch. `ms`: how long it took. `key`: the value of the sticky header.
    `share`: the basis points with which this version was chosen. `inputs` and `outputs`: columns by name, a value per
    row; left out when they were not recorded.
    """

    model_config = ConfigDict(frozen=True)

    id: Identifier
    at: float = Field(ge=0, le=_LATEST, allow_inf_nan=False)
    status: int = Field(ge=100, le=599)
    ms: float = Field(ge=0, allow_inf_nan=False)
    mirrored: bool = False
    rows: int = Field(default=0, ge=0, le=_LARGEST_INTEGER)
    key: Identifier | None = None
    share: int | None = Field(default=None, ge=0, le=10_000)
    inputs: dict[str, list[Any]] | None = None
    outputs: dict[str, list[Any]] | None = None

    @property
    def is_answer(self) -> bool:
        """Whether this is what a user got from the version: feedback and exposures are about these."""
        return not self.mirrored and self.status < 500


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
    records: list[Record] = Field(max_length=LARGEST_BATCH)


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
        try:
            orjson.dumps(label)
        except TypeError as error:
            raise ValueError(f"cannot be kept: {error}") from error
        return label

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.label is None and self.reward is None:
            raise ValueError("needs a label or a reward")
        return self


class Feedback(BaseModel):
    """Feedback for one model. With `replace` it takes the place of what was said before."""

    model_config = ConfigDict(frozen=True)

    namespace: str
    model: str
    items: list[Item]
    replace: bool = False
