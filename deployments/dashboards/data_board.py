"""What a model is asked and answers: drift, values, quality, feedback."""

from typing import Final

from grafana import Board, Panel, Query, Row, Variable, quantile, rate

VERSIONS: Final = 'namespace="$namespace", model="$model", version=~"$version"'

DATA_BOARD: Final = Board(
    "data",
    "Tidegate / Model data",
    [
        Variable("namespace", "model_predictions_total", "namespace"),
        Variable("model", 'model_predictions_total{namespace="$namespace"}', "model"),
        Variable("version", 'model_predictions_total{namespace="$namespace", model="$model"}', "version", many=True),
        Variable("feature", 'model_feature_values{namespace="$namespace", model="$model"}', "feature", many=True),
    ],
    [
        Row(
            "Drift",
            [
                Panel(
                    "Features: PSI against the reference",
                    [Query(f"model_feature_drift_psi{{{VERSIONS}}}", "{{feature}} ({{version}})")],
                    limit=0.2,
                    about="0.1 is usually called small, 0.2 is what reports allow.",
                ),
                Panel(
                    "Predictions: PSI against the reference",
                    [Query(f"model_prediction_drift_psi{{{VERSIONS}}}", "{{prediction}} ({{version}})")],
                    limit=0.2,
                ),
                Panel(
                    "Drift that has been shown",
                    [
                        Query(f"model_feature_drift_alarm{{{VERSIONS}}} == 1"),
                        Query(f"model_prediction_drift_alarm{{{VERSIONS}}} == 1"),
                    ],
                    kind="table",
                    about="Evidence that may be watched at any time; see docs/statistics.md.",
                ),
            ],
        ),
        Row(
            "Values",
            [
                Panel(
                    "Quantiles of features",
                    [
                        Query(
                            f'model_feature_values{{{VERSIONS}, feature=~"$feature"}}',
                            "{{feature}} {{quantile}} ({{version}})",
                        )
                    ],
                ),
                Panel(
                    "Quantiles of predictions",
                    [Query(f"model_prediction_values{{{VERSIONS}}}", "{{prediction}} {{quantile}} ({{version}})")],
                ),
            ],
        ),
        Row(
            "Quality",
            [
                Panel(
                    "Missing values",
                    [
                        Query(f"model_feature_missing_ratio{{{VERSIONS}}}", "{{feature}} ({{version}})"),
                        Query(f"model_prediction_missing_ratio{{{VERSIONS}}}", "{{prediction}} ({{version}})"),
                    ],
                    "percentunit",
                ),
                Panel(
                    "Rules that the newest records break",
                    [Query(f"model_quality_faults{{{VERSIONS}}}", "{{version}}")],
                    about="`tidegate drift` names them.",
                ),
                Panel("Records in the window", [Query(f"model_recent_records{{{VERSIONS}}}", "{{version}}")]),
            ],
        ),
        Row(
            "Feedback",
            [
                Panel("Accuracy", [Query(f"model_accuracy{{{VERSIONS}}}", "{{version}}")], "percentunit"),
                Panel("Mean absolute error", [Query(f"model_absolute_error{{{VERSIONS}}}", "{{version}}")]),
                Panel("Reward", [Query(f"model_reward{{{VERSIONS}}}", "{{version}}")]),
                Panel(
                    "How late it comes",
                    [Query(f"model_feedback_lag_seconds{{{VERSIONS}}}", "{{quantile}} ({{version}})")],
                    "s",
                ),
            ],
        ),
        Row(
            "What was recorded",
            [
                Panel(
                    "Requests by status",
                    [Query(rate("model_predictions_total", VERSIONS, "version, status"), "{{version}} {{status}}")],
                    "reqps",
                ),
                Panel(
                    "Copies by status",
                    [
                        Query(
                            rate("model_shadow_predictions_total", VERSIONS, "version, status"),
                            "{{version}} {{status}}",
                        )
                    ],
                    "reqps",
                ),
                Panel(
                    "95th percentile of the replica's own time",
                    [Query(quantile(0.95, "model_prediction_latency_seconds", VERSIONS, "version"), "{{version}}")],
                    "s",
                ),
            ],
        ),
    ],
)
