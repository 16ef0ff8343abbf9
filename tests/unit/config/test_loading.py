import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.config import ConfigInvalid, load
from router.config.loading import fingerprint_of
from tests.unit.config.conftest import Load, Problems, sources

CONTRACT = Path(__file__).parents[2] / "support" / "contract.yaml"
SECRETS = """
providers:
  - { name: a, kind: openai_compatible, base_url: "https://a/v1", api_key: hunter2-provider,
      network: { headers: { x-token: hunter2-header }, proxy: "http://u:hunter2-proxy@p" } }
  - { name: b, kind: litellm, api_key: none, params: { api_key: hunter2-param, api_version: "1" } }
store: { url: "sqlite:///./hunter2.db" }
shared: { url: "redis://u:hunter2-redis@r" }
keys: [{ name: k, key: hunter2-client }]
webhooks: [{ url: "https://hook/hunter2-path", secret: hunter2-webhook }]
"""


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_the_whole_contract_loads_without_any_variable(tmp_path: Path) -> None:
    loaded = load(sources(tmp_path, explicit=CONTRACT))

    assert (CONTRACT,) == loaded.files
    assert ("openai", "local", "azure-eu", "demo") == tuple(p.name for p in loaded.settings.providers)
    assert 30 * 10**9 == loaded.settings.breaker.window
    assert 256 << 20 == loaded.settings.cache.exact.max_size
    assert () == loaded.greeting


def test_outside_its_example_the_contract_shows_the_defaults(tmp_path: Path) -> None:
    contract = load(sources(tmp_path, explicit=CONTRACT)).settings.model_dump(mode="json")
    defaults = load(sources(tmp_path)).settings.model_dump(mode="json")
    example = {"providers", "models", "roles", "organizations", "budgets", "keys"}

    assert example == {name for name, value in contract.items() if value != defaults[name]}


def test_layers_win_in_their_order(tmp_path: Path) -> None:
    given = sources(
        tmp_path,
        explicit=write(
            tmp_path / "explicit.yaml", "server: { http: { port: 4 }, ops: { port: 4 }, grpc: { port: 4 } }"
        ),
        env={"CHECKREIN_SERVER__OPS__PORT": "5", "CHECKREIN_SERVER__GRPC__PORT": "5"},
        overrides={"server.grpc.port": 6},
    )
    system = write(given.system, "server: { http: { port: 1, host: a }, workers: 1 }\nlogging: { level: error }")
    user = write(given.user, "server: { http: { port: 2, host: b }, workers: 2 }")
    project = write(given.project, "server: { http: { port: 3, host: c } }")
    loaded = load(given)
    server = loaded.settings.server

    assert (system, user, project, tmp_path / "explicit.yaml") == loaded.files
    assert (4, 5, 6, "c", 2) == (
        server.http.port,
        server.ops.port,
        server.grpc.port,
        server.http.host,
        server.workers,
    )
    assert "error" == loaded.settings.logging.level


def test_every_problem_is_told_at_once_whatever_its_sort(problems_of: Problems) -> None:
    text = """\
mode: enforced
servers: {}
providers:
  - { name: openai }
  - { name: demo, kind: scripted, script: { first_token: soon } }
  - { name: demo, kind: scripted }
models:
  - name: small
    strategy: fastest
    strategy: fastest
    deployments: [{ provider: dmo, model: a, price: { input: 1.x, output: 1 } }]
keys:
  - { name: a, key: "${NOPE}" }
server: { http: { max_body: 32XB, tls: { cert_file: no.pem, key_file: no.pem } } }
"""

    assert [
        "1: mode: 'enforced' is not a mode",
        "2: servers: unknown key",
        "4: providers[0].api_key: no key",
        "5: providers[1].script.first_token: 'soon' is not a duration",
        "6: providers[2].name: 'demo' is there already on line 5",
        "10: models[0].strategy: written twice",
        "10: models[0].strategy: 'fastest' is not a strategy",
        "11: models[0].deployments[0].price.input: '1.x' is not a number",
        "11: models[0].deployments[0].provider: 'dmo' is not a provider",
        "13: keys[0].key: ${NOPE} is not set",
        "14: server.http.max_body: '32XB' is not a size",
        "14: server.http.tls.cert_file: there is no file no.pem",
        "14: server.http.tls.key_file: there is no file no.pem",
    ] == [line.removeprefix("config.yaml:").split(";")[0] for line in problems_of(text)]


def test_a_problem_of_the_command_line_is_placed_there(problems_of: Problems) -> None:
    assert ["command line: server.http.port: 70000 is too large; use at most 65535"] == problems_of(
        "", overrides={"server.http.port": 70_000}
    )


def test_a_file_that_cannot_be_read_hides_no_problem_of_another(tmp_path: Path) -> None:
    given = sources(tmp_path, explicit=tmp_path / "absent.yaml")
    write(given.project, "mode: x")

    with pytest.raises(ConfigInvalid) as caught:
        load(given)

    assert ["cannot be read: No such file or directory", "'x' is not a mode"] == [
        problem.message for problem in caught.value.problems
    ]


def test_two_files_for_one_layer_are_a_problem(tmp_path: Path) -> None:
    given = sources(tmp_path)
    write(given.project, "mode: enforce")
    write(given.project.with_suffix(".toml"), "mode = 'observe'")

    with pytest.raises(ConfigInvalid, match="stands beside"):
        load(given)


def test_a_file_that_is_named_may_stand_beside_one_that_is_found(tmp_path: Path) -> None:
    given = sources(tmp_path, explicit=tmp_path / "project" / "checkrein.toml")
    write(given.project, "mode: enforce")
    write(given.project.with_suffix(".toml"), "mode = 'observe'")

    assert "observe" == load(given).settings.mode


def test_secrets_appear_in_no_form_of_the_configuration(load_text: Load) -> None:
    loaded = load_text(SECRETS.replace("hunter2.db", "x.db"))
    shown = f"{loaded!r}{loaded.settings!r}{loaded.settings.model_dump_json()}"

    assert "https://a/v1" in shown
    assert "hunter2" not in shown


def test_no_problem_quotes_a_secret(problems_of: Problems) -> None:
    text = (
        SECRETS.replace("sqlite:", "mysql://u:hunter2@h:")
        .replace("redis:", "http:")
        .replace("https://a/v1", "https://u:hunter2@a/v1")
    )
    found = problems_of(text + "idempotency: ${T}\nbreaker: { window: '${T}' }\nretry: hunter2", env={"T": "hunter2"})

    assert 6 == len(found)
    assert "hunter2" not in "".join(found)


def test_an_invalid_configuration_leaves_no_secret_in_its_traceback(load_text: Load) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_text(SECRETS + "mode: x")

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_fingerprint_follows_the_configuration_and_no_secret(load_text: Load) -> None:
    first = load_text(SECRETS).fingerprint

    assert first == load_text(SECRETS.replace("hunter2-client", "hunter3-client")).fingerprint
    assert first == load_text("# the same in other words\n" + SECRETS).fingerprint
    assert first != load_text(SECRETS + "mode: observe").fingerprint
    assert 64 == len(first)


def test_the_fingerprint_is_of_the_settings_alone(load_text: Load) -> None:
    loaded = load_text(SECRETS)

    assert loaded.fingerprint == fingerprint_of(loaded.settings)


def test_platform_variables_choose_the_stores(load_text: Load) -> None:
    settings = load_text("store: { url: 'sqlite:///./a.db' }", env={"DATABASE_URL": "sqlite:///./b.db"}).settings

    assert "sqlite:///./b.db" == settings.store.url


def test_without_any_file_a_first_start_serves_the_demo(tmp_path: Path) -> None:
    loaded = load(sources(tmp_path, overrides={"server.http.port": 9000}), new_admin_key="sk-made-up-for-now")

    assert ["demo"] == [model.name for model in loaded.settings.models]
    assert 9000 == loaded.settings.server.http.port
    assert loaded.greeting


def test_with_a_file_there_is_no_first_start(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "version: 1")
    loaded = load(sources(tmp_path, explicit=file), new_admin_key="sk-made-up-for-now")

    assert () == loaded.settings.keys == loaded.greeting


def test_toml_says_the_same_as_yaml(load_text: Load) -> None:
    yaml = "models: [{ name: a, deployments: [{ provider: p, model: m, price: { input: 1.10, output: 2 } }] }]\n"
    yaml += "providers: [{ name: p, kind: scripted }]"
    toml = """
providers = [{ name = "p", kind = "scripted" }]
[[models]]
name = "a"
[[models.deployments]]
provider = "p"
model = "m"
price = { input = 1.10, output = 2 }
"""

    assert load_text(yaml).fingerprint == load_text(toml, suffix=".toml").fingerprint


def test_loading_imports_neither_web_framework_nor_provider_library() -> None:
    script = "import sys, router.config; print({'fastapi', 'litellm', 'grpc', 'httpx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)

    assert "set()" == done.stdout.strip()
