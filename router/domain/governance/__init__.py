"""Decide what a caller may spend."""
