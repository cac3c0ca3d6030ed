"""All models: rollouts, traffic, errors, latency."""

from typing import Final

from grafana import Board, Panel, Query, Row, Variable, quantile, rate, ratio

NAMESPACES: Final = 'namespace=~"$namespace"'
LIVE: Final = f'{NAMESPACES}, mirrored="false"'

FLEET_BOARD: Final = Board(
    "fleet",
    "Tidegate / Fleet",
    [Variable("namespace", "tidegate_requests_total", "namespace", many=True)],
    [
        Row(
            "Now",
            [
                Panel(
                    "Rollouts by phase",
                    [Query(f"count by (phase) (tidegate_rollout_phase{{{NAMESPACES}}} == 1)", "{{phase}}")],
                    kind="stat",
                ),
                Panel("Requests", [Query(rate("tidegate_requests_total", LIVE))], "reqps", "stat"),
                Panel(
                    "Errors",
                    [Query(ratio("tidegate_errors_total", "tidegate_requests_total", LIVE))],
                    "percentunit",
                    "stat",
                    limit=0.01,
                ),
                Panel(
                    "95th percentile of the time",
                    [Query(quantile(0.95, "tidegate_request_duration_seconds", LIVE))],
                    "s",
                    "stat",
                ),
            ],
        ),
        Row(
            "Rollouts",
            [
                Panel(
                    "Phase of every rollout",
                    [Query(f"tidegate_rollout_phase{{{NAMESPACES}}} == 1")],
                    kind="table",
                ),
                Panel(
                    "Candidates' share of the requests",
                    [Query(f"tidegate_rollout_candidate_weight_percent{{{NAMESPACES}}}", "{{namespace}}/{{name}}")],
                    "percent",
                ),
            ],
        ),
        Row(
            "Traffic",
            [
                Panel(
                    "Requests",
                    [Query(rate("tidegate_requests_total", LIVE, "namespace, model"), "{{namespace}}/{{model}}")],
                    "reqps",
                ),
                Panel(
                    "Errors",
                    [
                        Query(
                            ratio("tidegate_errors_total", "tidegate_requests_total", LIVE, "namespace, model"),
                            "{{namespace}}/{{model}}",
                        )
                    ],
                    "percentunit",
                ),
            ],
        ),
        Row(
            "Latency",
            [
                Panel(
                    f"{name} of the time",
                    [
                        Query(
                            quantile(q, "tidegate_request_duration_seconds", LIVE, "namespace, model"),
                            "{{namespace}}/{{model}}",
                        )
                    ],
                    "s",
                )
                for q, name in ((0.5, "Median"), (0.95, "95th percentile"), (0.99, "99th percentile"))
            ],
        ),
        Row(
            "Answers",
            [
                Panel(
                    "Accuracy",
                    [Query(f"model_accuracy{{{NAMESPACES}}}", "{{namespace}}/{{model}} {{version}}")],
                    "percentunit",
                    about="Share of the newest labels that a version's answers agree with.",
                ),
                Panel(
                    "Farthest feature",
                    [
                        Query(
                            f"max by (namespace, model, version) (model_feature_drift_psi{{{NAMESPACES}}})",
                            "{{namespace}}/{{model}} {{version}}",
                        )
                    ],
                    limit=0.2,
                    about="The largest population stability index of a version's features.",
                ),
            ],
        ),
    ],
)
