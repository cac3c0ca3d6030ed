"""What is told about a conversion: a note for every field that could not be carried over as it is."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What became of a field."""

    LEFT_OUT = "left out"
    UNSUPPORTED = "not supported yet"
    """Carried over, but this release refuses it."""
    DIFFERENT = "differs"
    """Carried over, but means something else, or needs a look."""
    PASSED_OVER = "passed over"
    """A manifest that describes no model."""
    NOT_CONVERTED = "not converted"
    """A manifest that describes a model and became nothing."""

    @property
    def is_loss(self) -> bool:
        """Whether the rollouts do not say what the manifest did."""
        return self in {Kind.LEFT_OUT, Kind.UNSUPPORTED, Kind.NOT_CONVERTED}


@dataclass(frozen=True, slots=True)
class Note:
    """What became of one field and why, and what to do instead.

    `field` is a path within the manifest that was read, or, for `UNSUPPORTED`, within the rollout. It is empty where
    the manifest as a whole is meant. Values that could be secret are never part of a note.
    """

    field: str
    kind: Kind
    reason: str
    instead: str = ""

    def __str__(self) -> str:
        """A line, without characters that would do anything to a terminal."""
        place = f"{self.field}: " if self.field else ""
        text = f"{place}{self.kind.value}: {self.reason}{f'; {self.instead}' if self.instead else ''}"
        return "".join(one if one.isprintable() else "?" for one in text)


class NotConvertible(Exception):
    """A manifest that cannot become a rollout, with the field that is in the way."""

    def __init__(self, field: str, reason: str, instead: str = "") -> None:
        """The parts of the note that is made of it."""
        super().__init__(reason)
        self.note = Note(field, Kind.NOT_CONVERTED, reason, instead)
