"""The `checkrein keys` commands: they ask the admin API of a running router, which alone changes keys."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from router.cli.admin import (
    Answer,
    actions_of,
    ask,
    complain,
    part,
    print_table,
    printed_as_json,
    read_pages,
    read_settings,
    say,
    when,
)

_PATH: Final = "/keys"


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Add the actions to the command's parser."""
    action = actions_of(parser)

    create = action("create", _create, "make a key and print its secret, once")
    create.add_argument("name", help="name of the key in the ledger")
    _add_settings(create)
    update = action("update", _update, "change settings of a key; what is not said stays")
    _add_settings(update)

    action("list", _list, "list keys, of the store and of the file")
    show = action("show", _show, "show a key, its effective limits and where each was set")
    rotate = action("rotate", _rotate, "give a key a new secret and print it, once")
    rotate.add_argument("--overlap", metavar="SPAN", help="how long the secrets before it still work (24h); 0s: not")
    revoke = action("revoke", _revoke, "refuse a key from now on, for good")
    for one in (update, show, rotate, revoke):
        one.add_argument("key", help="its name, or the id in front of its secret")


def _add_settings(create: argparse.ArgumentParser) -> None:
    create.add_argument("--settings", type=Path, metavar="FILE", help="JSON of the key's section; options win over it")
    create.add_argument("--model", action="append", dest="models", metavar="PATTERN", help="may call it; repeatable")
    create.add_argument("--team", help="organization/team that its calls are booked on")
    create.add_argument("--user", help="user that its calls are booked on")
    create.add_argument("--profile", help="critical, standard or experimental")
    create.add_argument("--expires", help="from then on it is refused, such as 2027-01-31")
    create.add_argument(
        "--permission", action="append", dest="permissions", help="inference, admin or team_admin; repeatable"
    )
    create.add_argument("--budget-usd", metavar="AMOUNT", help="what it may spend in each window")
    create.add_argument("--budget-window", metavar="WINDOW", help="hour, day, week, month or a duration (month)")


def _create(options: argparse.Namespace) -> None:
    _print_issued(options, ask(options, "POST", _PATH, _settings_of(options) | {"name": options.name}))


def _update(options: argparse.Namespace) -> None:
    answer = ask(options, "PATCH", f"{_PATH}/{part(options.key)}", _settings_of(options))
    if not printed_as_json(options, answer):
        say(f"{answer['name']} is changed")


def _settings_of(options: argparse.Namespace) -> dict[str, object]:
    settings = read_settings(options.settings)
    for name in ("models", "team", "user", "profile", "expires", "permissions"):
        value = getattr(options, name)
        if value is not None:
            settings[name] = value
    if options.budget_usd is not None:
        window = {} if options.budget_window is None else {"window": options.budget_window}
        settings["budget"] = {"limit_usd": options.budget_usd} | window
    return settings


def _rotate(options: argparse.Namespace) -> None:
    body: dict[str, object] = {} if options.overlap is None else {"overlap": options.overlap}
    _print_issued(options, ask(options, "POST", f"{_PATH}/{part(options.key)}/rotate", body))


def _revoke(options: argparse.Namespace) -> None:
    answer = ask(options, "POST", f"{_PATH}/{part(options.key)}/revoke")
    if not printed_as_json(options, answer):
        say(f"{answer['name']} is revoked")


def _list(options: argparse.Namespace) -> None:
    rows = read_pages(options, _PATH)
    if printed_as_json(options, {"object": "list", "data": rows, "next": None}):
        return
    table = [("NAME", "ID", "STATE", "SOURCE", "CHANGED")]
    table += [
        (str(row["name"]), str(row["id"] or "-"), str(row["state"]), str(row["source"]), when(row["updated_at_ms"]))
        for row in rows
    ]
    print_table(table)


def _show(options: argparse.Namespace) -> None:
    key = ask(options, "GET", f"{_PATH}/{part(options.key)}")
    if printed_as_json(options, key):
        return
    for name in ("name", "id", "state", "source"):
        say(f"{name + ':':<9}{key[name] or '-'}")
    say(f"{'changed:':<9}{when(key['updated_at_ms'])}")
    secrets, limits = key["secrets_until_ms"], key["limits"]
    assert isinstance(secrets, list)
    assert isinstance(limits, list)
    for until_ms in secrets:
        say(f"{'secret:':<9}{'as long as the key' if until_ms is None else f'until {when(until_ms)}'}")
    say("")
    heads = [("SCOPE", "LIMIT", "VALUE", "SET BY")]
    print_table([*heads, *map(_limit, limits)])


def _limit(row: Mapping[str, object]) -> tuple[str, ...]:
    only = " (observed)" if row["observed"] else ""
    return str(row["scope"]), str(row["limit"]), f"{row['value']}{only}", str(row["set_by"])


def _print_issued(options: argparse.Namespace, answer: Answer) -> None:
    if printed_as_json(options, answer):
        return
    complain(f"key {answer['name']}, id {answer['id']}. Its secret is shown this once:")
    say(str(answer["secret"]))
