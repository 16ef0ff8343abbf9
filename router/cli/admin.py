"""Ask the admin API of a running router for the commands that administer it, and print what it says."""

import argparse
import http.client
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO
from unicodedata import category
from urllib.parse import quote, urlsplit

_EXIT_FAILED: Final = 1
_EXIT_USAGE: Final = 2
_TIMEOUT_S: Final = 30
URL: Final = "http://127.0.0.1:8080"
_ROOT: Final = "/admin/v1"

Answer = Mapping[str, object]
Actions = Callable[[str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]
"""Adds an action: its name, what it does, and a sentence about it."""


class Refused(Exception):
    """The router did not do it; the text says why."""


def actions_of(parser: argparse.ArgumentParser) -> Actions:
    """Return what adds actions to a command's parser."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def add(name: str, run: Callable[[argparse.Namespace], None], about: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=about, description=about)
        added.add_argument("--url", default=URL, help=f"where the router serves ({URL})")
        added.add_argument(
            "--admin-key", help="a key with the permission admin; better in CHECKREIN_ADMIN_KEY, which nobody lists"
        )
        added.add_argument("--json", action="store_true", help="print the API's answer as it is")
        added.set_defaults(run=lambda options: run_asking(run, options))
        return added

    return add


def run_asking(action: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    """Do what asks a router; returns the exit status, after saying what went wrong."""
    try:
        action(options)
    except Refused as exc:
        complain(str(exc))
        return _EXIT_FAILED
    except (OSError, http.client.HTTPException) as exc:
        complain(f"no answer from {options.url}: {exc}. Is the router running there? Say where with --url")
        return _EXIT_FAILED
    except ValueError as exc:
        complain(str(exc))
        return _EXIT_USAGE
    return 0


def read_settings(file: Path | None) -> dict[str, object]:
    """Read the JSON object of `--settings`; nothing without it. Raises ValueError and OSError."""
    if file is None:
        return {}
    settings = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise ValueError(f"{file}: not a JSON object")
    return settings


def read_pages(options: argparse.Namespace, path: str) -> list[Answer]:
    """Read a whole list. Raises as `ask`."""
    rows: list[Answer] = []
    after = ""
    while True:
        page = ask(options, "GET", f"{path}?limit=1000{after}")
        found = page["data"]
        assert isinstance(found, list)
        rows += found
        if page["next"] is None:
            return rows
        after = f"&after={part(page['next'])}"


def ask(options: argparse.Namespace, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
    """Ask the admin API. Raises `Refused`, OSError and ValueError."""
    key = options.admin_key or os.environ.get("CHECKREIN_ADMIN_KEY")
    if not key:
        raise ValueError("no admin key: set CHECKREIN_ADMIN_KEY")
    return ask_with(key, options, method, f"{_ROOT}{path}", body)


def ask_with(
    key: str, options: argparse.Namespace, method: str, path: str, body: Mapping[str, object] | None = None
) -> Answer:
    """Ask the router at `--url` with a key. Raises `Refused`, OSError and ValueError."""
    with answering(key, options, method, path, body) as reply:
        return read_answer(reply, options)


@contextmanager
def answering(
    key: str, options: argparse.Namespace, method: str, path: str, body: Mapping[str, object] | None = None
) -> Iterator[http.client.HTTPResponse]:
    """Hold the router's reply from its head on, and hang up when the block is left. Raises OSError and ValueError."""
    parts = urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"--url: {options.url!r} is no address such as {URL}")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    try:
        content = None if body is None else json.dumps(body)
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request(method, f"{parts.path.rstrip('/')}{path}", content, headers)
        with connection.getresponse() as reply:
            yield reply
    finally:
        connection.close()


def read_answer(reply: http.client.HTTPResponse, options: argparse.Namespace) -> Answer:
    """Read a whole reply of JSON. Raises `Refused` with what the router says instead, and OSError."""
    text = reply.read()
    try:
        answer = dict(json.loads(text).items())
        message = answer["error"]["message"] if "error" in answer else None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Refused(f"{options.url} answers {reply.status}, and not as a router does") from None
    if message is not None:
        raise Refused(str(message))
    found: Answer = answer
    return found


def when(instant_ms: object) -> str:
    if not isinstance(instant_ms, int):
        return "-"
    return datetime.fromtimestamp(instant_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say(line.rstrip())


def say(line: str) -> None:
    sys.stdout.write(f"{harmless(line, sys.stdout)}\n")


def complain(line: str) -> None:
    sys.stderr.write(f"{harmless(line, sys.stderr)}\n")


def harmless(text: str, to: TextIO) -> str:
    """Leave out the characters by which the words of a provider, or of another user, could work a terminal."""
    return "".join(one for one in text if one in "\n\t" or category(one) != "Cc") if to.isatty() else text


def printed_as_json(options: argparse.Namespace, answer: Answer) -> bool:
    if options.json:
        say(json.dumps(answer, indent=2))
    return bool(options.json)


def part(name: object) -> str:
    """Write a name as one part of a path or query, whatever is in it."""
    return quote(str(name), safe="")
