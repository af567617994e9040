"""The topics: their names, what keys them, and what each carries. One place, so that no name is spelt twice."""

from dataclasses import dataclass

DEAD_SUFFIX = ".dead"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic's name, the field that keys its records, and what it carries."""

    name: str
    key: str
    carries: str

    @property
    def dead(self) -> str:
        """The topic for records of this one that could not go on."""
        return self.name + DEAD_SUFFIX


NEWS_RAW = Topic("news.raw", "any", "news items as they arrive, JSON")
SOCIAL_RAW = Topic("social.raw", "any", "social posts as they arrive, JSON")
TRANSACTIONS_RAW = Topic("transactions.raw", "any", "payments as they arrive, JSON")
LABELS_RAW = Topic("labels.raw", "any", "what investigations found about payments, JSON")
TRANSACTIONS_BY_ID = Topic(
    "transactions.by_id", "transaction id", "labels, and which customer and terminal a payment belongs to; parcels"
)
TRANSACTIONS_BY_CUSTOMER = Topic(
    "transactions.by_customer", "customer_id", "payments and labels, to meet the customer's history; parcels"
)
TRANSACTIONS_BY_TERMINAL = Topic(
    "transactions.by_terminal", "terminal_id", "payments with the customer's history, and labels; parcels"
)
TEXT_SCORED = Topic("text.scored", "id", "scored news and posts, JSON")
TRANSACTIONS_SCORED = Topic("transactions.scored", "id", "scored payments, JSON")
ALERTS_MATCHES = Topic("alerts.matches", "rule and group", "events that a rule let through, and watermarks")
ALERTS_TRANSITIONS = Topic("alerts.transitions", "alert id", "alerts opening and closing, JSON")

RAW: dict[str, Topic] = {
    "news": NEWS_RAW,
    "social": SOCIAL_RAW,
    "transactions": TRANSACTIONS_RAW,
    "labels": LABELS_RAW,
}
SCORED = (TEXT_SCORED, TRANSACTIONS_SCORED)
ALL = (
    *RAW.values(),
    TRANSACTIONS_BY_ID,
    TRANSACTIONS_BY_CUSTOMER,
    TRANSACTIONS_BY_TERMINAL,
    *SCORED,
    ALERTS_MATCHES,
    ALERTS_TRANSITIONS,
)
