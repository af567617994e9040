"""Real Kafka, Elasticsearch and PostgreSQL as child processes, without Docker: for live tests, and for one durable machine."""
