"""Load, check and compile the operator's configuration; the rest of the router sees only what is named here."""

from router.config.compiling import compile_snapshot, webhooks_of
from router.config.compiling_limits import compile_bounds, compile_scoped
from router.config.compiling_loaded import compile_loaded, left_out, priced_names
from router.config.compiling_tenants import Tenants, all_budgets, compile_key, compile_tenants, tenants_of
from router.config.first_start import is_loopback
from router.config.loading import Loaded, load
from router.config.pending import notices
from router.config.problems import ConfigInvalid, Problem
from router.config.profiles import with_profile
from router.config.reference import json_schema, render_page
from router.config.reloading import restart_needed
from router.config.schema import Settings
from router.config.schema_budgets import BudgetSettings, ScopedBudgetSettings
from router.config.schema_models import LimitSettings
from router.config.schema_server import GrpcSettings, TlsSettings
from router.config.schema_tenants import KeySettings, OrganizationSettings, TeamSettings, UserSettings
from router.config.sources import Sources
from router.config.starter import starter_yaml

__all__ = [
    "BudgetSettings",
    "ConfigInvalid",
    "GrpcSettings",
    "KeySettings",
    "LimitSettings",
    "Loaded",
    "OrganizationSettings",
    "Problem",
    "ScopedBudgetSettings",
    "Settings",
    "Sources",
    "TeamSettings",
    "Tenants",
    "TlsSettings",
    "UserSettings",
    "all_budgets",
    "compile_bounds",
    "compile_key",
    "compile_loaded",
    "compile_scoped",
    "compile_snapshot",
    "compile_tenants",
    "is_loopback",
    "json_schema",
    "left_out",
    "load",
    "notices",
    "priced_names",
    "render_page",
    "restart_needed",
    "starter_yaml",
    "tenants_of",
    "webhooks_of",
    "with_profile",
]
