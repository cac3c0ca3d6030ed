"""What the monitor measures of itself, for Prometheus, without a label that a client names; and of models' traffic."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from monitor.store.traffic import ModelTraffic

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds in seconds: a transaction waits for the disk, and may have to wait for the database."""


class Metrics:
    """Counters in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.traffic = ModelTraffic()
        registry.register(self.traffic)
        self.records = Counter("tidegate_monitor_records", "Records that were stored.", registry=registry)
        self.repeated = Counter(
            "tidegate_monitor_repeated_batches", "Batches that had been stored before.", registry=registry
        )
        self.dropped = Counter(
            "tidegate_monitor_sender_dropped_records", "Records that replicas could not keep.", registry=registry
        )
        self.feedback = Counter("tidegate_monitor_feedback", "Labels and rewards that were stored.", registry=registry)
        self.unknown = Counter(
            "tidegate_monitor_unknown_feedback",
            "Feedback that came without a record of its request.",
            registry=registry,
        )
        self.joined = Counter(
            "tidegate_monitor_joined_feedback", "Unknown feedback whose record came later.", registry=registry
        )
        self.pairs = Counter(
            "tidegate_monitor_pairs", "Requests that two versions answered, one in the shadow.", registry=registry
        )
        self.conflicts = Counter(
            "tidegate_monitor_feedback_conflicts", "Feedback that contradicted what was known.", registry=registry
        )
        self.deleted = Counter("tidegate_monitor_deleted_rows", "Rows that had become too old.", registry=registry)
        self.seconds = Histogram(
            "tidegate_monitor_write_seconds", "Time of one transaction.", buckets=BUCKETS, registry=registry
        )
        self.failures = Counter(
            "tidegate_monitor_write_failures", "Transactions that the database did not take.", registry=registry
        )
        self.spooled = Gauge(
            "tidegate_monitor_spool_entries",
            "Batches and feedback that were accepted while the database was away and are not stored yet.",
            registry=registry,
        )
        self.spool_bytes = Gauge("tidegate_monitor_spool_bytes", "Size of the spool's files.", registry=registry)
        self.spool_limit = Gauge("tidegate_monitor_spool_limit_bytes", "What they may grow to.", registry=registry)
        self.replayed = Counter(
            "tidegate_monitor_spool_replayed_entries", "Batches and feedback stored from the spool.", registry=registry
        )
        self.refused = Counter(
            "tidegate_monitor_spool_refused_entries",
            "Batches and feedback from the spool that the database did not take, or that contradicted what was known.",
            registry=registry,
        )
        self.waiting = Gauge(
            "tidegate_monitor_waiting_entries", "Records and feedback that wait to be stored.", registry=registry
        )
