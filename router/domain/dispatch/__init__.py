"""Decide what to do about the attempts of one call."""
