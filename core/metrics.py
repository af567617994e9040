"""Every metric that Groundswell exports, each with what it counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

PIPELINE = "groundswell_pipeline"
LAG = "groundswell_lag_messages"
COMMITTED = "groundswell_committed_messages"
UNCOMMITTED = "groundswell_uncommitted_messages"
LEDGER = "groundswell_ledger_records"
CAME = "groundswell_ledger_in_messages"
IN_FLIGHT = "groundswell_ledger_in_flight_messages"
UNCOUNTED = "groundswell_ledger_uncounted_messages"
# Gauges that the web process reads from the broker, the ledger and the store when it is asked for its metrics
GAUGES = {
    PIPELINE: "The pipeline's counters as the web page shows them, by counter",
    LAG: "Messages that a stage has still to work off, by stage and topic",
    COMMITTED: "Messages up to the workers' committed offsets, by topic",
    UNCOMMITTED: "Messages that all stages have worked off beyond the committed offsets, by topic",
    LEDGER: "Records by what became of them (passed, absorbed, dead), by stage, topic and partition, since the ledger's epoch began",
    CAME: "Messages of a partition since the ledger's row began, by stage, topic and partition",
    IN_FLIGHT: "Messages that a stage has still to work off, by stage, topic and partition",
    UNCOUNTED: "Messages worked off less records counted, by stage, topic and partition; of stages whose messages are one record each",
}

RECORDS = Counter(
    "groundswell_records_total", "Records whose outcome a stage has confirmed", ["stage", "outcome"], registry=REGISTRY
)

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
FEED_ITEMS = Counter("groundswell_feed_items_total", "News items that feeds had anew", registry=REGISTRY)
FEED_FAILURES = Counter("groundswell_feed_failures_total", "Polls of a feed that failed", registry=REGISTRY)
DELETED = Counter("groundswell_deleted_total", "What was deleted since it was older than is kept", ["what"], registry=REGISTRY)
STALLED_SECONDS = Gauge(
    "groundswell_stalled_seconds", "How long input has waited, or settled offsets gone uncommitted, unmoved", registry=REGISTRY
)
