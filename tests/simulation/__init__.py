"""A deterministic simulation: one seed is one run of the router against a provider that keeps its own invoice."""
