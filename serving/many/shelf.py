"""Which members stay in memory: those used last, as many as the budget lets. Pure."""

from collections import OrderedDict
from typing import Final

from serving.many.catalogue import Budget

LEAST_BYTES: Final = 64 << 10
"""What a member costs at least: its paths, its queue and the ways to read its requests."""


class Shelf:
    """The names of what is loaded, with their costs in bytes, the least recently used first."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._costs: OrderedDict[str, int] = OrderedDict()
        self._known: dict[str, int] = {}
        self.used = 0
        """Bytes of all that is on the shelf."""
        self.touch = self._costs.move_to_end
        """Say that a member, which must be there, has been used."""

    def __len__(self) -> int:
        return len(self._costs)

    def cost(self, name: str) -> int | None:
        """What a member on the shelf costs."""
        return self._costs.get(name)

    def expect(self, name: str, size: int) -> list[str]:
        """Make room for a member before it is loaded; `size` is that of its files. Returns who has to go."""
        return self._make_room(max(size, self._known.get(name, LEAST_BYTES)))

    def put(self, name: str, cost: int) -> list[str]:
        """Add a loaded member, which is then the last to go. Returns who has to go.

        The largest cost of a member that was ever seen counts: memory that others have left is taken again without the
        process growing.
        """
        cost = self._known[name] = max(cost, self._known.get(name, LEAST_BYTES))
        gone = self._make_room(cost)
        self._costs[name] = cost
        self.used += cost
        return gone

    def _make_room(self, cost: int) -> list[str]:
        gone: list[str] = []
        most = self._budget.max_loaded or float("inf")
        while self._costs and (self.used + cost > self._budget.memory_bytes or len(self._costs) >= most):
            name, freed = self._costs.popitem(last=False)
            self.used -= freed
            gone.append(name)
        return gone
