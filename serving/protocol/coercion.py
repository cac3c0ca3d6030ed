"""Values of another type, read as the declared one where nothing is lost: `spec.model.validation: coerce`.

| declared | what is read as it |
| --- | --- |
| FP… | `true`, `false` as 1, 0; text that is a number |
| INT…, UINT… | the same, and 1.0; text and numbers with a fraction are not |
| BOOL | 0, 1, 0.0, 1.0; the texts true, false, 0, 1 in any case |
| BYTES | numbers and booleans as JSON writes them |

Text may have blanks around it. Empty text is a missing value where there may be one, but for BYTES.
"""

import math
import re
from typing import Any, Final

import orjson

from serving.datatypes import DTYPES, json_types

_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_MAX_DIGITS: Final = 400
"""Characters of a number in text, at most."""
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}


def coerce(values: list[Any], datatype: str, *, nullable: bool) -> list[Any]:
    """The values with those of another type replaced where that is possible; all others are left as they are."""
    allowed = json_types(datatype)
    if allowed.issuperset(map(type, values)):
        return values
    kind = DTYPES[datatype].kind
    return [value if type(value) in allowed else _read(value, kind, nullable=nullable) for value in values]


def _read(value: Any, kind: str, *, nullable: bool) -> Any:
    """One value for a datatype of this numpy kind, or itself."""
    if kind == "O":
        return orjson.dumps(value).decode() if type(value) in (int, float, bool) else value
    text = value.strip() if type(value) is str else None
    if text == "" and nullable:
        return None
    if kind == "b":
        found = _BOOLEANS.get(text.lower()) if text is not None else None
        if found is None and type(value) in (int, float) and value in (0, 1):
            found = bool(value)
        return value if found is None else found
    if type(value) is bool:
        return int(value)
    if text is not None and len(text) <= _MAX_DIGITS and _NUMBER.fullmatch(text):
        return _number(text, value, whole=kind != "f")
    if kind != "f" and type(value) is float and value.is_integer():
        return int(value)
    return value


def _number(text: str, value: str, *, whole: bool) -> int | float | str:
    if whole and text.lstrip("+-").isdigit():
        return int(text)
    number = float(text)
    if not math.isfinite(number) or (whole and not number.is_integer()):
        return value
    return int(number) if whole else number
