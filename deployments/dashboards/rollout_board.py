"""One rollout: the candidate against the stable version."""

from typing import Final

from grafana import Board, Panel, Query, Row, Variable, quantile, rate, ratio

MODEL: Final = 'namespace="$namespace", model="$rollout"'
ROLLOUT: Final = 'namespace="$namespace", name="$rollout"'


def by_role(expr: str) -> str:
    """Series by version, each with what the version is to the rollout."""
    roles = f"max by (version, role) (tidegate_rollout_version_info{{{ROLLOUT}}})"
    return f"{expr} * on (version) group_left (role) {roles}"


ROLLOUT_BOARD: Final = Board(
    "rollout",
    "Tidegate / Rollout",
    [
        Variable("namespace", "tidegate_rollout_phase", "namespace"),
        Variable("rollout", 'tidegate_rollout_phase{namespace="$namespace"}', "name"),
    ],
    [
        Row(
            "Where it stands",
            [
                Panel("Phase", [Query(f"tidegate_rollout_phase{{{ROLLOUT}}} == 1", "{{phase}}")], "none", "stat"),
                Panel("Step", [Query(f"tidegate_rollout_step{{{ROLLOUT}}} + 1")], "none", "stat"),
                Panel(
                    "Time in this step",
                    [Query(f"time() - tidegate_rollout_step_started_timestamp_seconds{{{ROLLOUT}}}")],
                    "s",
                    "stat",
                ),
                Panel(
                    "Waits for a person",
                    [Query(f"tidegate_rollout_awaits_promotion{{{ROLLOUT}}}")],
                    "bool_yes_no",
                    "stat",
                    limit=1,
                ),
            ],
        ),
        Row(
            "Traffic",
            [
                Panel(
                    "What the candidate is meant to get",
                    [
                        Query(f"tidegate_rollout_candidate_weight_percent{{{ROLLOUT}}}", "requests"),
                        Query(f"tidegate_rollout_candidate_shadow_percent{{{ROLLOUT}}}", "copies"),
                    ],
                    "percent",
                ),
                Panel(
                    "Users' requests",
                    [
                        Query(
                            by_role(rate("tidegate_requests_total", f'{MODEL}, mirrored="false"', "version")),
                            "{{role}} {{version}}",
                        )
                    ],
                    "reqps",
                ),
                Panel(
                    "Copies of them",
                    [
                        Query(
                            by_role(rate("tidegate_requests_total", f'{MODEL}, mirrored="true"', "version")),
                            "{{role}} {{version}}",
                        )
                    ],
                    "reqps",
                ),
            ],
        ),
        Row(
            "Errors and latency, copies included",
            [
                Panel(
                    "Errors",
                    [
                        Query(
                            by_role(f"({ratio('tidegate_errors_total', 'tidegate_requests_total', MODEL, 'version')})"),
                            "{{role}} {{version}}",
                        )
                    ],
                    "percentunit",
                ),
                *(
                    Panel(
                        f"{name} of the time",
                        [
                            Query(
                                by_role(quantile(q, "tidegate_request_duration_seconds", MODEL, "version")),
                                "{{role}} {{version}}",
                            )
                        ],
                        "s",
                    )
                    for q, name in ((0.5, "Median"), (0.95, "95th percentile"))
                ),
            ],
        ),
        Row(
            "Answers",
            [
                Panel(
                    "Agreement of candidate and stable version",
                    [Query(f"model_shadow_agreement{{{MODEL}}}", "{{version}} with {{stable}}")],
                    "percentunit",
                    about="Of the newest requests that both answered, the candidate a copy.",
                ),
                Panel(
                    "Accuracy",
                    [Query(by_role(f"max by (version) (model_accuracy{{{MODEL}}})"), "{{role}} {{version}}")],
                    "percentunit",
                ),
                Panel(
                    "Reward",
                    [Query(by_role(f"max by (version) (model_reward{{{MODEL}}})"), "{{role}} {{version}}")],
                ),
            ],
        ),
        Row(
            "Checks",
            [
                Panel(
                    "Verdicts",
                    [Query(f"tidegate_check_verdict{{{ROLLOUT}}} == 1")],
                    kind="table",
                    about="A check with gates=false is only shown.",
                ),
                Panel(
                    "Estimates and what they are held against",
                    [
                        Query(f"tidegate_check_value{{{ROLLOUT}}}", "{{check}}"),
                        Query(f"tidegate_check_bound{{{ROLLOUT}}}", "{{check}}: bound"),
                        Query(f"tidegate_check_low{{{ROLLOUT}}}", "{{check}}: low"),
                        Query(f"tidegate_check_high{{{ROLLOUT}}}", "{{check}}: high"),
                    ],
                ),
                Panel("What they rest on", [Query(f"tidegate_check_samples{{{ROLLOUT}}}", "{{check}}")]),
                Panel(
                    "Verdicts reached",
                    [
                        Query(
                            f"sum by (check, verdict) (increase(tidegate_check_verdicts_total{{{ROLLOUT}}}"
                            "[$__rate_interval]))",
                            "{{check}}: {{verdict}}",
                        )
                    ],
                ),
            ],
        ),
    ],
)
