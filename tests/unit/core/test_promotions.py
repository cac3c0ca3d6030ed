"""What the annotation of a promotion says."""

import pytest

from operators.plan import Promotion


@pytest.mark.parametrize(
    ("value", "promotion"),
    [
        ("step", Promotion()),
        ("step,force", Promotion(force=True)),
        ("full", Promotion(full=True)),
        ("full,force", Promotion(full=True, force=True)),
        ("variant=b", Promotion(variant="b")),
        ("variant=b,force", Promotion(variant="b", force=True)),
    ],
)
def test_a_promotion_is_read_and_written_alike(value: str, promotion: Promotion) -> None:
    assert Promotion.parse(value) == promotion
    assert str(promotion) == value


@pytest.mark.parametrize("value", ["", "all", "step=b", "variant", "variant=", "full,now", "force", "step,force,force"])
def test_what_is_no_promotion_is_refused_with_what_would_be_one(value: str) -> None:
    with pytest.raises(ValueError, match=r"is neither step, full nor variant=NAME, nor one of them with ,force"):
        Promotion.parse(value)
