"""The commands for organizations, teams, users and budgets: they ask the admin API, which alone changes them."""

import argparse
import json
from pathlib import Path
from typing import Final

from router.cli.admin import (
    Actions,
    actions_of,
    ask,
    part,
    print_table,
    printed_as_json,
    read_pages,
    read_settings,
    say,
    when,
)

TENANTS: Final = ("organizations", "teams", "users", "budgets")
_BUDGETS: Final = "budgets"
_LIMITS: Final = ("usd", "tokens", "requests", "seconds")
_RATES: Final = ("rpm", "tpm")


def add_tenants(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add the actions on one of `TENANTS` to its command's parser."""
    action, one = actions_of(parser), kind.removesuffix("s")
    action("list", _list, f"list {kind}, of the store and of the file")
    show = action("show", _show, f"show one of the {kind}, and how its budget stands")
    create = action("create", _create, f"make one of the {kind}")
    update = action("update", _update, f"change settings of one of the {kind}; what is not said stays")
    delete = action("delete", _delete, f"delete one of the {kind} that nothing names any more")
    for added in (show, create, update, delete):
        added.add_argument("name", help="organization/team" if kind == "teams" else f"name of the {one}")
    for added in (create, update):
        added.add_argument("--settings", type=Path, metavar="FILE", help="JSON of its section; options win over it")
        for unit in _LIMITS:
            what = "USD" if unit == "usd" else unit
            kind_of = str if unit == "usd" else int
            added.add_argument(
                f"--limit-{unit}", type=kind_of, metavar="AMOUNT", help=f"{what} in each window; one unit only"
            )
        added.add_argument("--window", help="hour, day, week, month, lifetime or a duration (month)")
        if kind == _BUDGETS:
            added.add_argument("--scope", metavar="KIND=VALUE", help="such as key=ci or agent='*'")
        else:
            for rate in _RATES:
                added.add_argument(f"--{rate}", type=int, metavar="COUNT", help=f"limits.{rate}")
    if kind == _BUDGETS:
        _add_top_ups(action)
    parser.set_defaults(kind=kind)


def _add_top_ups(action: Actions) -> None:
    top_up = action("top-up", _top_up, "give a budget more for a while")
    top_ups = action("top-ups", _top_ups, "list what tops a budget up")
    take_back = action("take-back", _take_back, "take a top-up back")
    for added in (top_up, top_ups, take_back):
        added.add_argument("budget", help="its name, or the id of any budget, such as key/ci/usd/month@UTC")
    take_back.add_argument("top_up", help="id of the top-up")
    top_up.add_argument("--usd", metavar="AMOUNT", help="for a budget in USD")
    top_up.add_argument("--amount", type=int, metavar="COUNT", help="for others: tokens, requests or seconds")
    top_up.add_argument("--for", dest="span", metavar="SPAN", help="how long, such as 2h")
    top_up.add_argument("--until", metavar="MOMENT", help="or until when, such as 2027-01-31T12:00:00Z")
    top_up.add_argument("--value", help="whose account; each that the budget has without it")
    top_up.add_argument("--reason", help="why, for the audit")


def _create(options: argparse.Namespace) -> None:
    body = _settings_of(options) | {"name": options.name}
    answer = ask(options, "POST", f"/{options.kind}", body)
    if not printed_as_json(options, answer):
        say(f"{answer['name']} is made" + (f", budget {answer['budget']}" if answer["budget"] else ""))


def _update(options: argparse.Namespace) -> None:
    answer = ask(options, "PATCH", _path(options), _settings_of(options))
    if not printed_as_json(options, answer):
        say(f"{answer['name']} is changed")


def _delete(options: argparse.Namespace) -> None:
    answer = ask(options, "DELETE", _path(options))
    if not printed_as_json(options, answer):
        say(f"{answer['name']} is deleted")


def _list(options: argparse.Namespace) -> None:
    rows = read_pages(options, f"/{options.kind}")
    if printed_as_json(options, {"object": "list", "data": rows, "next": None}):
        return
    table = [("NAME", "STATE", "SOURCE", "BUDGET", "CHANGED")]
    table += [
        (
            str(row["name"]),
            str(row["state"]),
            str(row["place"] or row["source"]),
            str(row["budget"] or "-"),
            when(row["updated_at_ms"]),
        )
        for row in rows
    ]
    print_table(table)


def _show(options: argparse.Namespace) -> None:
    found = ask(options, "GET", _path(options))
    if printed_as_json(options, found):
        return
    for name in ("name", "state", "source", "place", "budget"):
        say(f"{name + ':':<10}{found[name] or '-'}")
    say(f"{'changed:':<10}{when(found['updated_at_ms'])}")
    account = found["account"]
    if isinstance(account, dict):
        for name in ("limit", "used", "reserved"):
            say(f"{name + ':':<10}{account[name]} {'nano-USD' if account['unit'] == 'usd' else account['unit']}")
        say(f"{'resets:':<10}{when(account['resets_at_ms'])}")
    say(f"{'settings:':<10}{json.dumps(found['settings'])}")


def _top_up(options: argparse.Namespace) -> None:
    said = {
        "amount_usd": options.usd,
        "amount": options.amount,
        "for": options.span,
        "until": options.until,
        "value": options.value,
        "reason": options.reason,
    }
    body = {name: value for name, value in said.items() if value is not None}
    answer = ask(options, "POST", f"/budgets/{part(options.budget)}/top_ups", body)
    if not printed_as_json(options, answer):
        say(f"{answer['id']} tops {answer['budget']} up until {when(answer['until_ms'])}")


def _top_ups(options: argparse.Namespace) -> None:
    answer = ask(options, "GET", f"/budgets/{part(options.budget)}/top_ups")
    if printed_as_json(options, answer):
        return
    rows = answer["data"]
    assert isinstance(rows, list)
    columns = ("id", "value", "amount", "reason")
    table: list[tuple[str, ...]] = [("ID", "VALUE", "AMOUNT", "REASON", "UNTIL")]
    table += [(*(str(row[column]) for column in columns), when(row["until_ms"])) for row in rows]
    print_table(table)


def _take_back(options: argparse.Namespace) -> None:
    answer = ask(options, "DELETE", f"/budgets/{part(options.budget)}/top_ups/{part(options.top_up)}")
    if not printed_as_json(options, answer):
        say(f"{answer['name']} is taken back")


def _path(options: argparse.Namespace) -> str:
    return f"/{options.kind}/{part(options.name)}"


def _settings_of(options: argparse.Namespace) -> dict[str, object]:
    settings = read_settings(options.settings)
    budget = {f"limit_{unit}": getattr(options, f"limit_{unit}") for unit in _LIMITS} | {"window": options.window}
    said = {name: value for name, value in budget.items() if value is not None}
    if options.kind == _BUDGETS:
        if options.scope is not None:
            scope, _, value = options.scope.partition("=")
            said["scope"] = {scope: value}
        return settings | said
    limits = {rate: getattr(options, rate) for rate in _RATES if getattr(options, rate) is not None}
    return settings | ({"budget": said} if said else {}) | ({"limits": limits} if limits else {})
