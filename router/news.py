"""Telling whoever listens what has changed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

K = TypeVar("K")


class News(Generic[K]):
    """The keys of what changed, for any number of listeners, each of which gets all of them from when it began."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._listeners: set[asyncio.Queue[K | None]] = set()

    def tell(self, key: K) -> None:
        """This one has changed."""
        for queue in self._listeners:
            queue.put_nowait(key)

    async def listen(self) -> AsyncIterator[K | None]:
        """Keys as they are told; first None: any may have changed."""
        queue: asyncio.Queue[K | None] = asyncio.Queue()
        queue.put_nowait(None)
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)
