"""What nobody sends by accident, to a store in a real PostgreSQL."""

import random
import string

import pytest
from hostilecases import HostileCases
from monitorkit import reward

from monitor.store.database import StoreRefused
from monitor.store.entries import Feedback, Item
from monitor.store.service import Store


class TestHostileInput(HostileCases):
    pass


async def test_what_no_index_takes_is_refused_and_not_tried_again(store: Store) -> None:
    name = "".join(random.Random(1).choices(string.ascii_letters, k=20_000))
    items = [Item.model_validate(reward("1", 1))]
    with pytest.raises(StoreRefused, match="index row"):
        await store.hear(Feedback.model_construct(namespace=name, model="iris", items=items))
