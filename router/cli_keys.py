"""The `checkrein keys` commands: they ask the admin API of a running router, which alone changes keys."""

import argparse
import http.client
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

_EXIT_FAILED: Final = 1
_EXIT_USAGE: Final = 2
_TIMEOUT_S: Final = 30
_URL: Final = "http://127.0.0.1:8080"
_PATH: Final = "/admin/v1/keys"

Answer = Mapping[str, object]


class _Refused(Exception):
    """The router did not do it; the text says why."""


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Add the actions to the command's parser."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def action(name: str, run: Callable[[argparse.Namespace], None], about: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=about, description=about)
        added.add_argument("--url", default=_URL, help=f"where the router serves ({_URL})")
        added.add_argument(
            "--admin-key", help="a key with the permission admin; better in CHECKREIN_ADMIN_KEY, which nobody lists"
        )
        added.add_argument("--json", action="store_true", help="print the API's answer as it is")
        added.set_defaults(run=lambda options: _run(run, options))
        return added

    create = action("create", _create, "make a key and print its secret, once")
    create.add_argument("name", help="name of the key in the ledger")
    create.add_argument("--settings", type=Path, metavar="FILE", help="JSON of the key's section; options win over it")
    create.add_argument("--model", action="append", dest="models", metavar="PATTERN", help="may call it; repeatable")
    create.add_argument("--team", help="organization/team that its calls are booked on")
    create.add_argument("--user", help="user that its calls are booked on")
    create.add_argument("--profile", help="critical, standard or experimental")
    create.add_argument("--expires", help="from then on it is refused, such as 2027-01-31")
    create.add_argument("--permission", action="append", dest="permissions", help="inference or admin; repeatable")
    create.add_argument("--budget-usd", metavar="AMOUNT", help="what it may spend in each window")
    create.add_argument("--budget-window", metavar="WINDOW", help="hour, day, week, month or a duration (month)")

    action("list", _list, "list keys, of the store and of the file")
    show = action("show", _show, "show a key, its effective limits and where each was set")
    rotate = action("rotate", _rotate, "give a key a new secret and print it, once")
    rotate.add_argument("--overlap", metavar="SPAN", help="how long the secrets before it still work (24h); 0s: not")
    revoke = action("revoke", _revoke, "refuse a key from now on, for good")
    for one in (show, rotate, revoke):
        one.add_argument("key", help="its name, or the id in front of its secret")


def _run(action: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    try:
        action(options)
    except _Refused as exc:
        _complain(str(exc))
        return _EXIT_FAILED
    except (OSError, http.client.HTTPException) as exc:
        _complain(f"no answer from {options.url}: {exc}. Is the router running there? Say where with --url")
        return _EXIT_FAILED
    except ValueError as exc:
        _complain(str(exc))
        return _EXIT_USAGE
    return 0


def _create(options: argparse.Namespace) -> None:
    settings: dict[str, object] = {}
    if options.settings is not None:
        settings = json.loads(options.settings.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ValueError(f"{options.settings}: not a JSON object")
    for name in ("models", "team", "user", "profile", "expires", "permissions"):
        value = getattr(options, name)
        if value is not None:
            settings[name] = value
    if options.budget_usd is not None:
        window = {} if options.budget_window is None else {"window": options.budget_window}
        settings["budget"] = {"limit_usd": options.budget_usd} | window
    _print_issued(options, _ask(options, "POST", "", settings | {"name": options.name}))


def _rotate(options: argparse.Namespace) -> None:
    body: dict[str, object] = {} if options.overlap is None else {"overlap": options.overlap}
    _print_issued(options, _ask(options, "POST", f"/{quote(options.key, safe='')}/rotate", body))


def _revoke(options: argparse.Namespace) -> None:
    answer = _ask(options, "POST", f"/{quote(options.key, safe='')}/revoke")
    if not _printed_as_json(options, answer):
        _say(f"{answer['name']} is revoked")


def _list(options: argparse.Namespace) -> None:
    rows: list[Answer] = []
    after = ""
    while True:
        page = _ask(options, "GET", f"?limit=1000{after}")
        found = page["data"]
        assert isinstance(found, list)
        rows += found
        if page["next"] is None:
            break
        after = f"&after={quote(str(page['next']), safe='')}"
    if _printed_as_json(options, {"object": "list", "data": rows, "next": None}):
        return
    table = [("NAME", "ID", "STATE", "SOURCE", "CHANGED")]
    table += [
        (str(row["name"]), str(row["id"] or "-"), str(row["state"]), str(row["source"]), _when(row["updated_at_ms"]))
        for row in rows
    ]
    _print_table(table)


def _show(options: argparse.Namespace) -> None:
    key = _ask(options, "GET", f"/{quote(options.key, safe='')}")
    if _printed_as_json(options, key):
        return
    for name in ("name", "id", "state", "source"):
        _say(f"{name + ':':<9}{key[name] or '-'}")
    _say(f"{'changed:':<9}{_when(key['updated_at_ms'])}")
    secrets, limits = key["secrets_until_ms"], key["limits"]
    assert isinstance(secrets, list)
    assert isinstance(limits, list)
    for until_ms in secrets:
        _say(f"{'secret:':<9}{'as long as the key' if until_ms is None else f'until {_when(until_ms)}'}")
    _say("")
    columns = ("scope", "limit", "value", "set_by")
    heads = [("SCOPE", "LIMIT", "VALUE", "SET BY")]
    _print_table([*heads, *(tuple(str(row[column]) for column in columns) for row in limits)])


def _print_issued(options: argparse.Namespace, answer: Answer) -> None:
    if _printed_as_json(options, answer):
        return
    _complain(f"key {answer['name']}, id {answer['id']}. Its secret is shown this once:")
    _say(str(answer["secret"]))


def _printed_as_json(options: argparse.Namespace, answer: Answer) -> bool:
    if options.json:
        _say(json.dumps(answer, indent=2))
    return bool(options.json)


def _ask(options: argparse.Namespace, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
    """Ask the admin API. Raises `_Refused`, OSError and ValueError."""
    key = options.admin_key or os.environ.get("CHECKREIN_ADMIN_KEY")
    if not key:
        raise ValueError("no admin key: set CHECKREIN_ADMIN_KEY")
    parts = urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"--url: {options.url!r} is no address such as {_URL}")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    try:
        content = None if body is None else json.dumps(body)
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request(method, f"{parts.path.rstrip('/')}{_PATH}{path}", content, headers)
        reply = connection.getresponse()
        text = reply.read()
    finally:
        connection.close()
    try:
        answer = dict(json.loads(text).items())
        message = answer["error"]["message"] if "error" in answer else None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _Refused(f"{options.url} answers {reply.status}, and not as a router does") from None
    if message is not None:
        raise _Refused(str(message))
    found: Answer = answer
    return found


def _when(instant_ms: object) -> str:
    if not isinstance(instant_ms, int):
        return "-"
    return datetime.fromtimestamp(instant_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        _say(line.rstrip())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _complain(line: str) -> None:
    sys.stderr.write(f"{line}\n")
