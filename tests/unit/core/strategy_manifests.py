"""Manifests that make sense, for every strategy, and what several fields together can get wrong."""

from typing import Any, Final

from tests.unit.core.manifest_parts import ACCURACY, AGREEMENT, CHECKS, ERROR_RATE, HEADER, LATENCY, MATCH, STEPS, WEB

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
