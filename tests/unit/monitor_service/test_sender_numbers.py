"""Which batches of a server are new."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.store.entries import Batch
from monitor.store.senders import MOST_GAPS, Sender, Taken


def batch(number: int, dropped: int = 0) -> Batch:
    return Batch(namespace="default", model="iris", version="v1", replica="r", batch=number, dropped=dropped, blocks=[])


@given(st.lists(st.integers(1, 30)))
def test_every_number_is_new_once_in_whatever_order_they_come(numbers: list[int]) -> None:
    sender = Sender()
    seen: set[int] = set()
    for number in numbers:
        assert sender.take(batch(number)).repeated == (number in seen)
        seen.add(number)
    assert sender.batch == max(seen, default=0)


def test_of_many_gaps_the_latest_are_remembered() -> None:
    sender = Sender()
    for number in range(2, 4 * MOST_GAPS, 2):
        sender.take(batch(number))
    assert len(sender.gaps) == MOST_GAPS
    assert sender.take(batch(1)).repeated
    assert not sender.take(batch(4 * MOST_GAPS - 3)).repeated


def test_lost_records_are_counted_once_when_batches_come_out_of_order() -> None:
    sender = Sender()
    assert [sender.take(batch(number, dropped)) for number, dropped in ((1, 2), (3, 7), (2, 5))] == [
        Taken(0, dropped=2),
        Taken(0, dropped=5),
        Taken(0),
    ]
