"""The rules of `operators.api.rules` as far as the API server can check them, in CEL.

https://kubernetes.io/docs/reference/using-api/cel/. What fields of several types (`max`, `exact`, `in`) hold is out of
its reach. Fields with a default are always there: the API server fills them in first.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from operators.api.block import DNS_LABEL
from operators.api.checkrules import SUBJECTS
from operators.api.checks import METRICS, Check
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
    ACCELERATE_OF_MANY,
    CLASS_MEANINGLESS,
    CLASS_MISSING,
    CONVERTIBLE,
    FIXED_BESIDE_AUTOSCALING,
    KEPT_COOKIES,
    KEPT_VARIABLES,
    LABELS_ARE_TEXT,
    NO_MATCH,
    OF_CLASSES,
    OF_TENSORS,
    OWN_HEADERS,
    PATH_TAKEN,
    PATHS_OF_MANY,
    ROWS_FIRST,
    SHAPE_MEANINGLESS,
    TOO_LITTLE_MEMORY,
    VERSION_FIELD,
    VERSION_FIELD_TAKEN,
)
from operators.api.strategyrules import RESERVED, SIZED_BESIDE_AUTOSCALING, STEP_KINDS, STRATEGIES
from operators.api.types import ENV_NAME, OWN_VARIABLES, Paths
from router.ir import TAKEN_PATHS
from serving.uri import CHAINED, CREDENTIALS, FORMS, MOVING, QUERY, UNKNOWN

Rule = dict[str, str]


def _rule(rule: str, message: str, field: str = "") -> Rule:
    """`field` is what is complained about, where that is not the field that the rule stands at."""
    return {"rule": rule, "message": message} | ({"fieldPath": f".{field}"} if field else {})


def _with(path: str, rule: str, message: str, field: str = "") -> Rule:
    """A rule for objects that have the field at this path."""
    names = path.split(".")
    missing = [f"!has(self.{'.'.join(names[: index + 1])})" for index in range(len(names))]
    return _rule(" || ".join([*missing, rule]), message, field or path)


def _count(names: Iterable[str]) -> str:
    return f"[{', '.join(f'has(self.{name})' for name in names)}].filter(given, given).size()"


def _is_something(field: str) -> str:
    return f"(type(self.{field}) == int ? self.{field} != 0 : self.{field}.matches('[1-9]'))"


_QUANTITY: Final = "quantity(type(self) == int ? string(self) : self)"
_HUNDREDTHS: Final = _rule(
    "self < 0.0 || [self * 100.0 - double(int(self * 100.0 + 0.5))].all(rest, rest < 0.000001 && rest > -0.000001)",
    "has more than two decimals: traffic is divided in hundredths of a percent",
)
"""Instead of `multipleOf`, with which the API server refuses whole numbers where fractions are allowed."""
_SOME: Final = _rule("self > 0.0", "must be greater than 0")
_SOME_TIME: Final = _rule("self.matches('[1-9]')", "must be longer than 0")
_WEIGHTS: Final = "self.filter(s, has(s.setWeight)).map(s, s.setWeight)"
_SENDING_OR_WAITING: Final = (
    "self.strategy.canary.steps.filter(s, has(s.analysis) || has(s.setWeight) && s.setWeight > 0.0 "
    "|| has(s.setShadow) && s.setShadow > 0.0)"
)
_CHECKS: Final = "self.analysis.checks.exists(c, !c.dryRun)"
_NO_CHECKS: Final = "spec.analysis.checks has none that decides"
_COUNTED: Final = [name for name, metric in METRICS.items() if metric.source == "router"]
_CANARY, _BLUE_GREEN, _SHADOW, _AB_TEST, _BANDIT = (f"strategy.{name}" for name in STRATEGIES)

_MATCHES: Final = [
    _rule(
        "self.traffic.match.size() == 0 || has(self.strategy)",
        "is for canary: without a strategy a new version takes over at once; leave it out",
        "traffic.match",
    ),
    *(
        _with(f"strategy.{name}", "self.traffic.match.size() == 0", why, "traffic.match")
        for name, why in NO_MATCH.items()
    ),
]
_CHECKED: Final = [
    _with(
        f"{_CANARY}.steps",
        f"{_CHECKS} || !self.strategy.canary.steps.exists(s, has(s.analysis))",
        f"an analysis step has nothing to wait for: {_NO_CHECKS}",
    ),
    _with(f"{_BLUE_GREEN}.prePromotionAnalysis", _CHECKS, f"has nothing to wait for: {_NO_CHECKS}"),
    _with(f"{_BLUE_GREEN}.postPromotionAnalysis", _CHECKS, f"has nothing to watch: {_NO_CHECKS}"),
    _with(
        f"{_SHADOW}.then",
        f"self.strategy.shadow.then != 'promote' || {_CHECKS}",
        f"has nothing to decide by: {_NO_CHECKS}; write checks, or then: hold",
    ),
    _with(f"{_SHADOW}.maxDuration", _CHECKS, f"means nothing without checks: {_NO_CHECKS}"),
    _with(f"{_SHADOW}.minSamples", _CHECKS, f"means nothing without checks: {_NO_CHECKS}"),
]
_REACHED: Final = [
    _rule(
        "!self.analysis.checks.exists(c, has(c.metric) && c.metric == 'shadow-agreement') || has(self.strategy) "
        "&& (has(self.strategy.shadow) || has(self.strategy.canary) "
        "&& self.strategy.canary.steps.exists(s, has(s.setShadow) && s.setShadow > 0.0))",
        "shadow-agreement would never be judged: no step copies requests to the candidate; write a setShadow step",
        "analysis.checks",
    ),
    _rule(
        "!self.analysis.checks.exists(c, has(c.metric) && c.metric.startsWith('feedback-')) || has(self.strategy) "
        "&& !has(self.strategy.shadow) && (!has(self.strategy.canary) || self.traffic.match.size() > 0 "
        "|| self.strategy.canary.steps.exists(s, has(s.setWeight) && s.setWeight > 0.0))",
        "feedback would never be judged: before its promotion no user gets an answer of the candidate",
        "analysis.checks",
    ),
    _rule(
        f"self.variants.size() == 0 || self.analysis.checks.all(c, has(c.metric) && c.metric in {_COUNTED})",
        "beside variants, which the goal compares, only error-rate and latencies are judged",
        "analysis.checks",
    ),
]
_CANARIES: Final = [
    _with(
        f"{_CANARY}.steps",
        f"self.traffic.match.size() > 0 "
        f"|| [{_SENDING_OR_WAITING}].all(found, found.size() == 0 || !has(found[0].analysis))",
        "an analysis would wait forever: the candidate gets no requests before a setWeight or setShadow above 0",
    ),
    _with(
        f"{_CANARY}.steps",
        "has(self.serving.autoscaling) "
        "|| self.strategy.canary.steps.all(s, !has(s.setReplicas) || s.setReplicas <= self.serving.replicas)",
        "setReplicas may not be more than the stable version's, which is spec.serving.replicas",
    ),
    _with(
        f"{_CANARY}.steps",
        "!has(self.serving.autoscaling) || self.strategy.canary.steps.all(s, !has(s.setReplicas))",
        f"setReplicas {SIZED_BESIDE_AUTOSCALING}",
    ),
]
_VARIANTS: Final = [
    _rule(
        "self.variants.size() == 0 || has(self.strategy) && (has(self.strategy.abTest) || has(self.strategy.bandit))",
        "are for abTest and bandit: nothing else would run them",
        "variants",
    ),
    _rule(
        "self.variants.all(v, dyn(v.model) != dyn(self.model))",
        "a variant is the same version as spec.model: there is nothing to compare",
        "variants",
    ),
    _rule(
        "self.variants.all(v, self.variants.exists_one(w, w.model == v.model))",
        "two variants are the same version: there is nothing to compare",
        "variants",
    ),
    _with(f"{_AB_TEST}.weight", "self.variants.size() == 0", "is for a test without variants; write shares"),
    _with(
        f"{_AB_TEST}.shares",
        "self.variants.size() > 0 || self.strategy.abTest.shares.size() == 0",
        "are for spec.variants; without them write weight, the candidate's percent",
    ),
    _with(
        f"{_AB_TEST}.shares",
        "self.variants.size() == 0 || ('control' in self.strategy.abTest.shares "
        "&& self.strategy.abTest.shares.size() == self.variants.size() + 1 "
        "&& self.variants.all(v, v.name in self.strategy.abTest.shares))",
        "name control and every variant, and nobody else",
    ),
    _with(
        f"{_BANDIT}.explorationFloor",
        "self.strategy.bandit.explorationFloor "
        "* double(self.variants.size() == 0 ? 2 : self.variants.size() + 1) <= 100.0",
        "is more than 100 for all versions together",
    ),
]


_HEADER: Final = [
    _rule(
        f"!self.lowerAscii().startsWith('{OWN_HEADERS}')",
        f"may not begin with {OWN_HEADERS}: such headers are Tidegate's own",
    )
]


_DEMANDS: Final = [
    _rule(
        "!has(self.prefix) || !(has(self.min) || has(self.below))",
        "asks for at most one of exact, in, prefix, a range (min, below)",
    ),
    _rule("!has(self.min) || !has(self.below) || self.min < self.below", "no number lies between min and below"),
    _rule(
        "!has(self.header) || !(has(self.min) || has(self.below))",
        "min and below are for features: a header is text; write exact, in or prefix",
    ),
]
_ONE_SUBJECT: Final = "names exactly one of header, feature"
_CONDITION: Final = [_rule("has(self.header) != has(self.feature)", _ONE_SUBJECT), *_DEMANDS]
_MATCH: Final = [
    _rule("self.allOf.size() > 0 || has(self.header) != has(self.feature)", _ONE_SUBJECT),
    _rule(
        "self.allOf.size() == 0 || !(has(self.header) || has(self.feature) || has(self.prefix) || has(self.min) "
        "|| has(self.below))",
        "has allOf and beside it something else: make that a condition of its own within allOf",
    ),
    *_DEMANDS,
]
_LEAST: Final = [name for name, metric in METRICS.items() if metric.bound == "min"]
"""Metrics of which more is better: the bound of the others is `max`, which CEL cannot see."""
_CHECK: Final = [
    _rule(f"{_count(SUBJECTS)} == 1", f"names exactly one of {', '.join(SUBJECTS)}"),
    _with("min", f"!has(self.metric) || self.metric in {_LEAST}", "means nothing for this metric: its bound is max"),
    _with(
        "versus",
        f"has(self.metric) && self.metric in {[name for name, metric in METRICS.items() if metric.versus]}",
        "means nothing here: it is for metrics that both versions have",
    ),
    _with(
        "metric",
        f"!(self.metric in {_LEAST}) || has(self.min) != has(self.versus)",
        "needs either min or, where it is possible, versus: stable with a margin",
        "min",
    ),
    _rule(
        "has(self.versus) == has(dyn(self).margin)",
        "versus and margin belong together: how much worse than stable is still good",
        "margin",
    ),
    _with(
        "tolerance",
        "has(self.metric) && self.metric == 'shadow-agreement'",
        "is for shadow-agreement; with anything else it means nothing",
    ),
    _rule(
        "self.failureLimit == 0 || !has(self.metric)",
        "is for prometheus and web; with a metric it means nothing",
        "failureLimit",
    ),
    _rule(
        "self.minSamples == 0 || has(self.metric)", "is for metrics; with anything else it means nothing", "minSamples"
    ),
    _rule(
        f"self.confidence == {Check.model_fields['confidence'].default} || has(self.metric)",
        "is for metrics; with anything else it means nothing",
        "confidence",
    ),
]
_URI: Final = [
    _rule(f"self.matches('^({'|'.join(FORMS)}):')", UNKNOWN),
    _rule("self.startsWith('file:') || !self.contains('::')", CHAINED),
    _rule(
        "self.startsWith('file:') || !self.matches('^[a-z0-9]+://[^/]*@') "
        "|| self.startsWith('abfs:') && !self.matches('^abfs://[^/]*:')",
        CREDENTIALS,
    ),
    _rule("self.startsWith('file:') || !self.matches('[?#]')", QUERY),
    *(
        _rule(f"!self.startsWith('{scheme}:') || self.matches('^{form.expression}$')", f"must look like {form.words}")
        for scheme, form in FORMS.items()
    ),
]
_MODEL: Final = [
    _rule("!self.uri.matches('^models:/.*@') || has(self.sha256)", MOVING, "uri"),
    _rule(
        f"!(self.runtime in {list(OF_CLASSES)}) || has(self.class)",
        f"{CLASS_MISSING} {', '.join(OF_CLASSES)}: write module:Class",
        "class",
    ),
    _with("class", f"self.runtime in {list(OF_CLASSES)}", CLASS_MEANINGLESS),
    _with("accelerate", f"self.runtime in {list(CONVERTIBLE)}", ACCELERATE_MEANINGLESS),
    _rule(
        f"self.runtime in {list(OF_TENSORS)} || self.inputs.all(i, !has(i.shape))",
        SHAPE_MEANINGLESS,
        "inputs",
    ),
]
_PATHS: Final = _rule(
    f"!has(self.serving.multiModel) || {_count(f'traffic.paths.{name}' for name in Paths.model_fields)} == 0",
    PATHS_OF_MANY,
    "traffic.paths",
)
_ACCELERATED: Final = _rule(
    "!has(self.serving.multiModel) || !has(self.model.accelerate)", ACCELERATE_OF_MANY, "model.accelerate"
)
_OUTPUT: Final = [
    _rule(f"self.name != '{VERSION_FIELD}'", VERSION_FIELD_TAKEN, "name"),
    _rule(
        "!has(self.datatype) || self.datatype == 'BYTES' || self.labels.size() == 0",
        LABELS_ARE_TEXT,
        "datatype",
    ),
]
_SHAPE: Final = [_rule("self[0] == -1", ROWS_FIRST)]
_INPUT: Final = [
    *(_with(bound, "!(self.datatype in ['BOOL', 'BYTES'])", BOUNDS_MEANINGLESS) for bound in ("min", "max")),
    _rule("!has(self.min) || !has(self.max) || self.min <= self.max", NOTHING_BETWEEN, "max"),
    _rule("dyn(self).values.size() == 0 || self.datatype != 'BOOL'", VALUES_OF_BOOLEANS, "values"),
    _rule("!self.unique || !has(self.shape)", UNIQUE_TENSOR, "unique"),
    _rule("!self.nullable || !has(self.shape) || self.datatype.startsWith('FP')", NULLABLE_TENSOR, "nullable"),
    *(_rule(f"!has(dyn(self).{name}) || !has(self.shape)", COLUMN_ONLY, name) for name in ("default", "example")),
]
RULES: Final[Mapping[str, list[Rule]]] = {
    "model": _MODEL,
    "model.uri": _URI,
    "model.inputs[]": _INPUT,
    "model.inputs[].shape": _SHAPE,
    "model.outputs[]": _OUTPUT,
    "variants[].model": _MODEL,
    "variants[].model.uri": _URI,
    "variants[].model.inputs[]": _INPUT,
    "variants[].model.inputs[].shape": _SHAPE,
    "variants[].model.outputs[]": _OUTPUT,
    "": [_ACCELERATED, _PATHS, *_CHECKED, *_REACHED, *_CANARIES, *_MATCHES, *_VARIANTS],
    "strategy": [_rule(f"{_count(STRATEGIES)} == 1", f"exactly one of {', '.join(STRATEGIES)}")],
    "strategy.canary.steps": [_rule(f"{_WEIGHTS}.isSorted()", "setWeight must not fall along the steps")],
    "strategy.canary.steps[]": [_rule(f"{_count(STEP_KINDS)} == 1", f"exactly one of {', '.join(STEP_KINDS)}")],
    "strategy.canary.steps[].setWeight": [_HUNDREDTHS],
    "strategy.canary.steps[].setShadow": [_HUNDREDTHS],
    "strategy.blueGreen": [
        _rule(
            "!has(self.prePromotionAnalysis) || self.previewMatch.size() > 0",
            "would wait forever: the candidate gets no requests before the switch; write previewMatch",
            "prePromotionAnalysis",
        ),
        _rule(
            "self.previewMatch.size() == 0 || has(self.prePromotionAnalysis) || !self.autoPromote",
            "would last no time, since the switch follows at once: write prePromotionAnalysis, or autoPromote: false",
            "previewMatch",
        ),
    ],
    "strategy.blueGreen.previewMatch[]": _MATCH,
    "strategy.blueGreen.previewMatch[].header": _HEADER,
    "strategy.blueGreen.previewMatch[].allOf[]": _CONDITION,
    "strategy.blueGreen.previewMatch[].allOf[].header": _HEADER,
    "strategy.shadow.percent": [_SOME, _HUNDREDTHS],
    "strategy.abTest.weight": [_SOME, _rule("self < 100.0", "must be less than 100"), _HUNDREDTHS],
    "strategy.abTest.shares": [
        _rule(
            "self.size() == 0 || [self.map(name, self[name]).sum()].all(sum, sum > 99.999 && sum < 100.001)",
            "must be 100 in all",
        ),
        _rule(f"self.all(name, name.matches('{DNS_LABEL}'))", f"names of versions must match {DNS_LABEL}"),
    ],
    "strategy.abTest.shares{}": [
        _rule("self > 0.0", "a version without requests cannot be compared"),
        _HUNDREDTHS,
    ],
    "strategy.abTest.maxDuration": [_SOME_TIME],
    "strategy.abTest.goal": [
        _rule(
            "has(self.within) == (self.metric == 'latency-within')",
            "latency-within needs within, how long is soon enough, such as 50ms; nothing else does",
            "within",
        ),
        _rule(
            "self.direction == 'increase' || self.metric == 'feedback-reward'",
            "is decrease, but more of this is better: write increase",
            "direction",
        ),
    ],
    "strategy.abTest.goal.within": [_SOME_TIME],
    "strategy.bandit": [
        _rule(
            "has(self.within) == (self.reward == 'latency-within')",
            "latency-within needs within, how long is soon enough, such as 50ms; nothing else does",
            "within",
        )
    ],
    "strategy.bandit.within": [_SOME_TIME],
    "strategy.bandit.interval": [_SOME_TIME],
    "strategy.bandit.explorationFloor": [_HUNDREDTHS],
    "variants[].name": [
        _rule(
            f"!(self in {list(RESERVED)})",
            f"{' and '.join(RESERVED)} are what versions of every experiment are called: choose another name",
        )
    ],
    "serving": [_with("autoscaling", "self.replicas == 1", FIXED_BESIDE_AUTOSCALING, "replicas")],
    "serving.autoscaling": [
        _rule("self.maxReplicas >= self.minReplicas", "is less than minReplicas", "maxReplicas"),
    ],
    "serving.multiModel.memory": [
        _rule(f"[{_QUANTITY}].all(size, size.compareTo(quantity('1Mi')) >= 0)", TOO_LITTLE_MEMORY)
    ],
    "serving.resources": [
        _rule(
            f"!has(self.cpu) || {_is_something('cpu')} || has(self.gpu) && {_is_something('gpu')}",
            "cpu is 0: without a GPU a replica needs a share of a CPU, such as 100m",
        )
    ],
    "serving.env": [
        _rule(
            f"self.all(name, name.matches('{ENV_NAME}'))",
            f"names of environment variables must match {ENV_NAME}",
        ),
        _rule(f"!self.exists(name, name.startsWith('{OWN_VARIABLES}'))", KEPT_VARIABLES),
    ],
    "traffic.sticky": [
        _rule("has(self.header) != has(self.cookie)", "names exactly one of header, cookie"),
        _rule(
            "has(self.cookie) || !has(self.ttl)",
            "is how long clients keep the cookie; with header it means nothing",
            "ttl",
        ),
    ],
    "traffic.paths": [
        _rule(
            f"[[{', '.join(f'has(self.{name}) ? self.{name} : {name!r}' for name in Paths.model_fields)}]]"
            ".all(paths, paths.all(path, paths.exists_one(other, other == path)))",
            "one path cannot stand for two things",
        )
    ],
    **{
        f"traffic.paths.{name}": [_rule(f"!self.matches(r'^{TAKEN_PATHS}$')", PATH_TAKEN)]
        for name in Paths.model_fields
    },
    "traffic.sticky.ttl": [_SOME_TIME],
    "traffic.sticky.header": _HEADER,
    "traffic.sticky.cookie": [
        _rule(
            f"!{list(KEPT_COOKIES)}.exists(start, self.startsWith(start))",
            f"may not begin with {' or '.join(KEPT_COOKIES)}",
        )
    ],
    "traffic.match[]": _MATCH,
    "traffic.match[].header": _HEADER,
    "traffic.match[].allOf[]": _CONDITION,
    "traffic.match[].allOf[].header": _HEADER,
    "traffic.limits.maxBodyBytes": [
        _rule(
            f"[{_QUANTITY}].all(size, size.compareTo(quantity('1')) >= 0 && size.compareTo(quantity('1Gi')) <= 0)",
            "1 to 1Gi are possible",
        )
    ],
    "analysis.interval": [_SOME_TIME],
    "traffic.timeout": [_SOME_TIME],
    "analysis.checks[]": _CHECK,
}
"""Rules by the path of the field that they stand at."""
