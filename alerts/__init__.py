"""Alerts: rules over scored events, the state of each series, the outbox, and delivery to receivers."""
