from pathlib import Path

import pytest

from router.config.resolve import resolve
from router.config.tree import Origin, Plain, flatten, follow, grow


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(source="f.yaml", line=3, folder=tmp_path)


def test_variables_are_put_into_the_text_of_files(origin: Origin) -> None:
    tree, problems = resolve(grow({"server": {"http": {"host": "${H:-x}"}}}, origin), {"H": "y"})

    assert ({"server": {"http": {"host": "y"}}}, []) == (flatten(tree), problems)


def test_values_of_the_environment_are_taken_as_they_are() -> None:
    tree, problems = resolve(grow({"a": "${X}"}, Origin(source="CHECKREIN_A")), {})

    assert ({"a": "${X}"}, []) == (flatten(tree), problems)


def test_an_unset_variable_is_a_problem_where_something_is_required(origin: Origin) -> None:
    _, problems = resolve(grow({"keys": [{"name": "a", "key": "${X}"}]}, origin), {})

    assert ["f.yaml:3: keys[0].key: ${X} is not set; set it, or write ${X:-default}"] == [str(p) for p in problems]


def test_an_unset_variable_empties_the_whole_value_of_an_optional_provider(origin: Origin) -> None:
    provider: Plain = {"name": "a", "required": False, "base_url": "https://${HOST}/v1"}
    tree, problems = resolve(grow({"providers": [provider]}, origin), {})

    assert [] == problems
    assert "" == getattr(follow(tree, ("providers", 0, "base_url"))[1], "value", None)


def test_what_looks_like_a_variable_and_is_none_is_a_problem(origin: Origin) -> None:
    _, problems = resolve(grow({"a": "${1}"}, origin), {})

    assert ["'${1}' is not a variable"] == [problem.message for problem in problems]


def test_a_preset_fills_in_what_the_file_does_not_say(origin: Origin) -> None:
    tree, _ = resolve(grow({"providers": [{"name": "openai"}]}, origin), {"OPENAI_API_KEY": "sk-1"})

    assert {
        "providers": [
            {
                "kind": "openai_compatible",
                "base_url": "https://api.openai.com/v1",
                "api_key": "sk-1",
                "name": "openai",
            }
        ]
    } == flatten(tree)


def test_what_the_file_says_wins_over_the_preset(origin: Origin) -> None:
    said: dict[str, Plain] = {
        "name": "mine",
        "preset": "openai",
        "base_url": "http://b/v1",
        "api_key_file": "nokey",
    }
    tree, _ = resolve(grow({"providers": [said]}, origin), {"OPENAI_API_KEY": "sk-1"})

    assert {"providers": [{"kind": "openai_compatible", **said}]} == flatten(tree)


def test_a_local_preset_needs_no_key_and_may_be_at_a_private_address(origin: Origin) -> None:
    tree, _ = resolve(grow({"providers": [{"name": "ollama"}]}, origin), {})

    assert {
        "providers": [
            {
                "kind": "openai_compatible",
                "base_url": "http://127.0.0.1:11434/v1",
                "api_key": "none",
                "name": "ollama",
                "network": {"allow_private": True},
            }
        ]
    } == flatten(tree)


def test_a_provider_of_another_kind_may_bear_the_name_of_a_preset(origin: Origin) -> None:
    provider: Plain = {"name": "openai", "kind": "scripted"}

    assert {"providers": [provider]} == flatten(resolve(grow({"providers": [provider]}, origin), {})[0])


def test_an_unknown_preset_is_a_problem(origin: Origin) -> None:
    _, problems = resolve(grow({"providers": [{"name": "a", "preset": "opnai"}]}, origin), {})

    assert ["'opnai' is not a preset"] == [problem.message for problem in problems]


def test_a_secret_is_read_from_a_file_beside_the_configuration(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("hunter2\n")
    tree, problems = resolve(grow({"keys": [{"name": "a", "key_file": "key.txt"}]}, origin), {})
    leaf = follow(tree, ("keys", 0, "key"))[1]

    assert [] == problems
    assert ("hunter2", "the contents of key.txt") == (getattr(leaf, "value", None), getattr(leaf, "shown", None))


def test_a_secret_file_that_is_absent_is_a_problem_unless_the_provider_is_optional(origin: Origin) -> None:
    provider: dict[str, Plain] = {"name": "a", "kind": "openai_compatible", "api_key_file": "no"}
    _, required = resolve(grow({"providers": [provider]}, origin), {})
    _, optional = resolve(grow({"providers": [{**provider, "required": False}]}, origin), {})

    assert ["no cannot be read: No such file or directory"] == [problem.message for problem in required]
    assert [] == optional


def test_a_secret_and_its_file_together_are_a_problem(origin: Origin) -> None:
    _, problems = resolve(grow({"webhooks": [{"secret": "a", "secret_file": "b"}]}, origin), {})

    assert ["stands beside secret"] == [problem.message for problem in problems]


def test_paths_are_relative_to_their_file_and_must_lead_somewhere(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    config: Plain = {"server": {"http": {"tls": {"cert_file": "ca.pem", "key_file": "no.pem"}}}}
    tree, problems = resolve(grow(config, origin), {})

    assert str(tmp_path / "ca.pem") == getattr(follow(tree, ("server", "http", "tls", "cert_file"))[1], "value", None)
    assert ["there is no file no.pem"] == [problem.message for problem in problems]
