"""The rules of `operators.api.rules` as far as the API server can check them, in CEL.

https://kubernetes.io/docs/reference/using-api/cel/. What fields of several types (`max`, `exact`, `in`) hold is out of
its reach. Fields with a default are always there: the API server fills them in first.
"""

from collections.abc import Mapping
from typing import Final

from operators.api.block import DNS_LABEL
from operators.api.celrule import Rule, count, rule, when
from operators.api.checkrules import SUBJECTS
from operators.api.checks import METRICS, Check
from operators.api.modelcel import OF_A_MODEL
from operators.api.rules import (
    ACCELERATE_OF_MANY,
    FIXED_BESIDE_AUTOSCALING,
    KEPT_COOKIES,
    KEPT_VARIABLES,
    NO_MATCH,
    OWN_HEADERS,
    PATH_TAKEN,
    PATHS_OF_MANY,
    TOO_LITTLE_MEMORY,
)
from operators.api.strategyrules import RESERVED, SIZED_BESIDE_AUTOSCALING, STEP_KINDS, STRATEGIES
from operators.api.types import ENV_NAME, OWN_VARIABLES, Paths
from router.ir import TAKEN_PATHS


def _is_something(field: str) -> str:
    return f"(type(self.{field}) == int ? self.{field} != 0 : self.{field}.matches('[1-9]'))"


_QUANTITY: Final = "quantity(type(self) == int ? string(self) : self)"
_HUNDREDTHS: Final = rule(
    "self < 0.0 || [self * 100.0 - double(int(self * 100.0 + 0.5))].all(rest, rest < 0.000001 && rest > -0.000001)",
    "has more than two decimals: traffic is divided in hundredths of a percent",
)
"""Instead of `multipleOf`, with which the API server refuses whole numbers where fractions are allowed."""
_SOME: Final = rule("self > 0.0", "must be greater than 0")
_SOME_TIME: Final = rule("self.matches('[1-9]')", "must be longer than 0")
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
    rule(
        "self.traffic.match.size() == 0 || has(self.strategy)",
        "is for canary: without a strategy a new version takes over at once; leave it out",
        "traffic.match",
    ),
    *(
        when(f"strategy.{name}", "self.traffic.match.size() == 0", why, "traffic.match")
        for name, why in NO_MATCH.items()
    ),
]
_CHECKED: Final = [
    when(
        f"{_CANARY}.steps",
        f"{_CHECKS} || !self.strategy.canary.steps.exists(s, has(s.analysis))",
        f"an analysis step has nothing to wait for: {_NO_CHECKS}",
    ),
    when(f"{_BLUE_GREEN}.prePromotionAnalysis", _CHECKS, f"has nothing to wait for: {_NO_CHECKS}"),
    when(f"{_BLUE_GREEN}.postPromotionAnalysis", _CHECKS, f"has nothing to watch: {_NO_CHECKS}"),
    when(
        f"{_SHADOW}.then",
        f"self.strategy.shadow.then != 'promote' || {_CHECKS}",
        f"has nothing to decide by: {_NO_CHECKS}; write checks, or then: hold",
    ),
    when(f"{_SHADOW}.maxDuration", _CHECKS, f"means nothing without checks: {_NO_CHECKS}"),
    when(f"{_SHADOW}.minSamples", _CHECKS, f"means nothing without checks: {_NO_CHECKS}"),
]
_REACHED: Final = [
    rule(
        "!self.analysis.checks.exists(c, has(c.metric) && c.metric == 'shadow-agreement') || has(self.strategy) "
        "&& (has(self.strategy.shadow) || has(self.strategy.canary) "
        "&& self.strategy.canary.steps.exists(s, has(s.setShadow) && s.setShadow > 0.0))",
        "shadow-agreement would never be judged: no step copies requests to the candidate; write a setShadow step",
        "analysis.checks",
    ),
    rule(
        "!self.analysis.checks.exists(c, has(c.metric) && c.metric.startsWith('feedback-')) || has(self.strategy) "
        "&& !has(self.strategy.shadow) && (!has(self.strategy.canary) || self.traffic.match.size() > 0 "
        "|| self.strategy.canary.steps.exists(s, has(s.setWeight) && s.setWeight > 0.0))",
        "feedback would never be judged: before its promotion no user gets an answer of the candidate",
        "analysis.checks",
    ),
    rule(
        f"self.variants.size() == 0 || self.analysis.checks.all(c, has(c.metric) && c.metric in {_COUNTED})",
        "beside variants, which the goal compares, only error-rate and latencies are judged",
        "analysis.checks",
    ),
]
_CANARIES: Final = [
    when(
        f"{_CANARY}.steps",
        f"self.traffic.match.size() > 0 "
        f"|| [{_SENDING_OR_WAITING}].all(found, found.size() == 0 || !has(found[0].analysis))",
        "an analysis would wait forever: the candidate gets no requests before a setWeight or setShadow above 0",
    ),
    when(
        f"{_CANARY}.steps",
        "has(self.serving.autoscaling) "
        "|| self.strategy.canary.steps.all(s, !has(s.setReplicas) || s.setReplicas <= self.serving.replicas)",
        "setReplicas may not be more than the stable version's, which is spec.serving.replicas",
    ),
    when(
        f"{_CANARY}.steps",
        "!has(self.serving.autoscaling) || self.strategy.canary.steps.all(s, !has(s.setReplicas))",
        f"setReplicas {SIZED_BESIDE_AUTOSCALING}",
    ),
]
_VARIANTS: Final = [
    rule(
        "self.variants.size() == 0 || has(self.strategy) && (has(self.strategy.abTest) || has(self.strategy.bandit))",
        "are for abTest and bandit: nothing else would run them",
        "variants",
    ),
    rule(
        "self.variants.all(v, dyn(v.model) != dyn(self.model))",
        "a variant is the same version as spec.model: there is nothing to compare",
        "variants",
    ),
    rule(
        "self.variants.all(v, self.variants.exists_one(w, w.model == v.model))",
        "two variants are the same version: there is nothing to compare",
        "variants",
    ),
    when(f"{_AB_TEST}.weight", "self.variants.size() == 0", "is for a test without variants; write shares"),
    when(
        f"{_AB_TEST}.shares",
        "self.variants.size() > 0 || self.strategy.abTest.shares.size() == 0",
        "are for spec.variants; without them write weight, the candidate's percent",
    ),
    when(
        f"{_AB_TEST}.shares",
        "self.variants.size() == 0 || ('control' in self.strategy.abTest.shares "
        "&& self.strategy.abTest.shares.size() == self.variants.size() + 1 "
        "&& self.variants.all(v, v.name in self.strategy.abTest.shares))",
        "name control and every variant, and nobody else",
    ),
    when(
        f"{_BANDIT}.explorationFloor",
        "self.strategy.bandit.explorationFloor "
        "* double(self.variants.size() == 0 ? 2 : self.variants.size() + 1) <= 100.0",
        "is more than 100 for all versions together",
    ),
]
_PATHS: Final = rule(
    f"!has(self.serving.multiModel) || {count(f'traffic.paths.{name}' for name in Paths.model_fields)} == 0",
    PATHS_OF_MANY,
    "traffic.paths",
)
_ACCELERATED: Final = rule(
    "!has(self.serving.multiModel) || !has(self.model.accelerate)", ACCELERATE_OF_MANY, "model.accelerate"
)
_HEADER: Final = [
    rule(
        f"!self.lowerAscii().startsWith('{OWN_HEADERS}')",
        f"may not begin with {OWN_HEADERS}: such headers are Tidegate's own",
    )
]


_DEMANDS: Final = [
    rule(
        "!has(self.prefix) || !(has(self.min) || has(self.below))",
        "asks for at most one of exact, in, prefix, a range (min, below)",
    ),
    rule("!has(self.min) || !has(self.below) || self.min < self.below", "no number lies between min and below"),
    rule(
        "!has(self.header) || !(has(self.min) || has(self.below))",
        "min and below are for features: a header is text; write exact, in or prefix",
    ),
]
_ONE_SUBJECT: Final = "names exactly one of header, feature"
_CONDITION: Final = [rule("has(self.header) != has(self.feature)", _ONE_SUBJECT), *_DEMANDS]
_MATCH: Final = [
    rule("self.allOf.size() > 0 || has(self.header) != has(self.feature)", _ONE_SUBJECT),
    rule(
        "self.allOf.size() == 0 || !(has(self.header) || has(self.feature) || has(self.prefix) || has(self.min) "
        "|| has(self.below))",
        "has allOf and beside it something else: make that a condition of its own within allOf",
    ),
    *_DEMANDS,
]
_LEAST: Final = [name for name, metric in METRICS.items() if metric.bound == "min"]
"""Metrics of which more is better: the bound of the others is `max`, which CEL cannot see."""
_CHECK: Final = [
    rule(f"{count(SUBJECTS)} == 1", f"names exactly one of {', '.join(SUBJECTS)}"),
    when("min", f"!has(self.metric) || self.metric in {_LEAST}", "means nothing for this metric: its bound is max"),
    when(
        "versus",
        f"has(self.metric) && self.metric in {[name for name, metric in METRICS.items() if metric.versus]}",
        "means nothing here: it is for metrics that both versions have",
    ),
    when(
        "metric",
        f"!(self.metric in {_LEAST}) || has(self.min) != has(self.versus)",
        "needs either min or, where it is possible, versus: stable with a margin",
        "min",
    ),
    rule(
        "has(self.versus) == has(dyn(self).margin)",
        "versus and margin belong together: how much worse than stable is still good",
        "margin",
    ),
    when(
        "tolerance",
        "has(self.metric) && self.metric == 'shadow-agreement'",
        "is for shadow-agreement; with anything else it means nothing",
    ),
    rule(
        "self.failureLimit == 0 || !has(self.metric)",
        "is for prometheus and web; with a metric it means nothing",
        "failureLimit",
    ),
    rule(
        "self.minSamples == 0 || has(self.metric)", "is for metrics; with anything else it means nothing", "minSamples"
    ),
    rule(
        f"self.confidence == {Check.model_fields['confidence'].default} || has(self.metric)",
        "is for metrics; with anything else it means nothing",
        "confidence",
    ),
]
RULES: Final[Mapping[str, list[Rule]]] = {
    **{f"{model}{path}": found for model in ("model", "variants[].model") for path, found in OF_A_MODEL.items()},
    "": [_ACCELERATED, _PATHS, *_CHECKED, *_REACHED, *_CANARIES, *_MATCHES, *_VARIANTS],
    "strategy": [rule(f"{count(STRATEGIES)} == 1", f"exactly one of {', '.join(STRATEGIES)}")],
    "strategy.canary.steps": [rule(f"{_WEIGHTS}.isSorted()", "setWeight must not fall along the steps")],
    "strategy.canary.steps[]": [rule(f"{count(STEP_KINDS)} == 1", f"exactly one of {', '.join(STEP_KINDS)}")],
    "strategy.canary.steps[].setWeight": [_HUNDREDTHS],
    "strategy.canary.steps[].setShadow": [_HUNDREDTHS],
    "strategy.blueGreen": [
        rule(
            "!has(self.prePromotionAnalysis) || self.previewMatch.size() > 0",
            "would wait forever: the candidate gets no requests before the switch; write previewMatch",
            "prePromotionAnalysis",
        ),
        rule(
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
    "strategy.abTest.weight": [_SOME, rule("self < 100.0", "must be less than 100"), _HUNDREDTHS],
    "strategy.abTest.shares": [
        rule(
            "self.size() == 0 || [self.map(name, self[name]).sum()].all(sum, sum > 99.999 && sum < 100.001)",
            "must be 100 in all",
        ),
        rule(f"self.all(name, name.matches('{DNS_LABEL}'))", f"names of versions must match {DNS_LABEL}"),
    ],
    "strategy.abTest.shares{}": [
        rule("self > 0.0", "a version without requests cannot be compared"),
        _HUNDREDTHS,
    ],
    "strategy.abTest.maxDuration": [_SOME_TIME],
    "strategy.abTest.goal": [
        rule(
            "has(self.within) == (self.metric == 'latency-within')",
            "latency-within needs within, how long is soon enough, such as 50ms; nothing else does",
            "within",
        ),
        rule(
            "self.direction == 'increase' || self.metric == 'feedback-reward'",
            "is decrease, but more of this is better: write increase",
            "direction",
        ),
    ],
    "strategy.abTest.goal.within": [_SOME_TIME],
    "strategy.bandit": [
        rule(
            "has(self.within) == (self.reward == 'latency-within')",
            "latency-within needs within, how long is soon enough, such as 50ms; nothing else does",
            "within",
        )
    ],
    "strategy.bandit.within": [_SOME_TIME],
    "strategy.bandit.interval": [_SOME_TIME],
    "strategy.bandit.explorationFloor": [_HUNDREDTHS],
    "variants[].name": [
        rule(
            f"!(self in {list(RESERVED)})",
            f"{' and '.join(RESERVED)} are what versions of every experiment are called: choose another name",
        )
    ],
    "serving": [when("autoscaling", "self.replicas == 1", FIXED_BESIDE_AUTOSCALING, "replicas")],
    "serving.autoscaling": [
        rule("self.maxReplicas >= self.minReplicas", "is less than minReplicas", "maxReplicas"),
    ],
    "serving.multiModel.memory": [
        rule(f"[{_QUANTITY}].all(size, size.compareTo(quantity('1Mi')) >= 0)", TOO_LITTLE_MEMORY)
    ],
    "serving.resources": [
        rule(
            f"!has(self.cpu) || {_is_something('cpu')} || has(self.gpu) && {_is_something('gpu')}",
            "cpu is 0: without a GPU a replica needs a share of a CPU, such as 100m",
        )
    ],
    "serving.env": [
        rule(
            f"self.all(name, name.matches('{ENV_NAME}'))",
            f"names of environment variables must match {ENV_NAME}",
        ),
        rule(f"!self.exists(name, name.startsWith('{OWN_VARIABLES}'))", KEPT_VARIABLES),
    ],
    "traffic.sticky": [
        rule("has(self.header) != has(self.cookie)", "names exactly one of header, cookie"),
        rule(
            "has(self.cookie) || !has(self.ttl)",
            "is how long clients keep the cookie; with header it means nothing",
            "ttl",
        ),
    ],
    "traffic.paths": [
        rule(
            f"[[{', '.join(f'has(self.{name}) ? self.{name} : {name!r}' for name in Paths.model_fields)}]]"
            ".all(paths, paths.all(path, paths.exists_one(other, other == path)))",
            "one path cannot stand for two things",
        )
    ],
    **{
        f"traffic.paths.{name}": [rule(f"!self.matches(r'^{TAKEN_PATHS}$')", PATH_TAKEN)] for name in Paths.model_fields
    },
    "traffic.sticky.ttl": [_SOME_TIME],
    "traffic.sticky.header": _HEADER,
    "traffic.sticky.cookie": [
        rule(
            f"!{list(KEPT_COOKIES)}.exists(start, self.startsWith(start))",
            f"may not begin with {' or '.join(KEPT_COOKIES)}",
        )
    ],
    "traffic.match[]": _MATCH,
    "traffic.match[].header": _HEADER,
    "traffic.match[].allOf[]": _CONDITION,
    "traffic.match[].allOf[].header": _HEADER,
    "traffic.limits.maxBodyBytes": [
        rule(
            f"[{_QUANTITY}].all(size, size.compareTo(quantity('1')) >= 0 && size.compareTo(quantity('1Gi')) <= 0)",
            "1 to 1Gi are possible",
        )
    ],
    "analysis.interval": [_SOME_TIME],
    "traffic.timeout": [_SOME_TIME],
    "analysis.checks[]": _CHECK,
}
"""Rules by the path of the field that they stand at."""
