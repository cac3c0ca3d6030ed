"""Reads a manifest of which only a part is understood, so that nothing of the rest goes unmentioned."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from operators.convert.report import Kind, Note

T = TypeVar("T")

Why = Mapping[str, tuple[str, str]]
"""For fields that have no counterpart: the reason, and what to do instead."""
_UNKNOWN: Final = ("has no counterpart in a ModelRollout", "see docs/convert.md")

_LARGE: Final = 10**12
"""Numbers that are no longer worth showing."""


class Fields:
    """The fields of one block. Each is taken once; `finish` notes those that nobody took.

    A field that is null is absent. One that is empty says nothing, and one of another type than it should have is noted
    and then absent.
    """

    def __init__(self, content: Mapping[object, object], path: str, notes: list[Note]) -> None:
        """`path` leads to the block within the manifest; it is empty for the manifest itself."""
        self.path = path
        self.notes = notes
        self._left = {str(name): value for name, value in content.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        """Whether there is such a field that nobody took yet."""
        return name in self._left

    @property
    def names(self) -> Sequence[str]:
        """The fields that nobody took yet."""
        return list(self._left)

    def place(self, name: str) -> str:
        """The path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def note(self, name: str, kind: Kind, reason: str, instead: str = "") -> None:
        """Say what became of a field; of the block itself where `name` is empty."""
        self.notes.append(Note(self.place(name) if name else self.path, kind, reason, instead))

    def text(self, name: str) -> str | None:
        """A text; None where it is empty."""
        return self._typed(name, "text", _text) or None

    def whole(self, name: str, least: int, most: int) -> int | None:
        """A whole number within bounds, which are part of the range."""

        def within(value: object) -> int | None:
            return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None

        return self._typed(name, f"a whole number from {least} to {most}", within)

    def flag(self, name: str) -> bool:
        """True or false; false where it is absent."""
        return bool(self._typed(name, "true or false", lambda value: value if isinstance(value, bool) else None))

    def texts(self, name: str) -> Mapping[str, str]:
        """A mapping of texts, such as labels."""
        entries = self.block(name)
        found = {entry: entries._typed(entry, "text", _text) for entry in entries.names}
        return {entry: value for entry, value in found.items() if value is not None}

    def block(self, name: str) -> "Fields":
        """A block, without fields where it is absent."""
        found = self._typed(name, "a mapping of fields", lambda value: value if isinstance(value, Mapping) else None)
        return Fields(found or {}, self.place(name), self.notes)

    def blocks(self, name: str) -> Sequence["Fields"]:
        """A list of blocks. Entries that are none are noted and left out."""
        found = self._typed(name, "a list", lambda value: value if isinstance(value, list) else None)
        return list(self._blocks(name, found or ()))

    def raw(self, name: str) -> object:
        """A field whatever its type is, None if it is absent."""
        return self._left.pop(name, None)

    def skip(self, *names: str) -> None:
        """Take fields that mean nothing to anybody but the system they come from."""
        for name in names:
            self._left.pop(name, None)

    def finish(self, why: Why) -> None:
        """Note all fields that nobody took."""
        for name, value in self._left.items():
            if not isinstance(value, str | list | Mapping) or value:
                self.note(name, Kind.LEFT_OUT, *why.get(name, _UNKNOWN))
        self._left = {}

    def _blocks(self, name: str, entries: Sequence[object]) -> Iterator["Fields"]:
        for index, entry in enumerate(entries):
            if isinstance(entry, Mapping):
                yield Fields(entry, f"{self.place(name)}[{index}]", self.notes)
            else:
                self._mistyped(f"{name}[{index}]", entry, "a mapping of fields")

    def _typed(self, name: str, expected: str, read: Callable[[object], T | None]) -> T | None:
        if name not in self._left:
            return None
        value = self._left.pop(name)
        found = read(value)
        if found is None:
            self._mistyped(name, value, expected)
        return found

    def _mistyped(self, name: str, value: object, expected: str) -> None:
        small = isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGE)
        shown = value if small else f"of type {type(value).__name__}"
        self.note(name, Kind.LEFT_OUT, f"must be {expected}, it is {shown}", "correct it and convert again")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
