"""What several fields of a manifest can get wrong together. The CRD says the same in CEL where it can."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from operators.api.checkrules import broken_check_rules
from operators.api.fields import parse_quantity
from operators.api.inputrules import broken_input_rules
from operators.api.problem import Problem
from operators.api.strategies import Condition, Match
from operators.api.strategyrules import broken_strategy_rules, given_strategies
from operators.api.types import OWN_VARIABLES, Model, ModelRollout, RolloutSpec, Serving, Sticky
from router.ir import TAKEN_PATHS
from serving.uri import MOVING, moves

LARGEST_BODY: Final = 1 << 30
"""Bytes. Bodies are held in memory."""
LARGEST_VALUES: Final = 1 << 14
"""Bytes of all values of one condition on a header: they become one regular expression, whose size Envoy bounds."""
OWN_HEADERS: Final = "tidegate-"
"""What the headers begin with that Tidegate takes from every request, before anything looks at them."""
KEPT_COOKIES: Final = ("__Host-", "__Secure-")
"""What names of cookies begin with that browsers take over https only."""
KEPT_VARIABLES: Final = f"names that begin with {OWN_VARIABLES} are the cluster's settings, which no rollout may change"
VERSION_FIELD: Final = "model_version"
VERSION_FIELD_TAKEN: Final = "is the field that says in every answer which version gave it: choose another name"
LABELS_ARE_TEXT: Final = "is that of numbers, and labels are text: leave one of both out"
PATH_TAKEN: Final = "is a path of the protocols, which every model has: choose another, such as /api/v1/predict"
LEAST_MEMORY: Final = 1 << 20
"""Bytes that loaded models of many may take at least."""
TOO_LITTLE_MEMORY: Final = "models need 1Mi at least"
PATHS_OF_MANY: Final = "are for one model, and with spec.serving.multiModel there are many: leave them out"
_BIASED: Final = "would bias the comparison, since the requests it selects are no chance sample: leave it out"
OF_CLASSES: Final = ("python", "kserve", "mlserver", "seldon")
"""Runtimes that make the model of a class."""
OF_TENSORS: Final = ("onnx", "python", "kserve", "mlserver")
"""Runtimes of models that may take tensors whose shapes the manifest says."""
CLASS_MISSING: Final = "is missing: it names the class for the runtime"
CLASS_MEANINGLESS: Final = f"is for the runtimes {', '.join(OF_CLASSES)}; with others it means nothing"
SHAPE_MEANINGLESS: Final = f"is for tensors, which models of {', '.join(OF_TENSORS)} may take; leave it out"
FIXED_BESIDE_AUTOSCALING: Final = (
    "is a fixed number, and spec.serving.autoscaling lets it follow the requests: leave one of them out, or change "
    "minReplicas"
)
ACCELERATE_OF_MANY: Final = (
    "would convert every model of spec.serving.multiModel when it is first asked, which takes seconds: leave it out"
)
CONVERTIBLE: Final = ("sklearn", "xgboost", "lightgbm")
"""Runtimes whose models may be converted to ONNX."""
ACCELERATE_MEANINGLESS: Final = f"is for the runtimes {', '.join(CONVERTIBLE)}; with others it means nothing"
ROWS_FIRST: Final = "must begin with -1, the rows of a request"
NO_MATCH: Final = {
    "blueGreen": "is for canary; write spec.strategy.blueGreen.previewMatch",
    "shadow": "is for canary: with shadow no user may reach the candidate; leave it out",
    "abTest": f"is for canary: in an abTest it {_BIASED}",
    "bandit": f"is for canary: with a bandit it {_BIASED}",
}
"""Why `traffic.match` does not go with a strategy."""


def broken_rules(rollout: ModelRollout) -> Iterator[Problem]:
    """All that is wrong across fields."""
    spec = rollout.spec
    yield from _model("spec.model", spec.model)
    yield from _repeated("spec.variants", (variant.name for variant in spec.variants))
    for index, variant in enumerate(spec.variants):
        yield from _model(f"spec.variants[{index}].model", variant.model)
    yield from _repeated("spec.analysis.checks", (check.name for check in spec.analysis.checks))
    yield from _repeated("spec.traffic.hosts", spec.traffic.hosts)
    yield from broken_strategy_rules(rollout)
    yield from broken_check_rules(spec)
    for name in spec.serving.env:
        if name.startswith(OWN_VARIABLES):
            yield Problem(f"spec.serving.env.{name}", KEPT_VARIABLES)
    yield from _autoscaling(spec.serving)
    many = spec.serving.multi_model
    if many is not None and spec.model.accelerate is not None:
        yield Problem("spec.model.accelerate", ACCELERATE_OF_MANY)
    if many is not None and many.memory_bytes < LEAST_MEMORY:
        yield Problem("spec.serving.multiModel.memory", f"is {many.memory}; {TOO_LITTLE_MEMORY}")
    if parse_quantity(spec.serving.resources.cpu) == 0 and parse_quantity(spec.serving.resources.gpu) == 0:
        yield Problem(
            "spec.serving.resources.cpu", "is 0: without a GPU a replica needs a share of a CPU, such as 100m"
        )
    if not 1 <= spec.traffic.max_body_bytes <= LARGEST_BODY:
        yield Problem(
            "spec.traffic.limits.maxBodyBytes", f"is {spec.traffic.limits.max_body_bytes}; 1 to 1Gi are possible"
        )
    if spec.traffic.sticky is not None:
        yield from _sticky("spec.traffic.sticky", spec.traffic.sticky)
    yield from _paths("spec.traffic.paths", spec.traffic.paths.given)
    if spec.traffic.paths.given and spec.serving.multi_model is not None:
        yield Problem("spec.traffic.paths", PATHS_OF_MANY)
    yield from _matches(spec)


def _model(field: str, model: Model) -> Iterator[Problem]:
    if moves(model.uri) and model.sha256 is None:
        yield Problem(f"{field}.uri", MOVING)
    yield from _repeated(f"{field}.inputs", (entry.name for entry in model.inputs))
    yield from _repeated(f"{field}.outputs", (output.name for output in model.outputs))
    for index, output in enumerate(model.outputs):
        if output.name == VERSION_FIELD:
            yield Problem(f"{field}.outputs[{index}].name", VERSION_FIELD_TAKEN)
        if output.labels and output.datatype not in (None, "BYTES"):
            yield Problem(f"{field}.outputs[{index}].datatype", LABELS_ARE_TEXT)
    if model.class_ is None and model.runtime in OF_CLASSES:
        yield Problem(f"{field}.class", f"{CLASS_MISSING} {model.runtime}: write module:Class")
    elif model.class_ is not None and model.runtime not in OF_CLASSES:
        yield Problem(f"{field}.class", CLASS_MEANINGLESS)
    if model.accelerate is not None and model.runtime not in CONVERTIBLE:
        yield Problem(f"{field}.accelerate", ACCELERATE_MEANINGLESS)
    for index, entry in enumerate(model.inputs):
        yield from broken_input_rules(f"{field}.inputs[{index}]", entry)
        if entry.shape is not None and model.runtime not in OF_TENSORS:
            yield Problem(f"{field}.inputs[{index}].shape", SHAPE_MEANINGLESS)
        elif entry.shape is not None and entry.shape[0] != -1:
            yield Problem(f"{field}.inputs[{index}].shape", ROWS_FIRST)


def _autoscaling(serving: Serving) -> Iterator[Problem]:
    scaling = serving.autoscaling
    if scaling is None:
        return
    if serving.replicas != 1:
        yield Problem("spec.serving.replicas", FIXED_BESIDE_AUTOSCALING)
    if scaling.max_replicas < scaling.min_replicas:
        yield Problem(
            "spec.serving.autoscaling.maxReplicas",
            f"is {scaling.max_replicas}, less than minReplicas, which is {scaling.min_replicas}",
        )


def _repeated(field: str, names: Iterable[str]) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(field, f"names {name} {count} times")


def _sticky(field: str, sticky: Sticky) -> Iterator[Problem]:
    if (sticky.header is None) == (sticky.cookie is None):
        found = "is none" if sticky.header is None else "are both"
        yield Problem(field, f"names exactly one of header, cookie; here {found}")
    if sticky.header is not None:
        yield from _header(f"{field}.header", sticky.header)
    if sticky.cookie is not None and sticky.cookie.startswith(KEPT_COOKIES):
        yield Problem(f"{field}.cookie", f"may not begin with {' or '.join(KEPT_COOKIES)}")
    if sticky.cookie is None and "ttl" in sticky.model_fields_set:
        yield Problem(f"{field}.ttl", "is how long clients keep the cookie; with header it means nothing")
    elif sticky.ttl < 1:
        yield Problem(f"{field}.ttl", "is shorter than a second: cookies last whole seconds")


def _paths(field: str, given: Mapping[str, str]) -> Iterator[Problem]:
    for name, path in given.items():
        if re.fullmatch(TAKEN_PATHS, path):
            yield Problem(f"{field}.{name}", PATH_TAKEN)
    yield from _repeated(field, given.values())


def _header(field: str, name: str) -> Iterator[Problem]:
    if name.lower().startswith(OWN_HEADERS):
        yield Problem(field, f"may not begin with {OWN_HEADERS}: such headers are Tidegate's own")


def _matches(spec: RolloutSpec) -> Iterator[Problem]:
    given = given_strategies(spec.strategy)
    if spec.traffic.match and not given:
        yield Problem(
            "spec.traffic.match", "is for canary: without a strategy a new version takes over at once; leave it out"
        )
    elif spec.traffic.match and given[0] in NO_MATCH:
        yield Problem("spec.traffic.match", NO_MATCH[given[0]])
    for index, match in enumerate(spec.traffic.match):
        yield from _match(f"spec.traffic.match[{index}]", match)
    if spec.strategy is not None and spec.strategy.blue_green is not None:
        for index, match in enumerate(spec.strategy.blue_green.preview_match):
            yield from _match(f"spec.strategy.blueGreen.previewMatch[{index}]", match)


def _match(field: str, match: Match) -> Iterator[Problem]:
    if not match.all_of:
        yield from _condition(field, match)
        return
    beside = [*_subjects(match), *_demands(match)]
    if beside:
        yield Problem(
            field, f"has allOf and beside it {' and '.join(beside)}: make that a condition of its own within allOf"
        )
    for index, condition in enumerate(match.all_of):
        yield from _condition(f"{field}.allOf[{index}]", condition)


def _condition(field: str, condition: Condition) -> Iterator[Problem]:
    subjects, demands = _subjects(condition), _demands(condition)
    if len(subjects) != 1:
        found = "are both" if subjects else "is none"
        yield Problem(field, f"names exactly one of header, feature; here {found}")
    if len(demands) > 1:
        yield Problem(
            field, f"asks for at most one of exact, in, prefix, a range (min, below); here are {' and '.join(demands)}"
        )
    if condition.min is not None and condition.below is not None and condition.min >= condition.below:
        yield Problem(
            f"{field}.below", f"is {condition.below:g}, but min is {condition.min:g}: no number lies in between"
        )
    if condition.header is not None:
        yield from _header(f"{field}.header", condition.header)
    if subjects == ["header"]:
        if sum(len(value.encode()) for value in condition.in_ if isinstance(value, str)) > LARGEST_VALUES:
            yield Problem(f"{field}.in", f"is more than {LARGEST_VALUES} bytes in all")
        values = [("exact", condition.exact), *((f"in[{index}]", one) for index, one in enumerate(condition.in_))]
        for name, value in values:
            if value is not None and not isinstance(value, str):
                yield Problem(f"{field}.{name}", "must be text, as a header's value is: put it in quotes")
        for name, number in (("min", condition.min), ("below", condition.below)):
            if number is not None:
                yield Problem(f"{field}.{name}", "is for features: a header is text; write exact, in or prefix")


def _subjects(condition: Condition) -> list[str]:
    """What the condition is about."""
    return [name for name, value in (("header", condition.header), ("feature", condition.feature)) if value is not None]


def _demands(condition: Condition) -> list[str]:
    """What it asks of it."""
    given = {
        "exact": condition.exact is not None,
        "in": bool(condition.in_),
        "prefix": condition.prefix is not None,
        "a range": condition.min is not None or condition.below is not None,
    }
    return [name for name, there in given.items() if there]
