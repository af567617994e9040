"""Every metric that Groundswell exports, each with what it counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

RECORDS_DEAD = Counter(
    "groundswell_records_dead_total", "Records sent to a dead-letter topic", ["topic", "stage"], registry=REGISTRY
)
RECORDS_INDEXED = Counter("groundswell_records_indexed_total", "Scored events confirmed by the index", registry=REGISTRY)
INDEX_BUSY = Counter(
    "groundswell_index_busy_total", "Times that Elasticsearch had too much to do and we paused", registry=REGISTRY
)
MATCHES = Counter("groundswell_matches_total", "Events that a rule's filter let through", ["rule"], registry=REGISTRY)
TRANSITIONS = Counter("groundswell_transitions_total", "Alerts that opened or closed", ["rule", "state"], registry=REGISTRY)
DELIVERIES = Counter("groundswell_deliveries_total", "Attempts to deliver a transition", ["outcome"], registry=REGISTRY)
RETRIES = Counter(
    "groundswell_retries_total", "Batches tried again after a failure outside the records", ["stage"], registry=REGISTRY
)
BATCH_SECONDS = Histogram(
    "groundswell_batch_seconds",
    "Seconds to work off one batch",
    ["stage"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
STALLED_SECONDS = Gauge(
    "groundswell_stalled_seconds", "How long input has waited, or settled offsets gone uncommitted, unmoved", registry=REGISTRY
)
