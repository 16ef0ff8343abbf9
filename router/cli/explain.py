"""The `checkrein explain` command: it asks a running router why a call went where it went, or where one would go."""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from router.cli.admin import URL, Answer, ask_with, part, print_table, printed_as_json, run_asking, say, when

_CALLS: Final = "/checkrein/v1/calls"
_ROUTE: Final = "/checkrein/v1/route/explain"
_VARIABLES: Final = ("CHECKREIN_API_KEY", "CHECKREIN_ADMIN_KEY")

Rows = Sequence[Mapping[str, object]]


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command's parser."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("call", nargs="?", metavar="CALL_ID", help="as the header x-checkrein-call has it")
    what.add_argument("--request", type=Path, metavar="FILE", help="JSON of a chat request, which is not sent")
    parser.add_argument("--url", default=URL, help=f"where the router serves ({URL})")
    parser.add_argument(
        "--key", help=f"the call's own key, or one with the permission admin; better in {' or '.join(_VARIABLES)}"
    )
    parser.add_argument("--json", action="store_true", help="print the API's answer as it is")
    parser.set_defaults(run=lambda options: run_asking(_explain, options))


def _explain(options: argparse.Namespace) -> None:
    key = options.key or next(filter(None, map(os.environ.get, _VARIABLES)), None)
    if not key:
        raise ValueError(f"no key: set {' or '.join(_VARIABLES)}")
    if options.request is None:
        call = ask_with(key, options, "GET", f"{_CALLS}/{part(options.call)}")
        if not printed_as_json(options, call):
            _print_call(call)
        return
    request = json.loads(options.request.read_text(encoding="utf-8"))
    if not isinstance(request, dict):
        raise ValueError(f"{options.request}: not a JSON object")
    route = ask_with(key, options, "POST", _ROUTE, request)
    if not printed_as_json(options, route):
        _print_route(route)


def _print_call(call: Answer) -> None:
    from msgspec import DecodeError

    from router.domain.planning.explanation import describe

    fault = "" if call["fault"] is None else f" ({call['fault']})"
    say(f"{call['id']}: {call['asked_model']} was asked for, {call['outcome']}{fault}, {when(call['started_at_ms'])}")
    if call["priority"] is not None:
        say(f"class {call['priority']}")
    if call["substituted"] is not None:
        say(f"substituted: {call['substituted']}")
    if call["served_deployment"] is not None:
        says = "" if call["served_model"] is None else f", which says that it served {call['served_model']}"
        say(f"served by {call['served_deployment']}{says}")
    if call["decision"] is None:
        say("there was no choice: one deployment, asked once at most")
    else:
        try:
            for line in describe(json.dumps(call["decision"])):
                say(line)
        except DecodeError:
            raise ValueError("the router's decision is none that this release reads: print it with --json") from None
    attempts = _rows(call["attempts"])
    if attempts:
        heads = [("ATTEMPT", "DEPLOYMENT", "ENDED", "STATUS", "FIRST MS", "MS", "USD")]
        print_table([*heads, *map(_attempt, attempts)])


def _attempt(row: Mapping[str, object]) -> tuple[str, ...]:
    status = row["upstream_status"]
    return (
        str(row["number"]),
        str(row["deployment"]),
        "well" if row["fault"] is None else str(row["fault"]),
        "-" if status is None else str(status),
        _ms(row["first_token_ms"]),
        _ms(row["duration_ms"]),
        _usd(row["cost_nano_usd"]),
    )


def _print_route(route: Answer) -> None:
    other = "" if route["substituted"] is None else f", {route['substituted']}"
    say(f"{route['asked_model']} is asked for{other}")
    lowered = ", lowered because a budget is low" if route["priority_lowered"] else ""
    say(f"class {route['priority']}{lowered}")
    say(f"it would go to {route['target']}" if route["target"] else "nobody can take it now")
    if not route["admitted"] and route["target"]:
        say("it would be refused at every candidate")
    if route["home"] is not None:
        say(f"its conversation is at {route['home']}")
    candidates = _rows(route["candidates"])
    if candidates:
        heads = [("TARGET", "TIER", str(candidates[0]["figure"]).upper(), "AT MOST USD", "SAYS")]
        print_table([*heads, *map(_candidate, candidates)])
    for one in candidates:
        if one["spared"]:
            say(f"kept though slow or failing at times, because most are out: {one['target']}")
    for one in _rows(route["dropped"]):
        until = "" if one["until_ms"] is None else f" until {when(one['until_ms'])}"
        detail = "" if one["detail"] is None else f" ({one['detail']})"
        how = "set back" if one["reason"] == "no_room" else "left out"
        say(f"{how}: {one['target']}, {one['reason']}{detail}{until}")
    for kind, names in cast(Mapping[str, Sequence[str]], route["fallbacks"]).items():
        if names:
            say(f"{_AFTER.get(kind, kind)}: {', '.join(names)}")


def _candidate(row: Mapping[str, object]) -> tuple[str, ...]:
    refusing = [one for one in _rows(row["policies"]) if one["refusal"]]
    says = "; ".join(map(_refusal, refusing)) or "may be sent"
    value = "-" if row["value"] is None else f"{row['value']:g}"
    return str(row["target"]), str(row["tier"]), value, _usd(row["ceiling_nano_usd"]), says


def _refusal(policy: Mapping[str, object]) -> str:
    refusal = cast(Mapping[str, object], policy["refusal"])
    return f"{'only observed: ' if policy['observed'] else ''}{refusal['message']}"


def _rows(found: object) -> Rows:
    assert isinstance(found, list)
    return found


def _ms(span: object) -> str:
    return "-" if span is None else f"{span:.0f}"


def _usd(amount: object) -> str:
    from router.domain.money import NanoUsd, format_usd

    return format_usd(NanoUsd(amount)) if isinstance(amount, int) else "-"


_AFTER: Final = {
    "any": "when they fail",
    "context": "when the prompt is too long",
    "policy": "when the content is refused",
}
