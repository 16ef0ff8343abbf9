"""Checkrein: a self-hosted model router for multi-agent workloads."""

from typing import Final

VERSION: Final = "0.1.0"
