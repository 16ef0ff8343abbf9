"""The `checkrein prices` command: what deployments cost, what a price file would change, and taking it over."""

import argparse
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from router.cli.admin import complain, print_table, say

if TYPE_CHECKING:
    from router.adapters.prices_litellm import PriceFile
    from router.config import Loaded
    from router.domain.price_changes import PriceChange
    from router.domain.pricing import Catalogue, PriceCard

_EXIT_FAILED: Final = 1
_CONFIG: Final = "configuration file, above all other layers"
_FORMAT: Final = "JSON in the format of litellm's model_prices_and_context_window.json"


def add_prices(parser: argparse.ArgumentParser) -> None:
    """Add the actions to the command's parser."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    shown = actions.add_parser("list", help="print what each deployment costs, and where the price comes from")
    shown.set_defaults(run=lambda options: _run(_list, options))
    compared = actions.add_parser("diff", help="compare a price file with what is in force")
    compared.set_defaults(run=lambda options: _run(_diff, options))
    taken = actions.add_parser("import", help="say what a price file would change, and with --yes change it")
    taken.add_argument("--yes", action="store_true", help="write it; without this it is only said")
    taken.add_argument("--force", action="store_true", help="take figures that change more than 10 times as well")
    taken.add_argument("--to", type=Path, metavar="FILE", help="price file to write (the last of prices.files)")
    taken.set_defaults(run=lambda options: _run(_import, options))
    for action in (shown, compared, taken):
        action.add_argument("--config", type=Path, metavar="FILE", help=_CONFIG)
    for action in (shown, compared):
        action.add_argument("--json", action="store_true", help="print JSON; prices are nano-USD per million tokens")
    for action in (compared, taken):
        action.add_argument("file", type=Path, metavar="FILE", help=_FORMAT)
        action.add_argument("--all", action="store_true", help="all models, also those that no deployment uses")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """What a file changes, and what of it cannot be believed."""

    changes: list["PriceChange"] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Entries that have no price that a call can be billed by."""


def _run(action: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    from router.domain.pricing import PriceRefused

    try:
        return action(options)
    except OSError as exc:
        place = f"{exc.filename}: " if exc.filename else ""
        complain(f"{place}{exc.strerror or exc}")
    except PriceRefused as exc:
        complain(str(exc))
    return _EXIT_FAILED


def _list(options: argparse.Namespace) -> int:
    from router.adapters.prices_litellm import catalogues
    from router.config import compile_loaded

    snapshot = compile_loaded(_load(options), revision=1, created_s=0, catalogues=catalogues())
    cards = {one.id: one.price for model in snapshot.models.values() for one in model.deployments}
    if options.json:
        say(json.dumps({"data": [_card_json(name, card) for name, card in cards.items()]}, indent=2))
        return 0
    rows = [row for name, card in cards.items() for row in _card_rows(name, card)]
    print_table([("DEPLOYMENT", "PRICE", "USD", "VERSION"), *rows])
    return 0


def _diff(options: argparse.Namespace) -> int:
    from router.adapters.prices_litellm import read_price_file

    file = read_price_file(options.file)
    found = _compare(options, _load(options), file)
    if options.json:
        say(json.dumps({"version": file.version, **_comparison_json(found)}, indent=2))
    else:
        _print_comparison(found, file)
    return 0


def _import(options: argparse.Namespace) -> int:
    from router.adapters.prices_litellm import PriceFile, read_price_file
    from router.domain.price_changes import ChangeKind

    loaded, file = _load(options), read_price_file(options.file)
    found = _compare(options, loaded, file)
    named = loaded.settings.prices.files
    target = options.to or (Path(named[-1]) if named else None)
    if target is None:
        complain("prices.files names no file: say which to write with --to, then write prices: { files: [FILE] }")
        return _EXIT_FAILED
    _print_comparison(found, file)
    doubted = [change for change in found.changes if change.doubts]
    if (doubted or found.refused) and not options.force:
        complain("nothing is written: see what was refused; --force takes the large changes and leaves out the rest")
        return _EXIT_FAILED
    if any(change.kind is ChangeKind.REMOVED for change in found.changes):
        say("what the file does not have keeps its price")
    taken = [change.model for change in found.changes if change.kind is not ChangeKind.REMOVED]
    # By the name that was asked for: it wins over an entry of the model alone, which may be there from before.
    entries = {name: entry[1] for name in taken if (entry := file.entry(name)) is not None}
    if not entries:
        say("there is nothing to write")
        return 0
    before = read_price_file(target) if target.exists() else PriceFile(b"{}", target.name)
    content = before.with_entries(entries)
    after = PriceFile(content, target.name)
    if not options.yes:
        say(f"would write {len(entries)} entries to {target} ({after.version}); say --yes to do it")
        return 0
    _write_whole(target.resolve(), content)
    say(f"wrote {len(entries)} entries to {target} ({after.version}); a running router takes it within a second")
    if str(target.resolve()) not in {str(Path(one).resolve()) for one in named}:
        say(f"it is not in force yet: write prices: {{ files: [{target.name}] }} in the configuration")
    return 0


def _load(options: argparse.Namespace) -> "Loaded":
    from router.config import Sources, load

    return load(Sources.of_process(os.environ, explicit=options.config), new_admin_key="never-used")


def _compare(options: argparse.Namespace, loaded: "Loaded", file: "PriceFile") -> _Comparison:
    from router.adapters.prices_litellm import catalogues, litellm_catalogue, read_price_file
    from router.config import priced_names
    from router.domain.price_changes import compare
    from router.domain.pricing import PriceRefused

    files = loaded.settings.prices.files
    in_force = catalogues()(files)
    names = {priced.name for priced in priced_names(loaded.settings)}
    if options.all:
        named = (name for layer in map(Path, files) for name in read_price_file(layer).names())
        names |= {*file.names(), *litellm_catalogue().names(), *named}
    found = _Comparison()
    for name in sorted(names):
        try:
            change = compare(name, _price(in_force, name), _price(file, name))
        except PriceRefused as exc:
            found.refused.append(str(exc))
            continue
        if change is not None:
            found.changes.append(change)
    return found


def _price(catalogue: "Catalogue", name: str) -> "PriceCard | None":
    facts = catalogue(name)
    return None if facts is None else facts.price


def _print_comparison(found: _Comparison, file: "PriceFile") -> None:
    if found.changes:
        print_table([("MODEL", "", "PRICE", "WAS USD", "NOW USD", "CHANGE"), *_rows(found.changes)])
    else:
        say("no price changes")
    for line in (*_doubts(found.changes, file), *found.refused):
        complain(f"refused: {line}")


def _doubts(changes: Iterable["PriceChange"], file: "PriceFile") -> Iterator[str]:
    """Say where the file has each change that nobody should believe."""
    for change in changes:
        entry = file.entry(change.model)
        if entry is not None:
            for doubt in change.doubts:
                yield f"{file.name}:{file.line(entry[0])}: {entry[0]}: {doubt}"


def _rows(changes: Iterable["PriceChange"]) -> Iterator[tuple[str, ...]]:
    for change in changes:
        for number, figure in enumerate(change.figures):
            percent = "-" if figure.percent is None else f"{figure.percent:+.1f} %"
            head = (change.model, change.kind.value) if number == 0 else ("", "")
            yield (*head, figure.name, _usd(figure.was), _usd(figure.now), percent)


def _card_rows(name: str, card: "PriceCard | None") -> Iterator[tuple[str, ...]]:
    from router.domain.price_changes import figures_of

    if card is None:
        yield name, "unknown", "-", "-"
    for number, (figure, price) in enumerate(figures_of(card).items()):
        head, version = (name, "" if card is None else card.version) if number == 0 else ("", "")
        yield head, figure, _usd(price), version


def _card_json(name: str, card: "PriceCard | None") -> dict[str, object]:
    from router.domain.price_changes import figures_of

    return {
        "deployment": name,
        "version": None if card is None else card.version,
        "prices": None if card is None else figures_of(card),
    }


def _comparison_json(found: _Comparison) -> dict[str, object]:
    changes = [
        {
            "model": change.model,
            "kind": change.kind.value,
            "prices": {figure.name: {"was": figure.was, "now": figure.now} for figure in change.figures},
            "doubts": list(change.doubts),
        }
        for change in found.changes
    ]
    return {"changes": changes, "refused": found.refused}


def _usd(price: int | None) -> str:
    from router.domain.money import NanoUsd, format_usd

    return "-" if price is None else format_usd(NanoUsd(price))


def _write_whole(target: Path, content: bytes) -> None:
    """Put a file in the place of another, so that nobody ever reads half of it."""
    import tempfile

    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        written = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            written.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
            written.replace(target)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
