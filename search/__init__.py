"""Index and query of scored events: one KQL tree, read by tantivy, by an in-process predicate and by people in plain words."""
