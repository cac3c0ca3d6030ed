"""What all blocks of a manifest have in common."""

from typing import Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

DNS_LABEL: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
HEADER_NAME: Final = r"^[A-Za-z0-9!#$%&'*+.^`|~-]+$"
"""As RFC 9110 has it, but for the underscore: requests with one in the name of a header are refused."""


class Block(BaseModel):
    """A block of a manifest: frozen, camelCase outside, no unknown fields, no conversion between types."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )
