"""Tidegate itself: operator, routers, monitor."""

from typing import Final

from grafana import Board, Panel, Query, Row, quantile, rate

PLATFORM_BOARD: Final = Board(
    "platform",
    "Tidegate / Platform",
    rows=[
        Row(
            "Operator",
            [
                Panel("Processes that lead", [Query("sum(tidegate_operator_leader)")], kind="stat"),
                Panel("Rollouts that wait for a decision", [Query("max(tidegate_operator_queue_depth)")]),
                Panel(
                    "Time of a decision, 95th percentile",
                    [Query(quantile(0.95, "tidegate_operator_reconcile_seconds"))],
                    "s",
                ),
                Panel("Decisions that failed", [Query(rate("tidegate_operator_reconcile_failures_total"))], "ops"),
            ],
        ),
        Row(
            "Routers and Envoy",
            [
                Panel("Envoys that answer", [Query("sum(tidegate_router_envoy_up)")], kind="stat"),
                Panel("Routes", [Query("max by (state) (tidegate_router_routes)", "{{state}}")]),
                Panel(
                    "Envoys' answers to configuration",
                    [Query(rate("tidegate_router_answers_total", by="type, answer"), "{{type}} {{answer}}")],
                    "ops",
                ),
            ],
        ),
        Row(
            "Monitor: what comes in",
            [
                Panel(
                    "Stored",
                    [
                        Query(rate("tidegate_monitor_records_total"), "records"),
                        Query(rate("tidegate_monitor_feedback_total"), "feedback"),
                        Query(rate("tidegate_monitor_pairs_total"), "pairs"),
                        Query(rate("tidegate_monitor_joined_feedback_total"), "feedback that had waited"),
                    ],
                    "ops",
                ),
                Panel(
                    "Lost, or not as expected",
                    [
                        Query(rate("tidegate_monitor_sender_dropped_records_total"), "dropped by replicas"),
                        Query(rate("tidegate_monitor_repeated_batches_total"), "batches sent again"),
                        Query(rate("tidegate_monitor_unknown_feedback_total"), "feedback without a record"),
                        Query(rate("tidegate_monitor_feedback_conflicts_total"), "conflicts"),
                        Query(rate("tidegate_monitor_write_failures_total"), "failed transactions"),
                        Query(rate("tidegate_monitor_spool_refused_entries_total"), "refused from the spool"),
                        Query(rate("tidegate_monitor_unlisted_predictions_total"), "of versions beyond the limit"),
                    ],
                    "ops",
                ),
                Panel("Waiting to be stored", [Query("sum(tidegate_monitor_waiting_entries)")]),
                Panel(
                    "Time of a transaction, 95th percentile",
                    [Query(quantile(0.95, "tidegate_monitor_write_seconds"))],
                    "s",
                ),
            ],
        ),
        Row(
            "Monitor: spool, retention, analyst",
            [
                Panel("Spool", [Query("sum(tidegate_monitor_spool_bytes)", "bytes")], "bytes"),
                Panel(
                    "Spool entries",
                    [
                        Query("sum(tidegate_monitor_spool_entries)", "waiting"),
                        Query(rate("tidegate_monitor_spool_replayed_entries_total"), "stored per second"),
                    ],
                ),
                Panel("Rows deleted for their age", [Query(rate("tidegate_monitor_deleted_rows_total"))], "ops"),
                Panel(
                    "Analyst",
                    [
                        Query(quantile(0.95, "tidegate_analyst_look_seconds"), "seconds of a look, 95th percentile"),
                        Query("sum(tidegate_analyst_waiting_models)", "models that wait"),
                        Query(rate("tidegate_analyst_failures_total"), "failures per second"),
                        Query("sum(tidegate_analyst_unlisted_columns)", "columns beyond the limit"),
                    ],
                ),
            ],
        ),
        Row(
            "What leaves the monitor",
            [
                Panel(
                    "Findings in an hour",
                    [Query("sum by (kind) (increase(tidegate_analyst_findings_total[1h]))", "{{kind}}")],
                ),
                Panel(
                    "Notifications",
                    [
                        Query(rate("tidegate_notifications_sent_total", by="channel"), "{{channel}}: sent"),
                        Query(rate("tidegate_notifications_failed_total", by="channel"), "{{channel}}: failed"),
                        Query(rate("tidegate_notifications_given_up_total", by="channel"), "{{channel}}: given up"),
                    ],
                    "ops",
                ),
                Panel(
                    "CloudEvents",
                    [
                        Query(rate("tidegate_cloudevents_forwarded_records_total"), "records sent per second"),
                        Query(rate("tidegate_cloudevents_failures_total"), "failures per second"),
                        Query("max(tidegate_cloudevents_lag_records)", "records that wait"),
                    ],
                ),
            ],
        ),
        Row(
            "Processes",
            [
                Panel(
                    "Processor",
                    [
                        Query(
                            'sum by (pod, container) (rate(process_cpu_seconds_total{pod=~".+"}[$__rate_interval]))',
                            "{{pod}} {{container}}",
                        )
                    ],
                ),
                Panel(
                    "Memory",
                    [
                        Query(
                            'sum by (pod, container) (process_resident_memory_bytes{pod=~".+"})',
                            "{{pod}} {{container}}",
                        )
                    ],
                    "bytes",
                ),
            ],
        ),
    ],
)
