"""Stored tenants are the sections of the file: named, read, written back and joined with it."""

from pathlib import Path

import msgspec
import pytest

from router.config import Loaded, Sources, load
from router.ports.keys import SettingsRefused
from router.ports.records import RecordKind
from router.tenantbook import budget_of, read_book, read_tenant, read_top_up, write_tenant
from tests.support.records import record

TEXT = """\
version: 1
organizations: [{ name: acme, teams: [{ name: research, limits: { rpm: 5 } }] }]
users: [{ name: ann }]
budgets: [{ name: all, scope: { agent: "*" }, limit_usd: 1 }]
workflows: { budget_usd: 2 }
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    file = tmp_path / "checkrein.yaml"
    file.write_text(TEXT)
    nowhere = tmp_path / "nowhere.yaml"
    sources = Sources(explicit=file, env={}, overrides={}, system=nowhere, user=nowhere, project=nowhere)
    return load(sources)


@pytest.mark.parametrize(
    ("kind", "settings", "name"),
    [
        (RecordKind.ORGANIZATION, '{"name":"acme"}', "acme"),
        (RecordKind.TEAM, '{"name":"acme/lab","limits":{"rpm":1}}', "acme/lab"),
        (RecordKind.USER, '{"name":"ann/é"}', "ann/é"),
        (RecordKind.BUDGET, '{"name":"b","scope":{"tag":"x"},"limit_usd":1}', "b"),
    ],
)
def test_what_is_read_is_written_as_it_was_said(kind: RecordKind, settings: str, name: str) -> None:
    found, section = read_tenant(kind, settings)

    assert name == found
    assert name == msgspec.json.decode(write_tenant(name, section))["name"]
    assert (name, section) == read_tenant(kind, write_tenant(name, section))


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (RecordKind.ORGANIZATION, '{"name":"acme","teams":[{"name":"x"}]}', "`teams` are resources of their own"),
        (RecordKind.ORGANIZATION, '{"name":"ac/me"}', "is not a name"),
        (RecordKind.TEAM, '{"name":"lab"}', "write it as organization/team"),
        (RecordKind.TEAM, '{"name":"ac me/lab"}', "is not a name"),
        (RecordKind.TEAM, '{"name":"acme/lab/x"}', "is not a name"),
        (RecordKind.TEAM, '{"name":7}', "write it as organization/team"),
        (RecordKind.TEAM, "[]", "no JSON object"),
        (RecordKind.BUDGET, '{"name":"b","limit_usd":1}', "`scope`"),
    ],
)
def test_what_is_no_section_is_refused(kind: RecordKind, settings: str, said: str) -> None:
    with pytest.raises(SettingsRefused, match=said):
        read_tenant(kind, settings)


@pytest.mark.parametrize(
    ("kind", "settings", "budget"),
    [
        (RecordKind.USER, '{"name":"ann"}', None),
        (RecordKind.USER, '{"name":"ann","budget":{"limit_usd":1}}', "user/ann/usd/month@UTC"),
        (
            RecordKind.TEAM,
            '{"name":"acme/lab","budget":{"limit_tokens":1,"window":"1d"}}',
            "team/acme/lab/tokens/rolling-1d",
        ),
        (RecordKind.BUDGET, '{"name":"b","scope":{"key":"*"},"limit_usd":1}', "budget/b/key=*/usd/month@UTC"),
    ],
)
def test_the_budget_of_a_section_has_the_id_that_the_file_would_give_it(
    kind: RecordKind, settings: str, budget: str | None
) -> None:
    assert budget == budget_of(kind, settings)


def test_a_book_has_all_of_the_file_and_of_the_store_where_its_name_is_free(loaded: Loaded) -> None:
    records = [
        record("acme", limits={"rpm": 1}),
        record("acme/research", RecordKind.TEAM, limits={"rpm": 1}),
        record("acme/lab", RecordKind.TEAM, limits={"rpm": 2}),
        record("bob", RecordKind.USER, limits={"rpm": 3}),
    ]
    book = read_book(loaded.settings, records)

    assert {"acme": ("organizations", 0)} == {name: one.path for name, one in book.organizations.items()}
    assert {"acme/research": ("organizations", 0, "teams", 0), "acme/lab": None} == {
        name: one.path for name, one in book.teams.items()
    }
    rates = {name: [limit.limit for limit in bounds.rate_limits] for name, bounds in book.tenants.teams.items()}
    assert {"acme/research": [5], "acme/lab": [2]} == rates
    assert {"ann", "bob"} == set(book.tenants.users)
    assert ["workflow/*", "budget/all/agent=*"] == [one.id.partition("/usd")[0] for one in book.tenants.tree_budgets]
    assert book.of(RecordKind.USER) is book.users


@pytest.mark.parametrize(
    "settings", ["{", "[]", '{"budget":"b","amount":1}', '{"budget":"b","amount":"1","until_ns":1}']
)
def test_a_top_up_that_cannot_be_read_is_refused(settings: str) -> None:
    with pytest.raises(SettingsRefused):
        read_top_up(settings)
