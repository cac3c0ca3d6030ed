"""An event: something about a model that people should hear of, once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Kind = Literal["rollout", "drift", "degradation", "quality", "anomaly"]
Severity = Literal["info", "warning"]

KINDS: Final = frozenset[Kind](get_args(Kind))
SEVERITIES: Final = frozenset[Severity](get_args(Severity))
LONGEST_TITLE: Final = 200
LONGEST_MESSAGE: Final = 4_000
"""Characters that are kept of each."""
_LATEST: Final = 1e11

_Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[!-~]+$")]


def _title(text: str) -> str:
    """One line."""
    return shortened(" ".join(text.replace("\x00", "\ufffd").split()), LONGEST_TITLE)


def _message(text: str) -> str:
    return shortened(text.replace("\x00", "\ufffd"), LONGEST_MESSAGE)  # PostgreSQL does not store NUL


def shortened(text: str, longest: int) -> str:
    """The text, its end replaced by an ellipsis if it has more characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class Event(BaseModel):
    """What happened to a model. The same `key` again is the same event again.

    `at`: when, in seconds since the epoch. `details`: facts for programs, by name. `title` becomes one line, and both
    texts lose what is too long rather than being refused: whoever reports a misfortune cannot mend its description.
    """

    model_config = ConfigDict(frozen=True)

    key: str = Field(min_length=1, max_length=256, pattern=r"^[!-~]+$")
    namespace: _Name
    model: _Name
    kind: Kind
    severity: Severity
    at: float = Field(ge=0, le=_LATEST, allow_inf_nan=False)
    title: Annotated[str, Field(min_length=1), AfterValidator(_title)]
    message: Annotated[str, AfterValidator(_message)] = ""
    details: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, newest first; `after` asks for the ones before them, None when there are none."""

    events: Sequence[Event]
    after: int | None = None
