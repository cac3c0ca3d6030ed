"""What is said about a manifest that makes no sense."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field. `field` is a path such as `spec.strategy.canary.steps[2].setWeight`."""

    field: str
    reason: str

    def __str__(self) -> str:
        """A sentence."""
        return f"{self.field}: {self.reason}"
