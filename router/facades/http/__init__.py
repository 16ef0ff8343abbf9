"""The OpenAI-compatible HTTP façade."""
