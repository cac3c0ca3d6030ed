"""The rules of one model that the API server can check, in CEL: where it comes from, what it takes and gives."""

from collections.abc import Mapping
from typing import Final

from operators.api.celrule import Rule, rule, when
from operators.api.inputrules import (
    BOUNDS_MEANINGLESS,
    COLUMN_ONLY,
    NOTHING_BETWEEN,
    NULLABLE_TENSOR,
    UNIQUE_TENSOR,
    VALUES_OF_BOOLEANS,
)
from operators.api.rules import (
    ACCELERATE_MEANINGLESS,
    CLASS_MEANINGLESS,
    CLASS_MISSING,
    CONVERTIBLE,
    LABELS_ARE_TEXT,
    OF_CLASSES,
    OF_TENSORS,
    ROWS_FIRST,
    SHAPE_MEANINGLESS,
    VERSION_FIELD,
    VERSION_FIELD_TAKEN,
)
from serving.uri import CHAINED, CREDENTIALS, FORMS, MOVING, QUERY, UNKNOWN

_URI: Final = [
    rule(f"self.matches('^({'|'.join(FORMS)}):')", UNKNOWN),
    rule("self.startsWith('file:') || !self.contains('::')", CHAINED),
    rule(
        "self.startsWith('file:') || !self.matches('^[a-z0-9]+://[^/]*@') "
        "|| self.startsWith('abfs:') && !self.matches('^abfs://[^/]*:')",
        CREDENTIALS,
    ),
    rule("self.startsWith('file:') || !self.matches('[?#]')", QUERY),
    *(
        rule(f"!self.startsWith('{scheme}:') || self.matches('^{form.expression}$')", f"must look like {form.words}")
        for scheme, form in FORMS.items()
    ),
]
_MODEL: Final = [
    rule("!self.uri.matches('^models:/.*@') || has(self.sha256)", MOVING, "uri"),
    rule(
        f"!(self.runtime in {list(OF_CLASSES)}) || has(self.class)",
        f"{CLASS_MISSING} {', '.join(OF_CLASSES)}: write module:Class",
        "class",
    ),
    when("class", f"self.runtime in {list(OF_CLASSES)}", CLASS_MEANINGLESS),
    when("accelerate", f"self.runtime in {list(CONVERTIBLE)}", ACCELERATE_MEANINGLESS),
    rule(
        f"self.runtime in {list(OF_TENSORS)} || self.inputs.all(i, !has(i.shape))",
        SHAPE_MEANINGLESS,
        "inputs",
    ),
]
_OUTPUT: Final = [
    rule(f"self.name != '{VERSION_FIELD}'", VERSION_FIELD_TAKEN, "name"),
    rule(
        "!has(self.datatype) || self.datatype == 'BYTES' || self.labels.size() == 0",
        LABELS_ARE_TEXT,
        "datatype",
    ),
]
_SHAPE: Final = [rule("self[0] == -1", ROWS_FIRST)]
_INPUT: Final = [
    *(when(bound, "!(self.datatype in ['BOOL', 'BYTES'])", BOUNDS_MEANINGLESS) for bound in ("min", "max")),
    rule("!has(self.min) || !has(self.max) || self.min <= self.max", NOTHING_BETWEEN, "max"),
    rule("dyn(self).values.size() == 0 || self.datatype != 'BOOL'", VALUES_OF_BOOLEANS, "values"),
    rule("!self.unique || !has(self.shape)", UNIQUE_TENSOR, "unique"),
    rule("!self.nullable || !has(self.shape) || self.datatype.startsWith('FP')", NULLABLE_TENSOR, "nullable"),
    *(rule(f"!has(dyn(self).{name}) || !has(self.shape)", COLUMN_ONLY, name) for name in ("default", "example")),
]

OF_A_MODEL: Final[Mapping[str, list[Rule]]] = {
    "": _MODEL,
    ".uri": _URI,
    ".inputs[]": _INPUT,
    ".inputs[].shape": _SHAPE,
    ".outputs[]": _OUTPUT,
}
"""Rules by the path, from the model, of the field that they stand at."""
