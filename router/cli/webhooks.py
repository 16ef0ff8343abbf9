"""The `checkrein webhooks` command: whether the receivers of events take what is posted to them."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

_EXIT_FAILED: Final = 1


def add_webhooks(parser: argparse.ArgumentParser) -> None:
    """Add the actions to the command's parser."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    test = actions.add_parser("test", help="post a webhook.test event to each, once; exit 1 unless all take it")
    test.add_argument("--config", type=Path, metavar="FILE", help="configuration file, above all other layers")
    test.set_defaults(run=_test)


def _test(options: argparse.Namespace) -> int:
    import asyncio

    from router.bootstrap import try_webhooks
    from router.config import Sources, load

    settings = load(Sources.of_process(os.environ, explicit=options.config), new_admin_key="never-used").settings
    if not settings.webhooks:
        sys.stderr.write("no webhooks are configured\n")
        return _EXIT_FAILED
    try:
        tried = asyncio.run(try_webhooks(settings))
    except (OSError, ValueError) as exc:
        sys.stderr.write(f"{exc}\n")
        return _EXIT_FAILED
    for number, (host, trouble) in enumerate(tried):
        sys.stdout.write(f"webhooks[{number}]  {host}  {trouble or 'delivered'}\n")
    return _EXIT_FAILED if any(trouble for _, trouble in tried) else 0
