"""The `checkrein` command: one function a subcommand. Imports stay inside them, so that each starts quickly."""

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from router import VERSION
from router.cli.chat import add_chat
from router.cli.doctor import add_doctor
from router.cli.explain import add_explain
from router.cli.keys import add_keys
from router.cli.prices import add_prices
from router.cli.report import add_report
from router.cli.tenants import TENANTS, add_tenants
from router.cli.usage import add_usage
from router.cli.webhooks import add_webhooks

if TYPE_CHECKING:
    from router.config import ConfigInvalid

_EXIT_FAILED: Final = 1
_EXIT_CONFIG: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except _config_invalid() as exc:  # looked up when something was raised, not before
        return _report(exc.problems)
    return status


def _config_invalid() -> "type[ConfigInvalid]":
    """Import it only where it is needed: half of the commands never read a configuration."""
    from router.config import ConfigInvalid

    return ConfigInvalid


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="checkrein", description="A model router for multi-agent workloads.")
    parser.add_argument("--version", action="version", version=f"checkrein {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve the HTTP API")
    _add_config(serve)
    serve.add_argument("--host", help="address to listen on (server.http.host)")
    serve.add_argument("--port", type=int, help="port to listen on (server.http.port)")
    serve.add_argument("--grpc-port", type=int, help="port of the gRPC API (server.grpc.port)")
    serve.add_argument("--ops-port", type=int, help="port for metrics and probes (server.ops.port)")
    serve.set_defaults(run=_serve)

    init = commands.add_parser("init", help="write a first configuration")
    init.add_argument("file", nargs="?", type=Path, default=Path("checkrein.yaml"))
    init.set_defaults(run=_init)

    config = commands.add_parser("config", help="check or describe the configuration")
    actions = config.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser("check", help="name every problem with path, line and fix; exit 2 if there is one")
    check.add_argument("file", nargs="?", type=Path)
    _add_config(check)
    check.set_defaults(run=_config_check)
    actions.add_parser("schema", help="print the JSON Schema").set_defaults(run=_config_schema)
    actions.add_parser("reference", help="print the page of all keys").set_defaults(run=_config_reference)

    add_usage(commands.add_parser("usage", help="print what was used and what it cost"))
    add_report(commands.add_parser("report", help="print what would have been refused, had it not only been observed"))
    add_keys(commands.add_parser("keys", help="make, list, show, change, rotate and revoke keys of a running router"))
    for kind in TENANTS:
        about = f"make, list, show, change and delete the {kind} of a running router"
        add_tenants(commands.add_parser(kind, help=about), kind)
    add_explain(commands.add_parser("explain", help="say why a call went where it went, or where a request would go"))
    add_webhooks(commands.add_parser("webhooks", help="see whether the receivers of events can be reached"))

    add_chat(commands.add_parser("chat", help="talk to a model through a running router"))
    add_doctor(commands.add_parser("doctor", help="ask every deployment for one token; exit 1 if one cannot serve"))
    add_prices(commands.add_parser("prices", help="print prices, compare them with a file, and take them from it"))

    health = commands.add_parser("healthcheck", help="ask a running router whether it lives; exit 1 if not")
    _add_config(health)
    health.set_defaults(run=_healthcheck)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file, above all other layers")


def _serve(options: argparse.Namespace) -> int:
    import asyncio
    import signal

    import uvloop

    from router.bootstrap import CannotStart, Router, Running, log_to_stderr
    from router.config import Sources, load

    flags = {
        "server.http.host": options.host,
        "server.http.port": options.port,
        "server.grpc.port": options.grpc_port,
        "server.ops.port": options.ops_port,
    }
    sources = Sources.of_process(
        os.environ,
        explicit=options.config,
        overrides={path: value for path, value in flags.items() if value is not None},
    )
    first_key = f"sk-{secrets.token_hex(8)}-{secrets.token_urlsafe(32)}"
    loaded = load(sources, new_admin_key=first_key)
    log_to_stderr(loaded.settings)
    for sentence in loaded.greeting:
        print(sentence, file=sys.stderr, flush=True)
    router = Router(loaded, sources=sources, first_key=first_key)

    def obey_signals(running: Running) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.stop)
        loop.add_signal_handler(signal.SIGHUP, running.reload)

    obstacles: list[str] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(router.serve(obey_signals))
        except* CannotStart as group:
            obstacles = [str(exc) for exc in group.exceptions]
    for obstacle in obstacles:
        print(f"cannot start: {obstacle}", file=sys.stderr)
    return _EXIT_FAILED if obstacles else 0


def _init(options: argparse.Namespace) -> int:
    from router.config import starter_yaml

    try:
        with options.file.open("x", encoding="utf-8") as file:
            file.write(starter_yaml())
    except FileExistsError:
        print(f"{options.file} is there already; it was not touched", file=sys.stderr)
        return _EXIT_FAILED
    print(f"wrote {options.file}; run `checkrein serve` next")
    return 0


def _config_check(options: argparse.Namespace) -> int:
    from router.adapters.prices_litellm import catalogues
    from router.config import Sources, compile_loaded, load, notices

    loaded = load(Sources.of_process(os.environ, explicit=options.file or options.config))
    compile_loaded(loaded, revision=1, created_s=0, catalogues=catalogues())
    for notice in notices(loaded.settings):
        print(notice)
    files = ", ".join(str(file) for file in loaded.files) or "no file"
    print(f"configuration is good: {files}, fingerprint {loaded.fingerprint[:12]}")
    return 0


def _config_schema(_options: argparse.Namespace) -> int:
    import json

    from router.config import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0


def _config_reference(_options: argparse.Namespace) -> int:
    from router.config import render_page

    print(render_page(), end="")
    return 0


def _healthcheck(options: argparse.Namespace) -> int:
    import http.client

    from router.config import Sources, load

    ops = load(Sources.of_process(os.environ, explicit=options.config), new_admin_key="never-used").settings.server.ops
    connection = http.client.HTTPConnection(ops.host, ops.port, timeout=3)
    try:
        connection.request("GET", "/livez")
        alive = connection.getresponse().status == 200
    except OSError as exc:
        print(f"no answer from {ops.host}:{ops.port}: {exc.strerror or exc}", file=sys.stderr)
        return _EXIT_FAILED
    finally:
        connection.close()
    return 0 if alive else _EXIT_FAILED


def _report(problems: Sequence[object]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problem(s) in the configuration", file=sys.stderr)
    return _EXIT_CONFIG
