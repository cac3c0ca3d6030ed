"""What a pod's process is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from router.config import Address

LARGEST_PORT: Final = 65_535


class BadEnvironment(Exception):
    """A variable of the environment is missing or makes no sense; the message names it."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables that `program` was started with. An empty one counts as unset, but for a list of namespaces."""

    variables: Mapping[str, str]
    program: str

    def required(self, name: str) -> str:
        """A variable that must be set. Raises `BadEnvironment`."""
        value = self.variables.get(name, "").strip()
        if not value:
            raise BadEnvironment(f"{name} is not set; `{self.program} --help` lists what it needs")
        return value

    def optional(self, name: str, default: str) -> str:
        """A variable that need not be set."""
        return self.variables.get(name) or default

    def number(self, name: str, default: int) -> int:
        """A whole number above 0. Raises `BadEnvironment`."""
        text = self.optional(name, str(default))
        if not text.isdecimal() or int(text) < 1:
            raise BadEnvironment(f"{name} is {text!r}; it must be a whole number above 0")
        return int(text)

    def port(self, name: str, default: int) -> int:
        """The number of a port. Raises `BadEnvironment`."""
        text = self.optional(name, str(default))
        if not text.isdecimal() or not 1 <= int(text) <= LARGEST_PORT:
            raise BadEnvironment(f"{name} is {text!r}; it must be a port, 1 to {LARGEST_PORT}")
        return int(text)

    def address(self, name: str) -> Address | None:
        """`HOST:PORT`; None when it is not set. Raises `BadEnvironment`."""
        text = self.optional(name, "")
        try:
            return Address.parse(text) if text else None
        except ValueError as error:
            raise BadEnvironment(f"{name}: {error}") from None

    def namespaces(self) -> tuple[str, ...]:
        """Those that are watched: named, none for all, or the pod's own. Raises `BadEnvironment`."""
        watched = self.variables.get("TIDEGATE_WATCH_NAMESPACES")
        if watched is None:
            watched = self.required("TIDEGATE_NAMESPACE")
        return tuple(sorted({name.strip() for name in watched.split(",") if name.strip()}))
