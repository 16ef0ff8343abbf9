"""Load, check and compile the operator's configuration; the rest of the router sees only what is named here."""

from router.config.compiling import compile_snapshot
from router.config.first_start import is_loopback
from router.config.loading import Loaded, load
from router.config.pending import notices
from router.config.problems import ConfigInvalid, Problem
from router.config.reference import json_schema, render_page
from router.config.reloading import restart_needed
from router.config.schema import Settings
from router.config.sources import Sources
from router.config.starter import starter_yaml

__all__ = [
    "ConfigInvalid",
    "Loaded",
    "Problem",
    "Settings",
    "Sources",
    "compile_snapshot",
    "is_loopback",
    "json_schema",
    "load",
    "notices",
    "render_page",
    "restart_needed",
    "starter_yaml",
]
