"""Fills names into a query or an address."""

import re
from collections.abc import Mapping
from typing import Final

_PLACE: Final = re.compile(r"\{\{(.*?)\}\}")


def fill(text: str, names: Mapping[str, str]) -> str:
    """The text with `{{name}}` replaced by what it stands for; one that stands for nothing stays.

    Ids of versions are hexadecimal, rollouts and namespaces are DNS labels: nothing in them has a meaning of its own in
    a PromQL string or in a URL.
    """
    return _PLACE.sub(lambda place: names.get(place[1].strip(), place[0]), text)
