"""The `checkrein doctor` command: whether each deployment can serve, and what to do where one cannot."""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from router.cli.admin import complain, print_table, say

if TYPE_CHECKING:
    from router.config import Loaded, Problem
    from router.domain.catalog import Deployment, Provider, Snapshot
    from router.domain.diagnosis import Report
    from router.ports.upstream import Upstream

_EXIT_FAILED: Final = 1
_EXIT_USAGE: Final = 2
_EXIT_INTERRUPTED: Final = 130


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command's parser."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file, above all other layers")
    parser.add_argument("--deployment", metavar="NAME", help="only this one; with each of its credentials")
    parser.add_argument("--offline", action="store_true", help="ask nobody: look at the configuration alone")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    import asyncio

    from router.adapters.prices_litellm import catalogues
    from router.config import ConfigInvalid, Sources, compile_loaded, load
    from router.domain.diagnosis import Level, worst

    try:
        loaded = load(Sources.of_process(os.environ, explicit=options.config), new_admin_key="never-used")
        snapshot = compile_loaded(loaded, revision=1, created_s=0, catalogues=catalogues())
    except ConfigInvalid as exc:
        _print_problems(options, exc.problems)
        return _EXIT_FAILED
    reports = _left_out(loaded)
    wanted = list(_deployments(snapshot))
    if options.deployment is not None:
        names = [*(deployment.id for deployment in wanted), *(report.target for report in reports)]
        wanted = [one for one in wanted if options.deployment in (one.id, one.target)]
        reports = [report for report in reports if report.target == options.deployment]
        if not (wanted or reports):
            complain(f"--deployment: {options.deployment!r} is none of {', '.join(dict.fromkeys(names)) or 'none'}")
            return _EXIT_USAGE
    try:
        reports = asyncio.run(_examine(snapshot, wanted, offline=options.offline)) + reports
    except KeyboardInterrupt:
        complain("interrupted: nothing is known yet")
        return _EXIT_INTERRUPTED
    good = worst(report.level for report in reports) is not Level.FAIL
    if options.json:
        data = {"ok": good, "problems": [], "deployments": [_as_json(report) for report in reports]}
        say(json.dumps(data, indent=2))
    elif reports:
        print_table([("DEPLOYMENT", "CHECK", "RESULT", "SAYS"), *_rows(reports)])
    else:
        say("no deployment is configured: there is nothing to examine")
    return 0 if good else _EXIT_FAILED


async def _examine(snapshot: "Snapshot", wanted: Sequence["Deployment"], *, offline: bool) -> "list[Report]":
    from router.adapters.clock_system import SystemClock
    from router.adapters.reach_sockets import look_around
    from router.adapters.transport_httptools import transport_to
    from router.adapters.upstreams.litellm_library import LitellmLibrary, load_litellm
    from router.adapters.upstreams.registry import UpstreamRegistry
    from router.doctor import Doctor, Tools

    clock, litellm = SystemClock(), LitellmLibrary(load_litellm)

    async def upstream_of(provider: "Provider") -> "Upstream":
        registry = UpstreamRegistry(clock=clock, transport_to=transport_to, litellm=litellm)
        await registry.apply(replace(snapshot, providers={provider.id: provider}))
        return registry.find(provider.id)

    tools = Tools(clock=clock, look_around=look_around, upstream_of=upstream_of)
    return await Doctor(tools, snapshot.providers.values(), offline=offline).examine(wanted)


def _deployments(snapshot: "Snapshot") -> "Iterator[Deployment]":
    """Yield what can be asked, each target once, whichever models it stands behind."""
    yield from {
        deployment.target: deployment for model in snapshot.models.values() for deployment in model.deployments
    }.values()


def _left_out(loaded: "Loaded") -> "list[Report]":
    from router.config import left_out
    from router.domain.diagnosis import Check, Level, Report

    return [
        Report(
            target=out.deployment,
            provider=out.provider,
            model=out.model,
            checks=(Check(name="config", level=Level.WARN, says="takes no calls", fix=out.why),),
        )
        for out in left_out(loaded.settings)
    ]


def _print_problems(options: argparse.Namespace, problems: "Sequence[Problem]") -> None:
    if options.json:
        said = {"ok": False, "problems": [str(problem) for problem in problems], "deployments": []}
        say(json.dumps(said, indent=2))
        return
    for problem in problems:
        complain(str(problem))
    complain(f"{len(problems)} problem(s) in the configuration: no deployment was examined")


def _rows(reports: "Sequence[Report]") -> Iterator[tuple[str, ...]]:
    for report in reports:
        for number, check in enumerate(report.checks):
            yield report.target if number == 0 else "", check.name, check.level.value, check.says
            if check.fix:
                yield "", "", "", f"  fix: {check.fix}"


def _as_json(report: "Report") -> dict[str, object]:
    answer = report.answer
    checks = [
        {"check": check.name, "level": check.level.value, "says": check.says, "fix": check.fix or None}
        for check in report.checks
    ]
    told = None
    if answer is not None:
        told = {
            "first_token_ms": round(answer.first_token_ns / 1_000_000, 1),
            "input_tokens": answer.usage.input,
            "output_tokens": answer.usage.output,
            "usage_estimated": answer.usage.estimated,
            "cost_nano_usd": answer.cost,
        }
    return {
        "deployment": report.target,
        "provider": report.provider,
        "model": report.model,
        "level": report.level.value,
        "checks": checks,
        "answer": told,
    }
