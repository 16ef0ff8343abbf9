"""Webhooks: events are posted to receivers, in the background and again until they arrive or cannot."""
