"""What is measured of what leaves the monitor. Channels are named by whoever runs it, and few."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """Counters in the monitor's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sent = Counter(
            "tidegate_notifications_sent", "Messages that a channel took.", ["channel"], registry=registry
        )
        self.failed = Counter(
            "tidegate_notifications_failed", "Messages that a channel did not take.", ["channel"], registry=registry
        )
        self.given_up = Counter(
            "tidegate_notifications_given_up",
            "Events that a channel did not tell of within a day.",
            ["channel"],
            registry=registry,
        )
        self.forwarded = Counter(
            "tidegate_cloudevents_forwarded_records", "Records that the sink has taken.", registry=registry
        )
        self.forward_failures = Counter(
            "tidegate_cloudevents_failures", "Requests that the sink did not take.", registry=registry
        )
        self.refused = Counter(
            "tidegate_cloudevents_refused_records", "Records that the sink finds too large.", registry=registry
        )
        self.unsent = Counter(
            "tidegate_cloudevents_unsent_records",
            "Records that became too old before the sink had taken them.",
            registry=registry,
        )
        self.lag = Gauge(
            "tidegate_cloudevents_lag_records", "Records that the sink has not taken yet.", registry=registry
        )
