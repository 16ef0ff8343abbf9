"""A stored key is the section of the file: read, compiled and explained the same way."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from router.config import Loaded, Sources, load, tenants_of
from router.domain.principal import Mode, Permission
from router.keybook import entries_of, grants_of, limits_of, read_key, write_key
from router.ports.keys import SecretDigest, SettingsRefused, StoredKey
from router.ports.records import Record, RecordKind
from router.tenantbook import read_book
from tests.support.keys import NOW_NS, stored
from tests.support.records import record

TEXT = """\
version: 1
providers: [{ name: demo, kind: scripted }]
models: [{ name: small, deployments: [{ provider: demo, model: demo, price: { input: 1, output: 1 } }] }]
organizations:
  - name: acme
    limits: { concurrency: 9 }
    teams:
      - name: research
        budget: { limit_usd: 20 }
users:
  - name: ann
    limits:
      rpm: 3
budgets:
  - name: all-teams
    scope: { team: "*" }
    limit_tokens: 1000
    window: day
  - name: of-others
    scope: { key: filed }
    limit_requests: 5
keys:
  - name: filed
    key: sk-test-key
    limits:
      rpm: 7
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    file = tmp_path / "checkrein.yaml"
    file.write_text(TEXT)
    nowhere = tmp_path / "nowhere.yaml"
    return load(Sources(explicit=file, env={}, overrides={}, system=nowhere, user=nowhere, project=nowhere))


def limits(settings_json: str, loaded: Loaded, folder: Path, *records: Record) -> list[tuple[str, str, str, str]]:
    found = limits_of(read_key(settings_json), read_book(loaded.settings, records), loaded.settings, loaded.tree)
    return [(one.scope, one.limit, one.value, one.set_by.replace(f"{folder}/", "")) for one in found]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("{", "no JSON"),
        ("[]", "dictionary"),
        ("{}", "`name`"),
        ('{"name":"x y"}', "is not a name, use"),
        ('{"name":"x","wrong":1}', "`wrong`"),
        ('{"name":"x","budget":{"limit_usd":"sk-canary"}}', "`budget.limit_usd`"),
        ('{"name":"x","budget":{}}', "has no limit, write one of"),
    ],
)
def test_settings_that_are_no_keys_are_told_without_their_values(settings: str, said: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        read_key(settings)

    assert said in str(refused.value)
    assert "canary" not in str(refused.value)


def test_what_is_written_is_what_was_said_without_the_secret(loaded: Loaded) -> None:
    (filed,) = loaded.settings.keys

    assert {"name": "filed", "limits": {"rpm": 7}} == msgspec.json.decode(write_key(filed))


def test_each_secret_has_an_entry_that_ends_with_it_or_with_the_key(loaded: Loaded) -> None:
    secrets = (SecretDigest(sha256="ab" * 32), SecretDigest(sha256="cd" * 32, until_ns=NOW_NS))
    key = msgspec.structs.replace(
        stored(team="acme/research", permissions=["admin"], expires="2100-01-01"), secrets=secrets
    )
    new, old = entries_of(key, tenants_of(loaded.settings), mode=Mode.ENFORCE)

    assert (bytes.fromhex("ab" * 32), bytes.fromhex("cd" * 32)) == (new.sha256, old.sha256)
    assert new == replace(old, sha256=new.sha256, expires_ns=new.expires_ns)
    assert (4_102_444_800_000_000_000, NOW_NS) == (new.expires_ns, old.expires_ns)
    assert ("ci", "acme", "research") == (new.principal.key_id, new.principal.organization, new.principal.team)
    assert Permission.ADMIN in new.principal.permissions
    assert 2 == len(new.principal.accounts)


@pytest.mark.parametrize(
    "broken",
    [
        msgspec.structs.replace(stored(), secrets=()),
        msgspec.structs.replace(stored(), secrets=(SecretDigest(sha256="nonsense"),)),
        msgspec.structs.replace(stored(), name="other"),
        msgspec.structs.replace(stored(), settings_json="{}"),
    ],
)
def test_what_somebody_broke_in_the_store_is_no_key(broken: StoredKey, loaded: Loaded) -> None:
    with pytest.raises(SettingsRefused):
        entries_of(broken, tenants_of(loaded.settings), mode=Mode.ENFORCE)


def test_every_limit_says_where_it_was_set(loaded: Loaded, tmp_path: Path) -> None:
    settings = (
        '{"name":"ci","team":"acme/research","user":"ann","profile":"experimental","limits":{"rpm":5},'
        '"expires":"2100-01-01","budget":{"limit_usd":2}}'
    )

    assert [
        ("key:ci", "rpm", "5", "store"),
        ("key:ci", "tpm", "200000", "profile experimental"),
        ("key:ci", "concurrency", "8", "profile experimental"),
        ("key:ci", "budget", "2 usd, window month", "store"),
        ("key:ci", "models", "*", "default"),
        ("key:ci", "expires", "2100-01-01T00:00:00+00:00", "store"),
        ("key:ci", "mode", "enforce", "default"),
        ("user:ann", "rpm", "3", "checkrein.yaml:13"),
        ("team:acme/research", "budget", "20 usd, window month", "checkrein.yaml:9"),
        ("organization:acme", "concurrency", "9", "checkrein.yaml:6"),
        ("budget:all-teams", "budget", "1000 tokens, window day", "checkrein.yaml:15"),
    ] == limits(settings, loaded, tmp_path)


def test_a_key_of_the_file_is_looked_up_there(loaded: Loaded, tmp_path: Path) -> None:
    found = limits('{"name":"filed","limits":{"rpm":7}}', loaded, tmp_path)

    assert ("key:filed", "rpm", "7", "checkrein.yaml:26") in found
    assert ("budget:of-others", "budget", "5 requests, window month", "checkrein.yaml:19") in found


def test_what_stored_tenants_say_is_set_by_the_store(loaded: Loaded, tmp_path: Path) -> None:
    records = (
        record("acme/lab", RecordKind.TEAM, limits={"rpm": 8}, budget={"limit_tokens": 5}),
        record("every-key", RecordKind.BUDGET, scope={"key": "*"}, limit_usd=1, window="day"),
    )
    found = limits('{"name":"ci","team":"acme/lab"}', loaded, tmp_path, *records)

    assert ("team:acme/lab", "rpm", "8", "store") in found
    assert ("team:acme/lab", "budget", "5 tokens, window month", "store") in found
    assert ("budget:every-key", "budget", "1 usd, window day", "store") in found


@pytest.mark.parametrize(
    ("settings", "urgency"),
    [
        ('{"name":"ci"}', 0),
        ('{"name":"ci","profile":"standard"}', 1),
        ('{"name":"ci","profile":"experimental"}', 2),
        ('{"name":"ci","profile":"experimental","priority":{"default":"standard"}}', 1),
        ('{"name":"ci","priority":{"default":"gone","max":"gone"}}', 3),
    ],
)
def test_the_urgency_of_a_key_is_its_highest_class_that_is_there(settings: str, urgency: int, loaded: Loaded) -> None:
    assert urgency == grants_of(read_key(settings), loaded.settings).urgency


def test_grants_are_what_was_said_or_is_the_default(loaded: Loaded) -> None:
    said = grants_of(
        read_key(
            '{"name":"ci","team":"acme/research","user":"ann","models":["a*"],"mode":"observe",'
            '"allow":{"keep_partials":true,"set_attribution":false},"permissions":["team_admin"]}'
        ),
        loaded.settings,
    )

    assert ("acme/research", "ann", ("a*",), True) == (said.team, said.user, said.models, said.observed)
    assert ({"substitution", "keep_partials"}, {Permission.TEAM_ADMIN}) == (said.allowed, said.permissions)
    unsaid = grants_of(read_key('{"name":"ci"}'), loaded.settings)
    assert (None, ("*",), False, {"substitution", "set_attribution"}) == (
        unsaid.team,
        unsaid.models,
        unsaid.observed,
        unsaid.allowed,
    )


def test_limits_that_are_only_observed_say_so(loaded: Loaded) -> None:
    text = '{"name":"ci","profile":"standard","limits":{"observe":true},"budget":{"limit_usd":2,"observe":true}}'
    found = limits_of(read_key(text), read_book(loaded.settings), loaded.settings, loaded.tree)

    assert {"rpm": True, "tpm": True, "concurrency": True, "budget": True, "models": False} == {
        one.limit: one.observed for one in found if one.scope == "key:ci" and one.limit != "mode"
    }
