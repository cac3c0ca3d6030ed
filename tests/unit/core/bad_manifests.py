"""A manifest, others for every strategy, and everything that their fields can get wrong."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

MANIFEST: dict[str, Any] = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "ModelRollout",
    "metadata": {"name": "iris"},
    "spec": {
        "model": {"uri": "file:///models/iris.joblib", "runtime": "sklearn"},
        "serving": {"replicas": 2, "resources": {"cpu": 1, "memory": "512Mi"}},
        "strategy": {
            "canary": {
                "steps": [{"setShadow": 100}, {"setWeight": 5.25}, {"pause": {"duration": "1h30m"}}, {"pause": {}}]
            }
        },
        "analysis": {
            "interval": "250ms",
            "checks": [
                {"name": "errors", "metric": "error-rate", "versus": "stable", "margin": 0.005},
                {"name": "latency", "metric": "latency-p99", "max": "50ms"},
            ],
        },
        "traffic": {"hosts": ["a.example"], "sticky": {"header": "x-user-id"}, "limits": {"maxBodyBytes": "2Mi"}},
    },
}

STEPS, CHECKS = "spec.strategy.canary.steps", "spec.analysis.checks"
WEB = {"url": "https://example.org/{{version}}", "value": "/data/0/score"}
LATENCY = {"name": "l", "metric": "latency-p99", "versus": "stable"}
AGREEMENT = {"name": "a", "metric": "shadow-agreement", "min": 0.99}
ACCURACY = {"name": "f", "metric": "feedback-accuracy", "versus": "stable", "margin": 0.02}
ERROR_RATE = {"name": "e", "metric": "error-rate"}
MATCH, HEADER = "spec.traffic.match", {"header": "x-beta"}
BAD: Final[list[tuple[str, object, str, str]]] = [
    ("kind", "Rollout", "kind", "must be ModelRollout, it is 'Rollout'"),
    ("apiVersion", "v1", "apiVersion", "must be tidegate.dev/v1alpha1"),
    ("sepc", {}, "sepc", "did you mean spec?"),
    ("metadata.name", "Iris_1", "metadata.name", "must match"),
    ("metadata.lables", {}, "metadata.lables", "did you mean labels?"),
    ("spec", None, "spec", "must be a mapping"),
    ("spec.modle", {}, "spec.modle", "did you mean model?"),
    ("spec.model", {"uri": "file:///x"}, "spec.model.runtime", "is required"),
    ("spec.model.runtime", "tensorflow", "spec.model.runtime", '\'mlserver\' or \'seldon\', it is "tensorflow"'),
    ("spec.model.runtime", "python", "spec.model.class", "is missing: it names the class for the runtime python"),
    ("spec.model.runtime", "kserve", "spec.model.class", "is missing: it names the class for the runtime kserve"),
    ("spec.model.class", "fraud:Model", "spec.model.class", "is for the runtimes python, kserve, mlserver, seldon"),
    ("spec.model.accelerate", "tensorrt", "spec.model.accelerate", "must be 'onnx', it is \"tensorrt\""),
    ("spec.model", {"uri": "file:///x", "runtime": "onnx", "accelerate": "onnx"},
     "spec.model.accelerate", "is for the runtimes sklearn, xgboost, lightgbm; with others it means nothing"),
    ("spec", {"model": {"uri": "file:///x", "runtime": "sklearn", "accelerate": "onnx"}, "serving": {"multiModel": {}}},
     "spec.model.accelerate", "would convert every model of spec.serving.multiModel when it is first asked"),
    ("spec.model.class", "fraud.Model", "spec.model.class", "must match"),
    ("spec.model.inputs", [{"name": "a", "shape": [-1, 3]}], "spec.model.inputs[0].shape", "is for tensors, which"),
    ("spec.model.inputs", [{"name": "a", "shape": []}], "spec.model.inputs[0].shape", "at least 1 item"),
    ("spec.model.inputs", [{"name": "a", "shape": [-2]}], "spec.model.inputs[0].shape[0]", "than or equal to -1"),
    ("spec.model", {"uri": "file:///x", "runtime": "onnx", "inputs": [{"name": "a", "shape": [8, 3]}]},
     "spec.model.inputs[0].shape", "must begin with -1, the rows"),
    ("spec.model.inputs", [{"name": "a", "min": 2, "max": 1}], "spec.model.inputs[0].max", "no number lies between"),
    ("spec.model.inputs", [{"name": "a", "datatype": "BYTES", "min": 2}], "spec.model.inputs[0].min", "for numbers"),
    ("spec.model.inputs", [{"name": "a", "datatype": "BOOL", "max": 2}], "spec.model.inputs[0].max", "for numbers"),
    ("spec.model.inputs", [{"name": "a", "datatype": "BOOL", "values": [True]}], "spec.model.inputs[0].values",
     "are for numbers and text"),
    ("spec.model", {"uri": "file:///x", "runtime": "onnx", "inputs": [{"name": "a", "shape": [-1], "unique": True}]},
     "spec.model.inputs[0].unique", "is for columns"),
    ("spec.model", {"uri": "file:///x", "runtime": "onnx",
                    "inputs": [{"name": "a", "shape": [-1], "datatype": "INT8", "nullable": True}]},
     "spec.model.inputs[0].nullable", "is for FP64, FP32 and FP16"),
    ("spec.model", {"uri": "file:///x", "runtime": "onnx", "inputs": [{"name": "a", "shape": [-1], "default": 1}]},
     "spec.model.inputs[0].default", "is for columns: leave it out"),
    ("spec.model", {"uri": "file:///x", "runtime": "onnx", "inputs": [{"name": "a", "shape": [-1], "example": 1}]},
     "spec.model.inputs[0].example", "is for columns: leave it out"),
    ("spec.model.inputs", [{"name": "a", "values": [1, "2"]}], "spec.model.inputs[0].values[1]", "must be a number"),
    ("spec.model.inputs", [{"name": "a", "values": [True]}], "spec.model.inputs[0].values[0]", "must be a number"),
    ("spec.model.inputs", [{"name": "a", "datatype": "INT8", "default": 1.5}], "spec.model.inputs[0].default",
     "must be a whole number, as its datatype INT8 is"),
    ("spec.model.inputs", [{"name": "a", "datatype": "BYTES", "default": 1}], "spec.model.inputs[0].default",
     "must be text, as its datatype BYTES is"),
    ("spec.model.inputs", [{"name": "a", "datatype": "BOOL", "example": 1}], "spec.model.inputs[0].example",
     "must be a boolean, as its datatype BOOL is"),
    ("spec.model.inputs", [{"name": "a", "min": 2, "default": 1}], "spec.model.inputs[0].default",
     "is less than min, 2"),
    ("spec.model.inputs", [{"name": "a", "max": 2, "example": 3}], "spec.model.inputs[0].example",
     "is more than max, 2"),
    ("spec.model.inputs", [{"name": "a", "values": [1, 2], "default": 3}], "spec.model.inputs[0].default",
     "is none of values"),
    ("spec.model.validation", "lax", "spec.model.validation", "must be 'strict' or 'coerce'"),
    ("spec.model.uri", "/models/iris", "spec.model.uri", "must begin with one of file:, pvc:, https:, http:, s3:,"),
    ("spec.model.uri", "ftp://host/key", "spec.model.uri", "must begin with one of"),
    ("spec.model.uri", "file:iris.joblib", "spec.model.uri", "must look like file:///ABSOLUTE/PATH"),
    ("spec.model.uri", "file://host/iris", "spec.model.uri", "must look like file:///ABSOLUTE/PATH"),
    ("spec.model.uri", "simplecache::s3://models/a", "spec.model.uri", "must begin with one of"),
    ("spec.model.uri", "s3://models/a::file:///etc/passwd", "spec.model.uri", "is a chain of URLs (::)"),
    ("spec.model.uri", "https://me:word@example.org/a", "spec.model.uri", "holds a credential"),
    ("spec.model.uri", "s3://key@models/a", "spec.model.uri", "holds a credential"),
    ("spec.model.uri", "abfs://c:key@acct.dfs.core.windows.net/a", "spec.model.uri", "holds a credential"),
    ("spec.model.uri", "https://example.org/a?sig=abc", "spec.model.uri", "has a query or a fragment"),
    ("spec.model.uri", "s3://models/a#b", "spec.model.uri", "has a query or a fragment"),
    ("spec.model.uri", "https://example.org", "spec.model.uri", "must look like https://HOST/PATH"),
    ("spec.model.uri", "https://example.org/a b", "spec.model.uri", "must look like https://HOST/PATH"),
    ("spec.model.uri", "s3://models/a/../b", "spec.model.uri", "must look like s3://BUCKET/KEY"),
    ("spec.model.uri", "gs://models", "spec.model.uri", "must look like gs://BUCKET/KEY"),
    ("spec.model.uri", "az://models/a\\b", "spec.model.uri", "must look like az://CONTAINER/PATH"),
    ("spec.model.uri", "abfs://models@evil.example/a", "spec.model.uri", "must look like abfs://CONTAINER@ACCOUNT.dfs"),
    ("spec.model.uri", "pvc://claim/../other", "spec.model.uri", "must look like pvc://CLAIM/PATH"),
    ("spec.model.uri", "pvc://Claim/a", "spec.model.uri", "must look like pvc://CLAIM/PATH"),
    ("spec.model.uri", "models:/iris", "spec.model.uri", "must look like models:/NAME/VERSION or models:/NAME@ALIAS"),
    ("spec.model.uri", "models:/iris/Production", "spec.model.uri", "must look like models:/NAME/VERSION"),
    ("spec.model.uri", "models:/iris@champion", "spec.model.uri", "names an alias, which may move"),
    ("spec.model.sha256", "abc", "spec.model.sha256", "must match"),
    ("spec.model.inputs", [{"name": "a"}, {"name": "a"}], "spec.model.inputs", "names a 2 times"),
    ("spec.serving.replicas", 0, "spec.serving.replicas", "greater than or equal to 1"),
    ("spec.serving.replicas", "2", "spec.serving.replicas", "valid integer"),
    ("spec.serving.replicas", True, "spec.serving.replicas", "valid integer"),
    ("spec.serving.autoscaling", {"maxReplicas": 4}, "spec.serving.replicas", "lets it follow the requests"),
    ("spec.serving", {"autoscaling": {}}, "spec.serving.autoscaling.maxReplicas", "is required"),
    ("spec.serving", {"autoscaling": {"minReplicas": 0, "maxReplicas": 2}}, "spec.serving.autoscaling.minReplicas",
     "greater than or equal to 1"),
    ("spec.serving", {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}, "spec.serving.autoscaling.maxReplicas",
     "is 2, less than minReplicas, which is 3"),
    ("spec.serving", {"autoscaling": {"maxReplicas": 2, "targetOngoingRequests": 0}},
     "spec.serving.autoscaling.targetOngoingRequests", "greater than or equal to 1"),
    ("spec.serving", {"autoscaling": {"maxReplicas": 2, "upscaleDelay": "soon"}},
     "spec.serving.autoscaling.upscaleDelay", "duration"),
    ("spec.serving.resources.memory", "1 GB", "spec.serving.resources.memory", "not a Kubernetes quantity"),
    ("spec.serving.resources.cpu", "-1", "spec.serving.resources.cpu", "not a Kubernetes quantity"),
    ("spec.serving.resources.cpu", 0, "spec.serving.resources.cpu", "needs a share of a CPU"),
    ("spec.serving.resources.cpu", 0.5, "spec.serving.resources.cpu", "write 500m or put 0.5 in quotes"),
    ("spec.serving.resources.memory", -1, "spec.serving.resources.memory", "not a Kubernetes quantity"),
    ("spec.serving.env", {"A": 1}, "spec.serving.env.A", "put it in quotes"),
    ("spec.serving.env", {"A-B": "1"}, "spec.serving.env.A-B", "must match"),
    ("spec.serving.env", {"TIDEGATE_X": "always"}, "spec.serving.env.TIDEGATE_X", "the cluster's settings"),
    ("spec.strategy", {}, "spec.strategy", "shadow, abTest, bandit; here is none"),
    ("spec.strategy", {"bandit": {}}, "spec.strategy.bandit.reward", "is required"),
    ("spec.strategy", {"abTest": {}}, "spec.strategy.abTest.goal", "is required"),
    ("spec.strategy.shadow", {}, "spec.strategy", "here are canary and shadow"),
    ("spec.strategy.canari", {}, "spec.strategy.canari", "did you mean canary?"),
    (f"{STEPS}.1.setWeight", 101, f"{STEPS}[1].setWeight", "less than or equal to 100"),
    (f"{STEPS}.1.setWeight", 0.123, f"{STEPS}[1].setWeight", "two decimals"),
    (f"{STEPS}.1", {"pause": {}, "setWeight": 1}, f"{STEPS}[1]", "setWeight and pause"),
    (f"{STEPS}.1", {}, f"{STEPS}[1]", "here is none"),
    (f"{STEPS}.3", {"setWeight": 5}, f"{STEPS}[3].setWeight", "falls from 5.25 to 5"),
    (f"{STEPS}.2.pause.duration", 5, f"{STEPS}[2].pause.duration", "write 5s"),
    (f"{STEPS}.2.pause.duration", "5 min", f"{STEPS}[2].pause.duration", "not a duration"),
    (f"{STEPS}.1.setWeight", -1, f"{STEPS}[1].setWeight", "greater than or equal to 0"),
    (f"{STEPS}.0", {"analysis": {}}, f"{STEPS}[0].analysis", "would wait forever"),
    (STEPS, [{"setShadow": 0}, {"setWeight": 0}, {"analysis": {}}], f"{STEPS}[2].analysis", "would wait forever"),
    (STEPS, [{"setShadow": 9}, {"setShadow": 0}, {"analysis": {}}], f"{STEPS}[2].analysis", "no requests before"),
    ("spec.analysis.onInconclusive", "go", "spec.analysis.onInconclusive", "must be 'hold', 'abort' or 'pause'"),
    ("spec.analysis.interval", "0s", "spec.analysis.interval", "greater than 0"),
    (f"{CHECKS}.0.margin", None, f"{CHECKS}[0].margin", "is required with versus"),
    (f"{CHECKS}.0.max", 0.1, f"{CHECKS}[0]", "either max"),
    (f"{CHECKS}.0", ERROR_RATE, f"{CHECKS}[0]", "needs either max"),
    (f"{CHECKS}.0", ERROR_RATE | {"max": 2}, f"{CHECKS}[0].max", "between 0 and 1"),
    (f"{CHECKS}.0", ERROR_RATE | {"max": "1s"}, f"{CHECKS}[0].max", "between 0 and 1"),
    (f"{CHECKS}.0", ERROR_RATE | {"max": 0.1, "margin": 0.1}, f"{CHECKS}[0].margin", "belongs to versus"),
    (f"{CHECKS}.1.max", 50, f"{CHECKS}[1].max", "must be a duration"),
    (f"{CHECKS}.1.max", "50", f"{CHECKS}[1].max", "not a duration"),
    (f"{CHECKS}.1.max", "0s", f"{CHECKS}[1].max", "no request is that fast"),
    (f"{CHECKS}.0.margin", "5ms", f"{CHECKS}[0].margin", "between 0 and 1"),
    (f"{CHECKS}.0.metric", "error-rates", f"{CHECKS}[0].metric", "must be 'error-rate', 'latency-p50'"),
    (f"{CHECKS}.1.versus", "stable", f"{CHECKS}[1]", "needs either max (a duration such as 50ms) or versus: stable"),
    (f"{CHECKS}.1.min", 5, f"{CHECKS}[1].min", "means nothing for latency-p99: its bound is max"),
    (f"{CHECKS}.1", LATENCY | {"margin": 5}, f"{CHECKS}[1].margin", "must be a duration"),
    (f"{CHECKS}.1.tolerance", 0.1, f"{CHECKS}[1].tolerance", "is for shadow-agreement"),
    (f"{CHECKS}.1.failureLimit", 1, f"{CHECKS}[1].failureLimit", "is for prometheus and web"),
    (f"{CHECKS}.1", {"name": "x"}, f"{CHECKS}[1]", "names exactly one of metric, prometheus, web; here is none"),
    (f"{CHECKS}.1.web", WEB, f"{CHECKS}[1]", "names exactly one of metric, prometheus, web; here are metric and web"),
    (f"{CHECKS}.1", AGREEMENT | {"min": None}, f"{CHECKS}[1]", "shadow-agreement needs min (a share such as 0.01)"),
    (f"{CHECKS}.1", AGREEMENT | {"max": 1}, f"{CHECKS}[1].max", "means nothing for shadow-agreement: its bound is min"),
    (f"{CHECKS}.1", AGREEMENT | {"min": 1.5}, f"{CHECKS}[1].min", "is 1.5; a share between 0 and 1"),
    (f"{CHECKS}.1", AGREEMENT | {"tolerance": 2}, f"{CHECKS}[1].tolerance", "less than or equal to 1"),
    (f"{CHECKS}.1", AGREEMENT | {"versus": "stable"}, f"{CHECKS}[1].versus", "means nothing for shadow-agreement"),
    (f"{CHECKS}.1", {"name": "r", "metric": "feedback-reward", "min": 1, "versus": "stable"},
     f"{CHECKS}[1]", "feedback-reward needs either min (a number) or versus: stable with a margin"),
    (f"{CHECKS}.1", {"name": "d", "metric": "feature-drift", "max": "0.2"}, f"{CHECKS}[1].max", "a number is expected"),
    (f"{CHECKS}.1", {"name": "d", "metric": "feature-drift", "max": -1}, f"{CHECKS}[1].max", "is -1; a number of at"),
    (f"{CHECKS}.1", {"name": "w", "web": WEB}, f"{CHECKS}[1]", "web needs min, max or both, which are numbers"),
    (f"{CHECKS}.1", {"name": "w", "web": WEB, "max": "9"}, f"{CHECKS}[1].max", "is '9'; a number is expected"),
    (f"{CHECKS}.1", {"name": "w", "web": WEB, "min": 2, "max": 1}, f"{CHECKS}[1].max", "is 1, but min is 2"),
    (f"{CHECKS}.1", {"name": "w", "web": WEB, "min": 2, "minSamples": 9}, f"{CHECKS}[1].minSamples", "is for metrics"),
    (f"{CHECKS}.1", {"name": "w", "web": WEB, "min": 2, "confidence": 0.9}, f"{CHECKS}[1].confidence", "is for metri"),
    (f"{CHECKS}.1", {"name": "w", "web": WEB | {"value": "score"}, "min": 2}, f"{CHECKS}[1].web.value", "must match"),
    (f"{CHECKS}.1", {"name": "w", "web": WEB | {"value": "/~2"}, "min": 2}, f"{CHECKS}[1].web.value", "must match"),
    (f"{CHECKS}.1", {"name": "w", "web": WEB | {"url": "file:///x"}, "min": 2}, f"{CHECKS}[1].web.url", "must match"),
    (f"{CHECKS}.1", {"name": "w", "web": WEB | {"url": "http://a/{{modle}}"}, "min": 2},
     f"{CHECKS}[1].web.url", "has {{modle}}, which nothing fills in; known here: {{version}}, {{stable}}, {{model}}"),
    (f"{CHECKS}.1", {"name": "p", "prometheus": {"query": ""}, "min": 2},
     f"{CHECKS}[1].prometheus.query", "at least 1 character"),
    (f"{CHECKS}.1.name", "errors", CHECKS, "names errors 2 times"),
    (f"{CHECKS}.1.confidence", 1.5, f"{CHECKS}[1].confidence", "less than or equal to 0.9999"),
    ("spec.traffic.hosts", [], "spec.traffic.hosts", "at least 1 item"),
    ("spec.traffic.hosts", "a.example", "spec.traffic.hosts", "must be a list"),
    ("spec.traffic.hosts", ["a b"], "spec.traffic.hosts[0]", "must match"),
    ("spec.traffic.paths", {"predict": "/predict/"}, "spec.traffic.paths.predict", "must match"),
    ("spec.traffic.paths", {"predict": "predict"}, "spec.traffic.paths.predict", "must match"),
    ("spec.traffic.paths", {"docs": "/a/../b"}, "spec.traffic.paths.docs", "must match"),
    ("spec.traffic.paths", {"docs": "/a%20b"}, "spec.traffic.paths.docs", "must match"),
    ("spec.traffic.paths", {"score": "/score"}, "spec.traffic.paths.score", "is not a field of this"),
    ("spec.traffic.paths", {"health": "/v2/health"}, "spec.traffic.paths.health", "is a path of the protocols"),
    ("spec.traffic.paths", {"info": "/api/v1/models/x"}, "spec.traffic.paths.info", "is a path of the protocols"),
    ("spec.traffic.paths", {"info": "/a", "docs": "/b", "openapi": "/a"}, "spec.traffic.paths", "names /a 2 times"),
    ("spec.model.outputs", [{"name": "a"}, {"name": "a"}], "spec.model.outputs", "names a 2 times"),
    ("spec.model.outputs", [{"name": "model_version"}], "spec.model.outputs[0].name", "says in every answer which"),
    ("spec.model.outputs", [{"name": "a", "labels": ["x"], "datatype": "INT64"}], "spec.model.outputs[0].datatype",
     "labels are text"),
    ("spec.model.outputs", [{"name": "a", "datatype": "int"}], "spec.model.outputs[0].datatype", "'BOOL'"),
    ("spec.serving.multiModel", {"memory": "1000Ki"}, "spec.serving.multiModel.memory", "models need 1Mi at least"),
    ("spec.serving.multiModel", {"maxLoaded": -1}, "spec.serving.multiModel.maxLoaded", "greater than or equal to 0"),
    ("spec.traffic.limits.maxBodyBytes", "2Gi", "spec.traffic.limits.maxBodyBytes", "1 to 1Gi"),
    ("spec.traffic.limits.maxBodyBytes", "100m", "spec.traffic.limits.maxBodyBytes", "1 to 1Gi"),
    (f"{STEPS}.1", {"setReplicas": 0}, f"{STEPS}[1].setReplicas", "greater than or equal to 1"),
    (f"{STEPS}.1", {"setReplicas": 3}, f"{STEPS}[1].setReplicas", "is 3, more than the stable version's: spec.serving"),
    ("spec.traffic.sticky.cookie", "x", "spec.traffic.sticky", "names exactly one of header, cookie; here are both"),
    ("spec.traffic.sticky", {}, "spec.traffic.sticky", "names exactly one of header, cookie; here is none"),
    ("spec.traffic.sticky.ttl", "30d", "spec.traffic.sticky.ttl", "with header it means nothing"),
    ("spec.traffic.sticky", {"cookie": "a", "ttl": "0s"}, "spec.traffic.sticky.ttl", "greater than 0"),
    ("spec.traffic.sticky", {"cookie": "a", "ttl": "5ms"}, "spec.traffic.sticky.ttl", "cookies last whole seconds"),
    ("spec.traffic.sticky", {"header": "x_user"}, "spec.traffic.sticky.header", "must match"),
    ("spec.traffic.sticky", {"header": "Tidegate-Key"}, "spec.traffic.sticky.header", "may not begin with tidegate-"),
    ("spec.traffic.sticky", {"cookie": "a b"}, "spec.traffic.sticky.cookie", "must match"),
    ("spec.traffic.sticky", {"cookie": "__Host-a"}, "spec.traffic.sticky.cookie", "may not begin with __Host- or __"),
    (MATCH, [{"header": "tidegate-share"}], f"{MATCH}[0].header", "may not begin with tidegate-"),
    (MATCH, [{"allOf": [{"header": "tidegate-key"}]}], f"{MATCH}[0].allOf[0].header", "may not begin with tidegate-"),
    (MATCH, [HEADER | {"in": ["a" * 8000] * 3}], f"{MATCH}[0].in", "is more than 16384 bytes in all"),
    (MATCH, [{}], f"{MATCH}[0]", "names exactly one of header, feature; here is none"),
    (MATCH, [HEADER | {"feature": "a"}], f"{MATCH}[0]", "here are both"),
    (MATCH, [{"header": "a b"}], f"{MATCH}[0].header", "must match"),
    (MATCH, [{"feature": "a..b"}], f"{MATCH}[0].feature", "must match"),
    (MATCH, [HEADER | {"in": []}], f"{MATCH}[0].in", "at least 1 item"),
    (MATCH, [HEADER | {"exact": [1]}], f"{MATCH}[0].exact", "must be text, a number, true or false, it is [1]"),
    (MATCH, [HEADER | {"exact": 5}], f"{MATCH}[0].exact", "must be text, as a header's value is: put it in quotes"),
    (MATCH, [HEADER | {"in": ["a", True]}], f"{MATCH}[0].in[1]", "must be text, as a header's value is"),
    (MATCH, [HEADER | {"exact": "a", "prefix": "b"}], f"{MATCH}[0]", "(min, below); here are exact and prefix"),
    (MATCH, [HEADER | {"min": 1}], f"{MATCH}[0].min", "is for features: a header is text; write exact, in or prefix"),
    (MATCH, [HEADER | {"below": 1}], f"{MATCH}[0].below", "is for features: a header is text"),
    (MATCH, [{"feature": "a", "min": 1, "prefix": "b"}], f"{MATCH}[0]", "here are prefix and a range"),
    (MATCH, [{"feature": "a", "min": 2, "below": 2}], f"{MATCH}[0].below", "is 2, but min is 2: no number lies in"),
    (MATCH, [HEADER | {"allOf": [HEADER]}], f"{MATCH}[0]", "has allOf and beside it header: make that a condition of"),
    (MATCH, [{"exact": "a", "allOf": [HEADER]}], f"{MATCH}[0]", "has allOf and beside it exact: make that a conditio"),
    (MATCH, [{"allOf": [HEADER, {}]}], f"{MATCH}[0].allOf[1]", "names exactly one of header, feature; here is none"),
    (MATCH, [{"allOf": [{"allOf": [HEADER]}]}], f"{MATCH}[0].allOf[0].allOf", "is not a field of this release"),
    ("status", {"phase": "Unheard"}, "status", "was not written by Tidegate"),
    ("spec.model.uri", {1, 2}, "spec", "JSON does not know"),
]  # fmt: skip
"""A field, what it is changed to, the field that is complained about, and a part of the reason."""


REWARD: Final = {"metric": "feedback-reward"}
VARIANTS: Final[list[dict[str, Any]]] = [
    {"name": "b", "model": {"uri": "file:///models/b.joblib", "runtime": "sklearn"}},
    {"name": "c", "model": {"uri": "file:///models/c.joblib", "runtime": "sklearn"}},
]
ALONE: Final = {"name": "b", "model": {"uri": "file:///models/iris.joblib", "runtime": "sklearn"}}
"""A variant with the model of `spec.model`."""
THIRDS: Final = {"control": 33.34, "b": 33.33, "c": 33.33}
PREVIEW: Final = {"previewMatch": [{"header": "x-preview", "exact": "1"}]}
GOOD: Final[dict[str, dict[str, object]]] = {
    "model-s3": {"spec.model.uri": "s3://models/iris/2/model.joblib"},
    "model-https": {"spec.model.uri": "https://models.example.org:8443/iris%20flowers/2.onnx"},
    "model-pvc": {"spec.model.uri": "pvc://team-a.models/iris/..2/"},
    "model-abfs": {"spec.model.uri": "abfs://models@account1.dfs.core.windows.net/iris"},
    "model-version": {"spec.model.uri": "models:/main.ml.iris/12"},
    "model-alias": {"spec.model.uri": "models:/iris@champion", "spec.model.sha256": "0" * 64},
    "canary-match": {
        "spec.strategy.canary.steps": [{"setReplicas": 1}, {"analysis": {}}, {"setWeight": 5}, {"setReplicas": 2}],
        MATCH: [
            HEADER,
            HEADER | {"exact": "1"},
            {"header": "x-region", "in": ["eu", "us"]},
            {"feature": "customer.age", "min": 18, "below": 25.5},
            {"allOf": [{"feature": "country", "exact": "NL"}, {"feature": "vip", "exact": True}, {"feature": "size"}]},
            {"feature": "codes", "in": [1, 2.5, "x", False]},
        ],
    },
    "autoscaling": {
        "spec.serving": {
            "autoscaling": {
                "minReplicas": 2,
                "maxReplicas": 8,
                "targetOngoingRequests": 4,
                "upscaleDelay": "0s",
                "downscaleDelay": "5m",
            }
        }
    },
    "autoscaling-fixed": {"spec.serving": {"replicas": 1, "autoscaling": {"maxReplicas": 1}}},
    "canary-cookie": {"spec.traffic.sticky": {"cookie": "tidegate", "ttl": "1h"}},
    "blue-green": {"spec.strategy": {"blueGreen": {}}},
    "blue-green-preview": {
        "spec.strategy": {
            "blueGreen": PREVIEW
            | {"prePromotionAnalysis": {"minSamples": 200}, "postPromotionAnalysis": {"maxDuration": "5m"}}
        }
    },
    "blue-green-by-hand": {"spec.strategy": {"blueGreen": PREVIEW | {"autoPromote": False}}, CHECKS: []},
    "shadow": {"spec.strategy": {"shadow": {"percent": 12.5}}, CHECKS: []},
    "checks-on-predictions": {
        CHECKS: [
            AGREEMENT | {"tolerance": 0.001, "minSamples": 1000},
            ACCURACY,
            {"name": "reward", "metric": "feedback-reward", "min": -0.5, "dryRun": True},
            {"name": "error", "metric": "feedback-error", "versus": "stable", "margin": 2},
            {"name": "features", "metric": "feature-drift", "max": 0.2, "confidence": 0.99},
            {"name": "predictions", "metric": "prediction-drift", "max": 0.25},
            LATENCY | {"margin": "20ms"},
            {"name": "p", "prometheus": {"query": 'up{job="{{model}}"}'}, "min": 0.5, "max": 2, "failureLimit": 3},
            {"name": "w", "web": WEB, "max": 7},
        ]
    },
    "shadow-promote": {
        "spec.strategy": {"shadow": {"minSamples": 5000, "maxDuration": "24h", "then": "promote", "maxConcurrency": 8}}
    },
    "ab-test": {"spec.strategy": {"abTest": {"weight": 12.5, "goal": REWARD | {"direction": "decrease"}}}},
    "ab-test-variants": {
        "spec.strategy": {
            "abTest": {
                "shares": THIRDS,
                "goal": {"metric": "latency-within", "within": "50ms"},
                "confidence": 0.99,
                "maxDuration": "14d",
                "onWinner": "promote",
            }
        },
        "spec.variants": VARIANTS,
    },
    "bandit": {"spec.strategy": {"bandit": {"reward": "success-rate", "explorationFloor": 50}}},
    "bandit-variants": {
        "spec.strategy": {
            "bandit": {"reward": "latency-within", "within": "1s", "explorationFloor": 33.33, "promoteAt": 0.99}
        },
        "spec.variants": VARIANTS,
    },
}
"""What the manifest is changed to, by the name of a strategy: all of them make sense."""

_AB, _BANDIT, _BLUE, _SHADOW = (f"spec.strategy.{name}" for name in ("abTest", "bandit", "blueGreen", "shadow"))
_NO_CHECKS: Final = "spec.analysis.checks is empty"
_WAITS: Final = "would wait forever: here"
BAD_STEPS: Final[list[tuple[dict[str, object], str, str]]] = [
    ({CHECKS: [ACCURACY], STEPS: [{"setShadow": 9}, {"analysis": {}}, {"setWeight": 9}]},
     f"{STEPS}[1].analysis", f"{_WAITS} only copies of requests reach the candidate, and no check is judged by these"),
    ({CHECKS: [AGREEMENT], STEPS: [{"setShadow": 9}, {"setWeight": 9}, {"setShadow": 0}, {"analysis": {}}]},
     f"{STEPS}[3].analysis", f"{_WAITS} only live requests reach the candidate, and no check is judged by these"),
]  # fmt: skip
"""As `BAD_STRATEGIES`, but CEL knows no step's place: only the operator refuses them."""
BAD_STRATEGIES: Final[list[tuple[dict[str, object], str, str]]] = [
    ({"spec.strategy": {"abTest": {"goal": REWARD}, "bandit": {"reward": "success-rate"}}},
     "spec.strategy", "names exactly one of canary, blueGreen, shadow, abTest, bandit; here are abTest and bandit"),
    ({"spec.serving": {"replicas": 2, "multiModel": {}}, "spec.traffic.paths": {"predict": "/predict"}},
     "spec.traffic.paths", "are for one model, and with spec.serving.multiModel there are many: leave them out"),
    # canary
    ({f"{STEPS}.0": {"setReplicas": 3}},
     f"{STEPS}[0].setReplicas", "is 3, more than the stable version's: spec.serving.replicas is 2"),
    ({f"{STEPS}.0": {"setReplicas": 1}, "spec.serving": {"autoscaling": {"maxReplicas": 4}}},
     f"{STEPS}[0].setReplicas", "is for a fixed number: with spec.serving.autoscaling the size follows the requests"),
    ({f"{STEPS}.3": {"analysis": {}}, CHECKS: []}, f"{STEPS}[3].analysis", f"has nothing to wait for: {_NO_CHECKS}"),
    ({CHECKS: [ERROR_RATE | {"max": 0.1, "dryRun": True}], f"{STEPS}.3": {"analysis": {}}},
     f"{STEPS}[3].analysis", "has nothing to wait for: spec.analysis.checks has dry runs only"),
    ({CHECKS: [AGREEMENT], STEPS: [{"setWeight": 5}]},
     f"{CHECKS}[0]", "shadow-agreement would never be judged: no step copies requests to the candidate; "
     "write a setShadow step"),
    ({CHECKS: [AGREEMENT], "spec.strategy": {"blueGreen": {}}},
     f"{CHECKS}[0]", "shadow-agreement would never be judged: no step copies requests to the candidate; "
     "write a setShadow step"),
    ({CHECKS: [ACCURACY], STEPS: [{"setShadow": 5}]},
     f"{CHECKS}[0]", "feedback-accuracy would never be judged: before its promotion no user gets an answer of the "
     "candidate"),
    ({CHECKS: [ACCURACY], "spec.strategy": {"shadow": {}}},
     f"{CHECKS}[0]", "feedback-accuracy would never be judged: before its promotion no user gets an answer of the "
     "candidate"),
    ({CHECKS: [{"name": "p", "prometheus": {"query": "up"}, "min": 1}], "spec.variants": VARIANTS,
      "spec.strategy": {"bandit": {"reward": "success-rate"}}},
     f"{CHECKS}[0]", "prometheus is not judged beside variants, which the goal compares: write error-rate or latency"),
    # match
    ({"spec.strategy": None, MATCH: [HEADER]},
     MATCH, "is for canary: without a strategy a new version takes over at once; leave it out"),
    ({"spec.strategy": {"blueGreen": {}}, MATCH: [HEADER]},
     MATCH, "is for canary; write spec.strategy.blueGreen.previewMatch"),
    ({"spec.strategy": {"shadow": {}}, MATCH: [HEADER]},
     MATCH, "is for canary: with shadow no user may reach the candidate; leave it out"),
    ({"spec.strategy": {"abTest": {"goal": REWARD}}, MATCH: [HEADER]},
     MATCH, "is for canary: in an abTest it would bias the comparison, since the requests it selects are no chance "
     "sample: leave it out"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate"}}, MATCH: [HEADER]},
     MATCH, "is for canary: with a bandit it would bias the comparison, since the requests it selects are no chance "
     "sample: leave it out"),
    # blueGreen
    ({"spec.strategy": {"blueGreen": PREVIEW | {"prePromotionAnalysis": {}}}, CHECKS: []},
     f"{_BLUE}.prePromotionAnalysis", f"has nothing to wait for: {_NO_CHECKS}"),
    ({"spec.strategy": {"blueGreen": {"postPromotionAnalysis": {}}}, CHECKS: []},
     f"{_BLUE}.postPromotionAnalysis", f"has nothing to watch: {_NO_CHECKS}"),
    ({"spec.strategy": {"blueGreen": {"prePromotionAnalysis": {}}}},
     f"{_BLUE}.prePromotionAnalysis",
     "would wait forever: the candidate gets no requests before the switch; write previewMatch"),
    ({"spec.strategy": {"blueGreen": PREVIEW}},
     f"{_BLUE}.previewMatch",
     "would last no time, since the switch follows at once: write prePromotionAnalysis, or autoPromote: false"),
    ({"spec.strategy": {"blueGreen": {"previewMatch": [{"header": "a", "below": 1}], "autoPromote": False}}},
     f"{_BLUE}.previewMatch[0].below", "is for features: a header is text; write exact, in or prefix"),
    # shadow
    ({"spec.strategy": {"shadow": {"percent": 0}}}, f"{_SHADOW}.percent", "is 0: input should be greater than 0"),
    ({"spec.strategy": {"shadow": {"then": "promote"}}, CHECKS: []},
     f"{_SHADOW}.then", f"has nothing to decide by: {_NO_CHECKS}; write checks, or then: hold"),
    ({"spec.strategy": {"shadow": {"maxDuration": "1h"}}, CHECKS: []},
     f"{_SHADOW}.maxDuration", f"means nothing without checks: {_NO_CHECKS}"),
    ({"spec.strategy": {"shadow": {"minSamples": 1}}, CHECKS: []},
     f"{_SHADOW}.minSamples", f"means nothing without checks: {_NO_CHECKS}"),
    # variants
    ({"spec.variants": VARIANTS}, "spec.variants", "are for abTest and bandit; with canary nothing would run them"),
    ({"spec.strategy": None, "spec.variants": VARIANTS},
     "spec.variants", "are for abTest and bandit; with no strategy nothing would run them"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate"}}, "spec.variants": [VARIANTS[0], VARIANTS[0]]},
     "spec.variants", "names b 2 times"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate"}}, "spec.variants": [VARIANTS[0] | {"name": "control"}]},
     "spec.variants[0].name", "is control, which is what a version of every experiment is called: choose another"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate"}}, "spec.variants": [VARIANTS[0] | {"name": "candidate"}]},
     "spec.variants[0].name", "is candidate, which is what a version of every experiment is called: choose another"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate"}}, "spec.variants": [ALONE]},
     "spec.variants[0].model", "is the same version as spec.model: there is nothing to compare"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate"}},
      "spec.variants": [VARIANTS[0], VARIANTS[0] | {"name": "d"}]},
     "spec.variants[1].model", "is the same version as that of b: there is nothing to compare"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate"}},
      "spec.variants": [{"name": "b", "model": VARIANTS[0]["model"] | {"inputs": [{"name": "x"}, {"name": "x"}]}}]},
     "spec.variants[0].model.inputs", "names x 2 times"),
    # abTest
    ({"spec.strategy": {"abTest": {"goal": REWARD, "weight": 0}}},
     f"{_AB}.weight", "is 0: input should be greater than 0"),
    ({"spec.strategy": {"abTest": {"goal": REWARD, "weight": 100}}},
     f"{_AB}.weight", "is 100: input should be less than 100"),
    ({"spec.strategy": {"abTest": {"goal": REWARD, "weight": 50, "shares": THIRDS}}, "spec.variants": VARIANTS},
     f"{_AB}.weight", "is for a test without variants; write shares: {control: 34, b: 33, c: 33}"),
    ({"spec.strategy": {"abTest": {"goal": REWARD, "shares": {"control": 100}}}},
     f"{_AB}.shares", "are for spec.variants; without them write weight, the candidate's percent"),
    ({"spec.strategy": {"abTest": {"goal": REWARD}}, "spec.variants": VARIANTS},
     f"{_AB}.shares", "is required with variants: everybody's percent, as in shares: {control: 34, b: 33, c: 33}"),
    ({"spec.strategy": {"abTest": {"goal": REWARD, "shares": {"control": 50, "b": 25, "d": 25}}},
      "spec.variants": VARIANTS},
     f"{_AB}.shares",
     "leaves out c; names d, which spec.variants does not: as in shares: {control: 34, b: 33, c: 33}"),
    ({"spec.strategy": {"abTest": {"goal": REWARD, "shares": {"control": 50, "b": 25, "c": 25.01}}},
      "spec.variants": VARIANTS},
     f"{_AB}.shares", "is 100.01 in all; 100 is needed"),
    ({"spec.strategy": {"abTest": {"goal": REWARD, "shares": {"control": 50, "b": 50, "c": 0}}},
      "spec.variants": VARIANTS},
     f"{_AB}.shares.c", "is 0: a version without requests cannot be compared"),
    ({"spec.strategy": {"abTest": {"goal": REWARD, "shares": {"control": 50, "b": 25.001, "c": 24.999}}},
      "spec.variants": VARIANTS},
     f"{_AB}.shares.b", "25.001 has more than two decimals: traffic is divided in hundredths of a percent"),
    ({"spec.strategy": {"abTest": {"goal": REWARD, "shares": {"control": 50, "B": 50}}},
      "spec.variants": VARIANTS},
     f"{_AB}.shares.B", 'is "B", it must match ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
    ({"spec.strategy": {"abTest": {"goal": {"metric": "latency-within"}}}},
     f"{_AB}.goal.within", "is required with latency-within: how long is soon enough, such as 50ms"),
    ({"spec.strategy": {"abTest": {"goal": REWARD | {"within": "50ms"}}}},
     f"{_AB}.goal.within", "is for latency-within; with feedback-reward it means nothing"),
    ({"spec.strategy": {"abTest": {"goal": {"metric": "latency-within", "within": "0s"}}}},
     f"{_AB}.goal.within", 'is "0s": input should be greater than 0'),
    *(
        ({"spec.strategy": {"abTest": {"goal": {"metric": metric, "direction": "decrease"}}}},
         f"{_AB}.goal.direction", f"is decrease, but more {metric} is better: write increase")
        for metric in ("success-rate", "feedback-accuracy")
    ),
    ({"spec.strategy": {"abTest": {"goal": REWARD, "maxDuration": "0s"}}},
     f"{_AB}.maxDuration", 'is "0s": input should be greater than 0'),
    # bandit
    ({"spec.strategy": {"bandit": {"reward": "latency-within"}}},
     f"{_BANDIT}.within", "is required with latency-within: how long is soon enough, such as 50ms"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate", "within": "50ms"}}},
     f"{_BANDIT}.within", "is for latency-within; with success-rate it means nothing"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate", "interval": "0s"}}},
     f"{_BANDIT}.interval", "is 0.0: input should be greater than 0"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate", "promoteAt": 0.5}}},
     f"{_BANDIT}.promoteAt", "is 0.5: input should be greater than 0.5"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate", "promoteAt": 1}}},
     f"{_BANDIT}.promoteAt", "is 1: input should be less than 1"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate", "explorationFloor": 60}}},
     f"{_BANDIT}.explorationFloor",
     "is 60 for each of 2 versions, more than 100 in all: at most 50 is possible"),
    ({"spec.strategy": {"bandit": {"reward": "success-rate", "explorationFloor": 33.34}}, "spec.variants": VARIANTS},
     f"{_BANDIT}.explorationFloor",
     "is 33.34 for each of 3 versions, more than 100 in all: at most 33.33 is possible"),
]  # fmt: skip
"""What the manifest is changed to, the field that is complained about, and the whole reason."""


def with_fields(changes: Mapping[str, object]) -> dict[str, Any]:
    """The manifest with these fields changed; paths in dots, list entries by their index."""
    document = deepcopy(MANIFEST)
    for path, value in changes.items():
        *parents, last = path.split(".")
        block: Any = document
        for part in parents:
            block = block[int(part)] if part.isdigit() else block.setdefault(part, {})
        if isinstance(block, list):
            block[int(last)] = value
        else:
            block[last] = value
    return document


def with_field(path: str, value: object) -> dict[str, Any]:
    """The manifest with one field changed."""
    return with_fields({path: value})
