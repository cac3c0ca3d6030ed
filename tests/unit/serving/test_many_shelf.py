"""Which members stay in memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.many.catalogue import Budget
from serving.many.shelf import LEAST_BYTES, Shelf

MIB = 1 << 20


def test_the_least_recently_used_gives_way():
    shelf = Shelf(Budget(3 * MIB))
    for name in "abc":
        assert shelf.put(name, MIB) == []
    shelf.touch("a")
    assert shelf.put("d", MIB) == ["b"]
    assert shelf.put("e", 2 * MIB) == ["c", "a"]
    assert shelf.used == 3 * MIB


def test_room_is_made_before_the_load_for_what_the_member_is_known_to_cost():
    shelf = Shelf(Budget(4 * MIB))
    shelf.put("a", 3 * MIB)
    shelf.put("b", MIB)
    assert shelf.expect("c", MIB) == ["a"]
    shelf.put("c", MIB)
    assert shelf.expect("d", 1) == []
    assert shelf.expect("a", 1) == ["b"], "its files are small, but it took 3 MiB the last time"


def test_the_number_of_members_is_bounded_too():
    shelf = Shelf(Budget(1 << 40, max_loaded=2))
    assert [shelf.put(name, 1) for name in "abc"] == [[], [], ["a"]]
    assert len(shelf) == 2


def test_a_member_larger_than_the_budget_stays_alone():
    shelf = Shelf(Budget(MIB))
    shelf.put("a", 1)
    assert shelf.put("b", 5 * MIB) == ["a"]
    assert (len(shelf), shelf.cost("b"), shelf.cost("a")) == (1, 5 * MIB, None)


def test_touching_what_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        Shelf(Budget(MIB)).touch("a")


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 4 * MIB))),
    st.integers(LEAST_BYTES, 8 * MIB),
    st.integers(0, 4),
)
def test_the_budget_is_held_whatever_comes_and_nothing_is_forgotten(uses, memory, most):
    shelf, there = Shelf(Budget(memory, most)), set()
    for name, cost in uses:
        if name in there:
            shelf.touch(name)
            continue
        for gone in [*shelf.expect(name, cost), *shelf.put(name, cost)]:
            there.remove(gone)
        there.add(name)
        assert len(shelf) == len(there)
        assert shelf.used == sum(shelf.cost(each) for each in there)
        assert shelf.used <= memory or len(there) == 1
        assert not most or len(there) <= most
        assert name in there
