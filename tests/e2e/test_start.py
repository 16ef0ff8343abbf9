"""The command as an operator meets it: it starts by itself, quickly and offline, and says what stands in its way."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.fake_upstream import FakeUpstream
from tests.support.process import CHECKREIN, ROOT, clean_env, finished, served
from tests.support.running import ADMIN, KEY, chat, config_for, http_client
from tests.support.wire import CHAT

pytestmark = pytest.mark.slow

ANY_PORTS = ("--port", "0", "--grpc-port", "0", "--ops-port", "0")
OFFLINE = """
import asyncio, sys

def deny(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"):
        print("network was used:", event, arguments[1:], file=sys.stderr, flush=True)

sys.addaudithook(deny)
import uvloop
uvloop.new_event_loop = asyncio.new_event_loop   # the audit hooks do not see libuv
from router.cli.commands import main
status = main(sys.argv[1:])
print("modules:", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(status)
"""
IMPORT = """
import time, sys
began = time.process_time_ns()
import router, router.cli.commands
print((time.process_time_ns() - began) // 1_000_000, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def config_file(folder: Path, upstream: FakeUpstream, **sections: object) -> Path:
    file = folder / "checkrein.yaml"
    config = config_for(upstream, store={"url": "sqlite:///./ledger.db"}, **sections)
    file.write_text(yaml.safe_dump(config))
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def ask(url: str, key: str, **members: object) -> httpx.Response:
    async with http_client(url) as client:
        return await client.post(CHAT, json=chat(**members), headers={"authorization": f"Bearer {key}"})


def test_importing_the_router_is_cheap() -> None:
    """T33: at most 300 ms of CPU, and nothing heavy comes along."""
    command = [sys.executable, "-c", IMPORT]
    cost_ms, *loaded = subprocess.check_output(command, text=True, cwd=ROOT, env=clean_env()).split()

    assert int(cost_ms) <= 300
    assert set() == {"litellm", "grpc", "fastapi", "pydantic", "openai"} & set(loaded)


@pytest.mark.parametrize(("grpc", "its_modules"), [("", {"grpc"}), ("server: { grpc: null }\n", set[str]())])
async def test_it_starts_without_any_network(grpc: str, its_modules: set[str], tmp_path: Path) -> None:
    """T33: not one connect() or look-up of a name from start to stop; what is not served is not loaded."""
    command = (sys.executable, "-c", OFFLINE)
    (tmp_path / "checkrein.yaml").write_text(
        "version: 1\n"
        "providers: [{ name: openai, api_key: sk-some-key }, { name: demo, kind: scripted }]\n"
        "models:\n"
        "  - { name: gpt-5-mini, deployments: [{ provider: openai, model: gpt-5-mini }] }\n"
        "  - { name: demo, deployments: [{ provider: demo, model: demo }] }\n"
        f"keys: [{{ name: test, key: {KEY} }}]\n{grpc}"
    )
    ports = ANY_PORTS if not grpc else ("--port", "0", "--ops-port", "0")
    async with served(tmp_path, *ports, command=command) as router:
        reply = await ask(router.url, KEY, model="demo")
        status = await router.stop()

    loaded = set(router.err.rpartition("modules:")[2].split())
    assert (200, 0) == (reply.status_code, status)
    assert "network was used" not in router.err
    assert "router" in loaded
    assert its_modules == {"litellm", "grpc", "openai", "httpx"} & loaded


async def test_the_network_guard_sees_a_connection(tmp_path: Path) -> None:
    """T33: the guard of the test above works: a call to a real provider is reported by it."""
    async with FakeUpstream() as upstream:
        config_file(tmp_path, upstream)
        async with served(tmp_path, command=(sys.executable, "-c", OFFLINE)) as router:
            reply = await ask(router.url, KEY)

    assert 200 == reply.status_code
    assert "network was used: socket.connect" in router.err


async def test_init_check_and_serve_work_one_after_the_other(tmp_path: Path) -> None:
    """T33: the first minutes of a new operator, and what the second `init` must not do."""
    first = await finished(tmp_path, "init")
    written = (tmp_path / "checkrein.yaml").read_text()
    again = await finished(tmp_path, "init")
    check = await finished(tmp_path, "config", "check")
    async with served(tmp_path, *ANY_PORTS) as router:
        reply = await ask(router.url, "sk-local", model="demo")
        status = await router.stop()
    usage = await finished(tmp_path, "usage", "--by", "model")

    assert (0, 1, 0, 0) == (first.status, again.status, check.status, status)
    assert written == (tmp_path / "checkrein.yaml").read_text()
    assert "configuration is good: checkrein.yaml" in check.out
    assert 200 == reply.status_code
    assert "left out: provider openai" in router.err
    assert 0 == usage.status
    assert ["demo", "1", "0"] == usage.out.splitlines()[1].split()[:3]
    assert ["total", "1", "0"] == usage.out.splitlines()[2].split()[:3]


async def test_a_bad_file_is_named_with_path_line_and_fix(tmp_path: Path) -> None:
    """T33: every problem at once, exit status 2, the same from every command, and no traceback."""
    (tmp_path / "checkrein.yaml").write_text("version: 1\nserver:\n  http: { prt: 80 }\nmodels:\n  - nam: small\n")
    for command in (("config", "check"), ("serve",), ("usage",), ("healthcheck",)):
        told = await finished(tmp_path, *command)
        assert 2 == told.status, command
        assert "checkrein.yaml:3: server.http.prt" in told.err
        assert "checkrein.yaml:5: models[0].nam" in told.err
        assert re.search(r"server\.http\.prt: .+; .+", told.err), "a fix follows what is wrong"
        assert "Traceback" not in told.err


async def test_a_changed_file_swaps_the_models_and_a_bad_one_is_refused_whole(tmp_path: Path) -> None:
    """T33: by watching the file and by SIGHUP; what cannot change says `restart needed`."""
    async with FakeUpstream() as upstream:
        file = config_file(tmp_path, upstream)
        good = file.read_text()
        async with served(tmp_path, "--config", str(file)) as router:
            before = await ask(router.url, KEY, model="renamed")
            file.write_text(good.replace("name: small", "name: renamed"))
            await router.said("configuration revision 2 in force")
            after = [await ask(router.url, KEY, model=name) for name in ("renamed", "small")]

            file.write_text(good.replace("name: small", "name: third").replace("version: 1", "version: 1\nnonsense: 1"))
            router.process.send_signal(signal.SIGHUP)
            await router.said("reload refused")
            kept = [await ask(router.url, KEY, model=name) for name in ("renamed", "third")]

            file.write_text(
                good.replace("http:\n    port: 0", "http:\n    port: 1").replace("name: small", "name: third")
            )
            router.process.send_signal(signal.SIGHUP)
            await router.said("restart needed for server.http.port")
            still = [await ask(router.url, KEY, model=name) for name in ("renamed", "third")]

            file.write_text(good)
            await router.said("configuration revision 3 in force")
            router.process.send_signal(signal.SIGHUP)
            await router.said("configuration revision 4 in force")
            back = await ask(router.url, KEY)

    assert 404 == before.status_code
    assert [200, 404] == [reply.status_code for reply in after]
    assert [200, 404] == [reply.status_code for reply in kept]
    assert "nonsense" in router.err
    assert [200, 404] == [reply.status_code for reply in still]
    assert 200 == back.status_code


async def test_healthcheck_tells_by_its_exit_status(tmp_path: Path) -> None:
    """T33: 0 while the router lives, 1 with one line when nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    env = {"CHECKREIN_SERVER__OPS__PORT": port}
    before = await finished(tmp_path, "healthcheck", env=env)
    async with served(tmp_path, "--port", "0", env=env):
        alive = await finished(tmp_path, "healthcheck", env=env)

    assert (1, 0) == (before.status, alive.status)
    assert 1 == before.err.count("\n")
    assert f"no answer from 127.0.0.1:{port}" in before.err


async def test_a_second_server_on_the_same_store_is_refused(tmp_path: Path) -> None:
    """T33: one line saying what to do, status 1, and the first one goes on."""
    async with served(tmp_path, *ANY_PORTS) as router:
        second = await finished(tmp_path, "serve", *ANY_PORTS)
        reply = await ask(router.url, "sk-local", model="demo")

    assert 1 == second.status
    assert second.err.endswith(
        "cannot start: another server uses checkrein.db: stop it, or give this one its own store.url\n"
    )
    assert "Traceback" not in second.err
    assert 200 == reply.status_code


@pytest.mark.parametrize("flag", ["--port", "--grpc-port", "--ops-port"])
async def test_a_port_in_use_is_said_in_one_line(flag: str, tmp_path: Path) -> None:
    """T33: which one, and what to do; the process ends although its store was open already."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = await finished(tmp_path, "serve", *ANY_PORTS, flag, str(port))

    assert 1 == told.status
    last = told.err.splitlines()[-1]
    assert last.startswith(f"cannot start: 127.0.0.1:{port}: Address already in use.")
    assert "Traceback" not in told.err


async def test_a_certificate_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    """T33: at start, before anything is served."""
    async with FakeUpstream() as upstream:
        config_file(tmp_path, upstream, http={"tls": {"cert_file": "no.pem", "key_file": "no.pem"}})
        told = await finished(tmp_path, "serve")

    assert told.status in (1, 2)
    assert "serving" not in told.err
    assert "Traceback" not in told.err


async def test_without_configuration_it_greets_with_keys_for_this_machine(tmp_path: Path) -> None:
    """T33: said loudly, and what is said works."""
    async with served(tmp_path, *ANY_PORTS) as router:
        assert "serving http://127.0.0.1" in router.err
        reply = await ask(router.url, "sk-local", model="demo")
        admin = await ask(router.url, "sk-admin-local", model="demo")

    assert [200, 200] == [reply.status_code, admin.status_code]
    assert "No configuration file was found" in router.err
    assert "sk-local" in router.err
    assert "sk-admin-local" in router.err


async def test_open_to_others_it_makes_one_key_nobody_knows(tmp_path: Path) -> None:
    """T33: with `--host 0.0.0.0` the keys that everybody knows do not exist, also not on this machine."""
    async with served(tmp_path, *ANY_PORTS, "--host", "0.0.0.0") as router:
        made = re.findall(r"shown only now: (sk-\S{30,})", router.err)
        replies = [await ask(router.url, key, model="demo") for key in (*made, "sk-local", "sk-admin-local", ADMIN)]

    assert 1 == len(made)
    assert [200, 401, 401, 401] == [reply.status_code for reply in replies]
    assert made[0] not in router.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_when_told(number: int, tmp_path: Path) -> None:
    """T22: with status 0 and nothing left behind but its store."""
    async with served(tmp_path, *ANY_PORTS) as router:
        status = await router.stop(number)

    assert 0 == status
    assert ["checkrein.db", "checkrein.db.lock", "stderr", "stdout"] == names(tmp_path)


async def test_the_commands_that_print_print(tmp_path: Path) -> None:
    """T33: `--version`, the schema and the reference go to standard output and nothing to standard error."""
    commands = (("--version",), ("config", "schema"), ("config", "reference"))
    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(finished(tmp_path, *command)) for command in commands]
    version, schema, reference = (run.result() for run in runs)

    assert [(0, ""), (0, ""), (0, "")] == [(told.status, told.err) for told in (version, schema, reference)]
    assert version.out.startswith("checkrein ")
    assert '"properties"' in schema.out
    assert "server.http.port" in reference.out
    assert CHECKREIN[0] == sys.executable
