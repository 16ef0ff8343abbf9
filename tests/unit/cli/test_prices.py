"""`checkrein prices` lists, compares and takes over prices; what nobody should believe is refused by line."""

import errno
import json
import os
from pathlib import Path

import pytest

from router.cli.commands import main

TEXT = """\
version: 1
prices: { files: [prices.json] }
providers: [{ name: openai, api_key: none }, { name: s, kind: scripted }]
models:
  - name: m
    deployments: [{ provider: openai, model: gpt-9 }, { provider: s, model: own, price: { input: 1, output: 2 } }]
  - { name: n, deployments: [{ provider: openai, model: unheard-of }] }
keys: [{ name: k, key: sk-test-key }]
"""


def entry(input_: object, output: object = None) -> dict[str, object]:
    prices = {"input_cost_per_token": input_, "output_cost_per_token": output}
    return {"litellm_provider": "openai", "mode": "chat"} | {k: v for k, v in prices.items() if v is not None}


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config, self.target, self.new = (folder / name for name in ("c.yaml", "prices.json", "new.json"))
        self.config.write_text(TEXT)
        self.target.write_text(json.dumps({"gpt-9": entry(1e-6, 4e-6), "kept": entry(1, 1)}))

    def write(self, **entries: object) -> None:
        self.new.write_text(json.dumps(entries, indent=0))

    def run(self, action: str, *more: str) -> int:
        file = () if action == "list" else (str(self.new),)
        return main(["prices", action, "--config", str(self.config), *file, *more])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_each_deployment_is_listed_with_what_it_costs_and_why(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == desk.run("list")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["openai/gpt-9", "input", "1.00"] == lines[1][:3]
    assert lines[1][3].startswith("prices:")
    assert ["s/own", "input", "1.00"] == lines[5][:3]
    assert lines[5][3].startswith("config:")
    assert ["openai/unheard-of", "unknown", "-", "-"] == lines[9]

    assert 0 == desk.run("list", "--json")
    listed = json.loads(capsys.readouterr().out)["data"]
    assert {"input": 1_000_000_000, "cached_input": 1_000_000_000} == {
        name: listed[0]["prices"][name] for name in ("input", "cached_input")
    }
    assert listed[2] == {"deployment": "openai/unheard-of", "version": None, "prices": None}


def test_a_list_that_nobody_reads_to_the_end_is_no_crash(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(_line: str) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr("router.cli.prices.say", gone)

    assert 1 == desk.run("list", "--json")
    assert "Broken pipe\n" == capsys.readouterr().err


def test_a_comparison_tells_what_deployments_use(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write(**{"gpt-9": entry(1.5e-6, 4e-6), "unheard-of": entry(1e-6, 1e-6), "unused": entry(1e-6, 1e-6)})

    assert 0 == desk.run("diff")
    printed = capsys.readouterr().out
    assert "openai/gpt-9       changed  input         1.00     1.50     +50.0 %" in printed
    assert "openai/unheard-of  added    input         -        1.00     -" in printed
    assert "unused" not in printed

    assert 0 == desk.run("diff", "--all")
    printed = capsys.readouterr().out
    assert "unused" in printed
    assert any(line.startswith("kept") and "removed" in line for line in printed.splitlines())

    assert 0 == desk.run("diff", "--json")
    told = json.loads(capsys.readouterr().out)
    assert ["changed", "added"] == [change["kind"] for change in told["changes"]]
    assert {"was": 1_000_000_000, "now": 1_500_000_000} == told["changes"][0]["prices"]["input"]
    assert [] == told["refused"]


def test_nothing_is_written_without_yes(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write(**{"gpt-9": entry(1.5e-6, 4e-6)})
    before = desk.target.read_bytes()

    assert 0 == desk.run("import")
    assert "would write 1 entries" in capsys.readouterr().out
    assert before == desk.target.read_bytes()
    assert 0 == desk.run("import", "--yes")
    assert "a running router takes it" in capsys.readouterr().out
    after = json.loads(desk.target.read_text())
    assert (1.5e-6, 1) == (after["openai/gpt-9"]["input_cost_per_token"], after["kept"]["input_cost_per_token"])
    assert {"c.yaml", "prices.json", "new.json"} == {file.name for file in desk.folder.iterdir()}
    assert 0 == desk.run("import", "--yes")
    assert "there is nothing to write" in capsys.readouterr().out


def test_what_nobody_should_believe_is_refused_by_line(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write(**{"gpt-9": entry(1.1e-5, 4e-6), "unheard-of": entry(-1, 1)})
    before = desk.target.read_bytes()

    assert 1 == desk.run("import", "--yes")
    said = capsys.readouterr().err
    assert "refused: new.json:2: gpt-9: input changes more than 10 times" in said
    assert "refused: new.json:8: unheard-of: input_cost_per_token: -1 USD is not a price" in said
    assert before == desk.target.read_bytes()

    assert 0 == desk.run("import", "--yes", "--force")
    assert {"gpt-9", "openai/gpt-9", "kept"} == json.loads(desk.target.read_text()).keys()
    assert 1.1e-5 == json.loads(desk.target.read_text())["openai/gpt-9"]["input_cost_per_token"]


@pytest.mark.parametrize("more", [(), ("--all",)])
def test_an_import_is_in_force_whatever_the_entry_was_called(
    more: tuple[str, ...], desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.target.write_text(json.dumps({"openai/gpt-9": entry(1e-6, 4e-6)}))
    desk.write(**{"gpt-9": entry(1.5e-6, 4e-6)})

    assert 0 == desk.run("import", "--yes", *more)
    capsys.readouterr()
    assert 0 == desk.run("list", "--json")
    assert 1_500_000_000 == json.loads(capsys.readouterr().out)["data"][0]["prices"]["input"]


def test_a_link_stays_a_link(desk: Desk) -> None:
    real = desk.folder / "real.json"
    desk.target.rename(real)
    desk.target.symlink_to(real)
    desk.write(**{"gpt-9": entry(1.5e-6, 4e-6)})

    assert 0 == desk.run("import", "--yes")
    assert desk.target.is_symlink()
    assert "openai/gpt-9" in json.loads(real.read_text())


def test_a_large_change_alone_is_refused_as_well(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write(**{"gpt-9": entry(1e-6, 4.1e-5)})

    assert 1 == desk.run("import", "--yes")
    assert "output changes more than 10 times" in capsys.readouterr().err
    assert 4e-6 == json.loads(desk.target.read_text())["gpt-9"]["output_cost_per_token"]


def test_a_disk_that_is_full_leaves_the_file_as_it_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    desk.write(**{"gpt-9": entry(1.5e-6, 4e-6)})
    before = desk.target.read_bytes()
    monkeypatch.setattr("os.fsync", full)

    assert 1 == desk.run("import", "--yes")
    said = capsys.readouterr().err
    assert "No space left" in said
    assert "new.json" not in said, "it was read well"
    assert before == desk.target.read_bytes()
    assert {"c.yaml", "prices.json", "new.json"} == {file.name for file in desk.folder.iterdir()}


def test_a_model_without_an_output_price_is_refused(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write(**{"gpt-9": entry(1e-6)})

    assert 1 == desk.run("import", "--yes")
    assert "refused: new.json:2: gpt-9: no output price" in capsys.readouterr().err


def test_a_first_price_file_is_made_where_it_is_told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.config.write_text(TEXT.replace("prices: { files: [prices.json] }\n", ""))
    desk.write(**{"gpt-9": entry(1.5e-6, 4e-6)})

    assert 1 == desk.run("import", "--yes")
    assert "say which to write with --to" in capsys.readouterr().err
    assert 0 == desk.run("import", "--yes", "--to", str(desk.folder / "first.json"))
    assert "not in force yet: write prices: { files: [first.json] }" in capsys.readouterr().out
    assert ["openai/gpt-9"] == list(json.loads((desk.folder / "first.json").read_text()))


def test_what_a_file_does_not_have_stays(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.write()

    assert 0 == desk.run("import", "--yes")
    printed = capsys.readouterr().out
    assert "what the file does not have keeps its price" in printed
    assert "there is nothing to write" in printed


def test_files_that_cannot_be_read_are_named(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == desk.run("diff")
    assert "new.json: No such file" in capsys.readouterr().err
    desk.new.write_text("{")
    assert 1 == desk.run("diff")
    assert "new.json" in capsys.readouterr().err
    desk.write(**{"gpt-9": entry(1.5e-6, 4e-6)})
    assert 1 == desk.run("import", "--yes", "--to", str(desk.folder / "no" / "where.json"))
    assert "No such file" in capsys.readouterr().err
