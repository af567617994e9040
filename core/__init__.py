"""The vocabulary that every other package shares: records, topics, codec, settings, clock, ids, errors, metrics, log."""
