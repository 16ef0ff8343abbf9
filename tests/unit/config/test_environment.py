from decimal import Decimal

import pytest

from router.config.environment import read_environment
from router.config.tree import Plain, flatten, follow


def read(env: dict[str, str]) -> Plain:
    layer, problems = read_environment(env)
    assert [] == problems
    return flatten(layer)


def test_a_variable_names_a_key_by_its_sections() -> None:
    assert {"server": {"http": {"port": "9000"}}, "mode": "observe"} == read(
        {"CHECKREIN_SERVER__HTTP__PORT": "9000", "CHECKREIN_MODE": "observe", "PATH": "/bin"}
    )


def test_lists_and_mappings_are_json_with_exact_numbers() -> None:
    found = read({"CHECKREIN_PROVIDERS": '[{"name": "openai"}]', "CHECKREIN_ROLES": '{"n": 2.10}'})

    assert {"providers": [{"name": "openai"}], "roles": {"n": Decimal("2.10")}} == found


def test_null_takes_a_value_away() -> None:
    assert {"server": {"http": {"tls": None}}} == read({"CHECKREIN_SERVER__HTTP__TLS": "null"})


def test_names_that_platforms_set_are_honoured_below_our_own() -> None:
    platform = {"DATABASE_URL": "sqlite:///./a.db", "REDIS_URL": "redis://r"}

    assert {"store": {"url": "sqlite:///./a.db"}, "shared": {"url": "redis://r"}} == read(platform)
    assert {"store": {"url": "sqlite:///./b.db"}} == read(
        {"DATABASE_URL": "sqlite:///./a.db", "CHECKREIN_STORE__URL": "sqlite:///./b.db"}
    )


def test_what_kubernetes_puts_beside_a_service_of_our_name_is_left_alone() -> None:
    assert {} == read(
        {
            "CHECKREIN_SERVICE_HOST": "10.0.0.1",
            "CHECKREIN_PORT": "tcp://10.0.0.1:8080",
            "CHECKREIN_CONFIG": "x",
            "CHECKREIN_CONTAINER": "1",
        }
    )


def test_a_variable_of_no_section_is_a_problem() -> None:
    _, problems = read_environment({"CHECKREIN_SERVRE__HTTP__PORT": "1"})

    assert ["CHECKREIN_SERVRE__HTTP__PORT"] == [problem.file for problem in problems]
    assert ["did you mean CHECKREIN_SERVER__HTTP__PORT?"] == [problem.fix for problem in problems]


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("CHECKREIN_SERVER__HTTP__PORT", "1", ("server", "http", "port")),
        ("CHECKREIN_SERVER", '{"http": {"port": 1}}', ("server", "http", "port")),
        ("CHECKREIN_KEYS", '[{"name": "a"}]', ("keys", 0, "name")),
    ],
)
def test_every_value_knows_its_variable(name: str, value: str, path: tuple[str | int, ...]) -> None:
    assert name == follow(read_environment({name: value})[0], path)[1].origin.source
