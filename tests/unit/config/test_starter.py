from router.config import compile_snapshot, notices, starter_yaml
from tests.unit.config.conftest import Load


def test_the_first_file_is_short_and_explains_itself() -> None:
    lines = starter_yaml().splitlines()

    assert 15 >= len(lines)
    assert 6 <= sum("#" in line for line in lines)


def test_the_first_file_serves_at_once_and_says_what_it_waits_for(load_text: Load) -> None:
    loaded = load_text(starter_yaml())
    snapshot = compile_snapshot(
        loaded.settings, revision=1, created_s=0, catalogue=lambda _: None, fingerprint=loaded.fingerprint
    )

    assert {"demo"} == set(snapshot.models)
    assert (
        "left out: provider openai (no key: set OPENAI_API_KEY); no deployment is left for: gpt-5-mini",
    ) == notices(loaded.settings)
    assert [True] == [entry.local_only for entry in snapshot.keys.values()]


def test_the_first_file_takes_keys_from_the_environment(load_text: Load) -> None:
    loaded = load_text(starter_yaml(), env={"OPENAI_API_KEY": "sk-o", "CHECKREIN_KEY": "sk-of-the-team"})
    snapshot = compile_snapshot(
        loaded.settings, revision=1, created_s=0, catalogue=lambda _: None, fingerprint=loaded.fingerprint
    )

    assert {"demo", "gpt-5-mini"} == set(snapshot.models)
    assert () == notices(loaded.settings)
    assert [False] == [entry.local_only for entry in snapshot.keys.values()]
