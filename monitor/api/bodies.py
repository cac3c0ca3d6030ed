"""What the API takes and gives beside the entries of the store."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from monitor.store.entries import LARGEST_FEEDBACK, Item, Name
from monitor.tallies import VersionTally


class OneItem(Item):
    """What became of one request."""

    replace: bool = Field(default=False, description="Take the place of what was said before.")

    @property
    def said(self) -> list[Item]:
        """The items."""
        return [self]


class ManyItems(BaseModel):
    """What became of several requests: all of it is taken, or nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: list[Item] = Field(min_length=1, max_length=LARGEST_FEEDBACK)
    replace: bool = Field(default=False, description="Take the place of what was said before.")

    @property
    def said(self) -> list[Item]:
        """The items."""
        return self.items


class BaselineBody(BaseModel):
    """What the drift of a version is to be measured from: profiles as `monitor.profiles` writes them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: Name
    model: Name
    version: Name
    features: dict[str, Any]
    predictions: dict[str, Any] | None = None


def _form(body: Any) -> str:
    return "many" if isinstance(body, dict) and "items" in body else "one"


FeedbackBody = Annotated[Annotated[OneItem, Tag("one")] | Annotated[ManyItems, Tag("many")], Discriminator(_form)]


@dataclass(frozen=True, slots=True)
class Accepted:
    """How many records were stored: none for a batch that had been stored before."""

    accepted: int


@dataclass(frozen=True, slots=True)
class Tallies:
    """Live requests and their feedback, by version."""

    versions: dict[str, VersionTally]
