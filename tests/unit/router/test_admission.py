"""Which routes may go to Envoy after it refused some."""

from dataclasses import replace

from router.admission import Admission, Routes
from router.ir import Route, RouteKey


def route(name: str, timeout: float = 1.0) -> Route:
    return Route(RouteKey("default", name), name, timeout_seconds=timeout)


def settle(admission: Admission, bad: set[Route]) -> list[Routes]:
    """Play an Envoy that refuses every state with a bad route in it; gives the states that it was sent."""
    tried: list[Routes] = []
    while not tried or admission.admitted() != tried[-1]:
        assert len(tried) < 50
        tried.append(admission.admitted())
        if bad & set(tried[-1].values()):
            admission.refuse(tried[-1], "no good")
        else:
            admission.accept(tried[-1])
    return tried


A, B, C = route("a"), route("b"), route("c")
NEW_A, NEW_B, NEW_C = (replace(old, timeout_seconds=2.0) for old in (A, B, C))


def test_what_is_published_is_admitted() -> None:
    admission = Admission()
    admission.publish([A, B])
    assert admission.admitted() == {A.key: A, B.key: B}
    assert admission.rejected(A.key) is None


def test_one_bad_route_among_many_changed_ones_is_found_and_the_others_get_through() -> None:
    admission = Admission([A, B, C])
    admission.publish([NEW_A, NEW_B, NEW_C])
    settle(admission, bad={NEW_B})
    assert admission.admitted() == {A.key: NEW_A, B.key: B, C.key: NEW_C}
    assert admission.rejected(B.key) == "no good"
    assert admission.rejected(A.key) is None
    assert admission.good == admission.admitted()


def test_every_bad_route_is_found() -> None:
    admission = Admission([A, B])
    admission.publish([NEW_A, NEW_B, NEW_C])
    settle(admission, bad={NEW_A, NEW_C})
    assert admission.admitted() == {A.key: A, B.key: NEW_B}
    assert admission.rejected(C.key) == "no good"


def test_the_only_route_that_changed_is_guilty_at_once() -> None:
    admission = Admission([A, B])
    admission.publish([A, NEW_B])
    assert len(settle(admission, bad={NEW_B})) == 2
    assert admission.admitted() == {A.key: A, B.key: B}


def test_other_content_is_a_new_try_and_the_same_content_is_not() -> None:
    admission = Admission([A])
    admission.publish([NEW_A])
    settle(admission, bad={NEW_A})
    admission.publish([NEW_A, B])
    assert admission.admitted() == {A.key: A, B.key: B}
    repaired = replace(A, timeout_seconds=3.0)
    admission.publish([repaired, B])
    assert admission.admitted() == {A.key: repaired, B.key: B}
    assert admission.rejected(A.key) is None


def test_a_deleted_route_goes_even_when_it_was_refused() -> None:
    admission = Admission([A])
    admission.publish([NEW_A])
    settle(admission, bad={NEW_A})
    admission.publish([])
    assert admission.admitted() == {}
    assert admission.rejected(A.key) is None


def test_a_refusal_without_a_changed_route_is_everybodys_fault_until_something_is_accepted() -> None:
    admission = Admission([A])
    admission.refuse(admission.admitted(), "the port is taken")
    assert admission.rejected(A.key) == "the port is taken"
    admission.accept(admission.admitted())
    assert admission.rejected(A.key) is None


def test_what_was_good_once_and_is_no_longer_is_dropped() -> None:
    admission = Admission([A])
    admission.publish([NEW_A])
    admission.convict(admission.admitted(), {A.key: "impossible"})
    assert admission.admitted() == {A.key: A}
    admission.convict(admission.admitted(), {A.key: "impossible too"})
    assert admission.admitted() == {}
    assert admission.rejected(A.key) == "impossible"


def test_what_cannot_be_translated_beside_the_others_is_tried_again_when_they_have_changed() -> None:
    admission = Admission([A, B])
    admission.publish([NEW_A, B])
    admission.convict(admission.admitted(), {A.key: "B has it"})
    assert admission.admitted() == {A.key: A, B.key: B}
    assert admission.rejected(A.key) == "B has it"
    admission.publish([NEW_A, NEW_B])
    assert admission.admitted() == {A.key: NEW_A, B.key: NEW_B}
    assert admission.rejected(A.key) is None
