import pytest

from router.config import restart_needed
from tests.unit.config.conftest import Load


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("server: { http: { port: 1 } }", ("server.http.port",)),
        ("server: { http: { max_body: 1MiB } }", ("server.http.max_body",)),
        ("server: { grpc: { host: h }, ops: { port: 1 } }", ("server.grpc.host", "server.ops.port")),
        ("server: { workers: 2 }", ("server.workers",)),
        ("store: { url: 'sqlite:///./b.db' }", ("store.url",)),
        ("store: { durability: power }", ("store.durability",)),
        ("retention: { ledger: 2d, partial_outputs: 1h }", ("retention.ledger",)),
        ("server: { drain: { grace: 1s } }", ()),
        ("providers: [{ name: a, kind: scripted }]", ()),
        ("keys: [{ name: a, key: sk-12345678 }]\nlogging: { level: debug }", ()),
    ],
)
def test_listeners_stores_workers_and_the_age_of_rows_need_a_restart_and_nothing_else(
    load_text: Load, text: str, paths: tuple[str, ...]
) -> None:
    old, new = load_text("version: 1").settings, load_text(text).settings

    assert paths == restart_needed(old, new) == restart_needed(new, old)


def test_a_listener_that_begins_to_use_tls_needs_a_restart(load_text: Load) -> None:
    old, new = (load_text(f"server: {{ grpc: {{ tls: {tls} }} }}", env={}).settings for tls in ("null", "null"))
    changed = new.model_copy(
        update={"server": new.server.model_copy(update={"http": new.server.http.model_copy(update={"tls": object()})})}
    )

    assert () == restart_needed(old, new)
    assert ("server.http.tls",) == restart_needed(old, changed)
