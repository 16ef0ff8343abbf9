"""Providers: one module a way of answering, all of them behind the `Upstream` port."""
