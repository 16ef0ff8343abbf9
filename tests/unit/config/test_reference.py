import json
from collections.abc import Iterator

from router.config import json_schema, render_page
from router.config.reference import Json, keys_at


def objects(node: Json) -> Iterator[dict[str, Json]]:
    if isinstance(node, dict):
        yield node
        for below in node.values():
            yield from objects(below)
    elif isinstance(node, list):
        for item in node:
            yield from objects(item)


def fields() -> Iterator[tuple[str, dict[str, Json]]]:
    for node in objects(json_schema()):
        properties = node.get("properties")
        for name, field in properties.items() if isinstance(properties, dict) else ():
            assert isinstance(field, dict)
            yield name, field


def test_the_schema_is_json_and_names_its_dialect() -> None:
    assert "https://json-schema.org/draft/2020-12/schema" == json.loads(json.dumps(json_schema()))["$schema"]


def test_every_key_has_a_sentence() -> None:
    assert [] == [name for name, field in fields() if not str(field.get("description", "")).endswith(".")]


def test_every_number_has_its_bounds() -> None:
    loose = [
        name
        for name, field in fields()
        for node in objects(field)
        if node.get("type") in ("integer", "number") and not {"minimum", "maximum"} <= node.keys()
    ]

    assert ["budget_status"] == loose  # one of two values, which its sentence names


def test_unknown_keys_are_refused_everywhere() -> None:
    assert [] == [node.get("title") for node in objects(json_schema()) if "properties" in node
                  and node.get("additionalProperties") is not False]  # fmt: skip


def test_a_preset_alone_is_a_provider_to_an_editor_too() -> None:
    provider = json_schema()["$defs"]["ProviderSettings"]  # type: ignore[index,call-overload]

    assert ["name"] == provider["required"]  # type: ignore[index,call-overload]


def test_the_keys_at_a_path_are_found_through_lists_and_null() -> None:
    assert {"at_pct", "action"} == set(keys_at(("keys", 0, "budget", "thresholds", 3)))
    assert () == keys_at(("roles", "x"))


def test_defaults_are_shown_as_an_operator_writes_them() -> None:
    page = render_page()

    assert "| `server.http.read_timeout` | duration 100ms to 1h | `10s` |" in page
    assert "| `server.http.max_body` | size 1KiB to 1GiB | `32MiB` |" in page
    assert "| `models[].deployments[].price.above[].input` | number 0 to 1000000000 | required |" in page
    assert "| `openai` | openai_compatible | https://api.openai.com/v1 | OPENAI_API_KEY |" in page
