"""Names in queries and addresses."""

import pytest

from operators.api import PLACEHOLDERS
from operators.providers.template import fill

NAMES = {"version": "5e7270a5c6", "stable": "54d07d5264", "model": "iris", "namespace": "shop"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("up", "up"),
        ('score{version="{{version}}"}', 'score{version="5e7270a5c6"}'),
        ("{{ namespace }}/{{model}}/{{stable}}", "shop/iris/54d07d5264"),
        ("{{version}}{{version}}", "5e7270a5c65e7270a5c6"),
        ("{{other}} {version} {{", "{{other}} {version} {{"),
    ],
)
def test_names_stand_where_their_places_were(text: str, filled: str) -> None:
    assert fill(text, NAMES) == filled


def test_every_place_that_the_api_knows_is_filled() -> None:
    assert fill("".join(f"{{{{{name}}}}}" for name in PLACEHOLDERS), NAMES) == "".join(
        NAMES[name] for name in PLACEHOLDERS
    )
