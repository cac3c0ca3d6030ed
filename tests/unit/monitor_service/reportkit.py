"""What tests of reports have in common: requests with values, sent by a replica of their own."""

import random
from collections.abc import Iterator, Sequence
from itertools import count

from monitorkit import NOON, Sender, record

from monitor.store.service import Store

STABLE, CANDIDATE = "v1", "v2"
BOTH = (STABLE, CANDIDATE)
LATER = NOON + 3600


def requests(
    names: Sequence[str], at: float = NOON, *, shift: float = 0.0, seed: int = 0, mirrored: bool = False
) -> Iterator[dict[str, object]]:
    """Requests with a number, a color and an answer; the number is moved by `shift`."""
    chance = random.Random(seed)
    for n, name in enumerate(names):
        inputs = {"size": [chance.gauss(shift, 1)], "color": [chance.choice(["red", "green", "blue"])]}
        outputs = {"predict": [chance.choice(["cat", "dog"])]}
        yield record(name, at + n / 1000, mirrored=mirrored, inputs=inputs, outputs=outputs)


def names(prefix: str, number: int) -> list[str]:
    return [f"{prefix}{n}" for n in range(number)]


def replica(version: str) -> Sender:
    """Another one of the version."""
    return Sender(version, f"replica-{version}-{next(_REPLICAS)}")


async def sent(store: Store, version: str, entries: Iterator[dict[str, object]] | Sequence[dict[str, object]]) -> None:
    await store.store(replica(version).send(*entries))


_REPLICAS = count()
