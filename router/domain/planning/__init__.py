"""Decide which deployments may serve a call, in which order."""
